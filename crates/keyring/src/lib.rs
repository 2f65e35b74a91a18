//! holdfast-keyring
