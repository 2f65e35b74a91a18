//! holdfast-crypto
