//! The primitives, and nothing that knows what they are used for.
//!
//! One AEAD ([`xaes256gcm`]), one key derivation ([`hkdf_sha256`]), one hash ([`sha256`]), one
//! signature ([`ed25519`]), one random source ([`random`], [`nonce`]), and the types that hold
//! secrets ([`Secret`], [`AtHand`], [`SecretBytes`]). AWS-LC is underneath; no algorithm is written here
//! except the key derivation of XAES: three AES blocks, of RustCrypto's `aes`.
//!
//! Formats: `formats/keys.md`, `formats/ciphertext.md`.

pub mod ed25519;
mod gcm;
pub mod kcv;
mod kdf;
mod nonce;
mod secret;
pub mod xaes256gcm;

pub use kdf::{HKDF_OUTPUT_BYTES_MAX, Sha256, hkdf_sha256, sha256};
pub use nonce::{NONCE_BYTES, Nonce, NonceSource, nonce, random, random_array};
pub use secret::{AtHand, Secret, SecretBytes};

/// Authentication failed: the bytes, the key, the nonce or the associated data are not those that
/// were sealed. Which of them is not known, and would not be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct NotAuthentic;
