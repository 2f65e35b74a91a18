//! The only crate that sees key bytes: roots, unwrapped key versions, the cluster's own secrets.
//!
//! - A [`Keyring`] belongs to one vault for ever; every wrap binds that vault's id.
//! - Roots and unwrapped versions lie in one bounded, locked, wiped arena of 32-byte cells, 1 MiB in
//!   a mapping of its own. For an operation a key is copied to the stack, used and wiped; no lock is
//!   held while data is processed.
//! - Elsewhere, for the time of an operation: AWS-LC's key schedules and HKDF states (it wipes them
//!   when they are dropped), and boxed secrets of `holdfast_crypto` (wiped). A plaintext is wiped by
//!   whoever was given it.
//! - Nothing here decides who may use a key, or whether its state allows it: the service does, with
//!   the rules of `keys`, before it calls.
//! - A version's secret never changes, so a cached one is never stale; [`Keyring::forget`] is
//!   hygiene, and the answer to a destroyed key.
//!
//! Formats: `formats/keys.md` (wraps, check values, slots), `formats/ciphertext.md`.

mod arena;
mod cache;
pub mod ciphertext;
mod error;
#[cfg(test)]
mod golden;
mod keyring;
mod roots;
mod slot;
mod wrap;

/// What a later format of a ciphertext, a wrap or a soft slot may begin with. Other first bytes, but for that of today,
/// are of something else, such as text, or damage.
pub const LATER_FORMATS: std::ops::RangeInclusive<u8> = 2..=15;

pub use ciphertext::{CiphertextError, Header};
pub use error::KeyringError;
pub use holdfast_crypto::kcv::Kcv;
pub use holdfast_crypto::{Secret, SecretBytes};
pub use keyring::{Keyring, NewVersion};
pub use slot::SoftKey;
pub use wrap::SecretRef;
