//! holdfast-recovery
