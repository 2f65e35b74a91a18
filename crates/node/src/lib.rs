//! holdfast-node
