//! holdfast-e2e
