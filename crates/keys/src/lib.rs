//! holdfast-keys
