//! holdfast-seal
