//! holdfast-service
