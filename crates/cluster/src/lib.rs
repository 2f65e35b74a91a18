//! holdfast-cluster
