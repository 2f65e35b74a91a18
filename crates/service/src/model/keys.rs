//! Enclaves, keys and what is done with keys.

use holdfast_crypto::SecretBytes;
use holdfast_types::{EnclaveId, KeyId, Millis, Name, Version};

/// An enclave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnclaveInfo {
    /// Its name.
    pub name: Name,
    /// Its id.
    pub enclave_id: EnclaveId,
    /// `open` or `closing`.
    pub state: &'static str,
}

/// Which key: by names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySelector {
    /// The enclave's name.
    pub enclave: Name,
    /// The key's name.
    pub name: Name,
}

/// The key to make.
pub type CreateKey = KeySelector;

/// A key and its versions; no key material, wrapped or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInfo {
    /// Its name.
    pub name: Name,
    /// The name of its enclave.
    pub enclave: Name,
    /// Its id.
    pub key_id: KeyId,
    /// `aes256`.
    pub kind: &'static str,
    /// `active` or `deleted`.
    pub state: &'static str,
    /// The newest version, which encrypts.
    pub version: Version,
    /// When it was made, in state time.
    pub created: Millis,
    /// When it was deleted, in state time.
    pub deleted: Option<Millis>,
    /// Its versions, ascending; of more than 1000 the newest. Empty in listings.
    pub versions: Vec<VersionInfo>,
}

/// One version of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VersionInfo {
    /// Its number.
    pub version: Version,
    /// Its SP 800-57 state: `active`, `deactivated`, ...
    pub state: &'static str,
    /// When it was made or last changed state, in state time: its record keeps no other time.
    pub changed: Millis,
}

/// Which part of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyPage {
    /// Only names after this one.
    pub after: Option<Name>,
    /// At most so many; 1000 where nothing is said, and at most.
    pub limit: Option<u32>,
    /// The deleted keys instead: of one name the last deleted first, and all of them on one page.
    pub deleted: bool,
}

/// Keys in the order of their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyList {
    /// They, without their versions.
    pub keys: Vec<KeyInfo>,
    /// Pass as `after` for more; `None` at the end.
    pub next: Option<Name>,
}

/// How to bring a deleted key back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndeleteKey {
    /// The names it had.
    pub key: KeySelector,
    /// The name it gets, where the old one is taken.
    pub name: Option<Name>,
    /// Which of several deleted keys of that name; the last one deleted where nothing is said.
    pub key_id: Option<KeyId>,
}

/// Plaintext to encrypt.
#[derive(Clone, Copy)]
pub struct Encrypt<'a> {
    /// The enclave's name.
    pub enclave: &'a Name,
    /// The key's name.
    pub key: &'a Name,
    /// Authenticated with it, and needed to decrypt.
    pub context: &'a [u8],
    /// What is encrypted.
    pub plaintext: &'a [u8],
}

/// A ciphertext and the key version that made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encrypted {
    /// The ciphertext, format 1.
    pub ciphertext: Vec<u8>,
    /// The key's id.
    pub key_id: KeyId,
    /// The version.
    pub version: Version,
}

/// A ciphertext to decrypt.
#[derive(Clone, Copy)]
pub struct Decrypt<'a> {
    /// The (enclave, key) the caller believes it belongs to; the ciphertext itself says which.
    pub key: Option<(&'a Name, &'a Name)>,
    /// As given when it was encrypted.
    pub context: &'a [u8],
    /// What is decrypted.
    pub ciphertext: &'a [u8],
}

/// A plaintext and the key version that opened it. Not `Debug`.
pub struct Decrypted {
    /// The plaintext, wiped on drop.
    pub plaintext: SecretBytes,
    /// The key's id.
    pub key_id: KeyId,
    /// The version.
    pub version: Version,
    /// The key's name.
    pub name: Name,
    /// The name of its enclave.
    pub enclave: Name,
}

/// Which key wraps a new data key.
#[derive(Clone, Copy)]
pub struct Generate<'a> {
    /// The enclave's name.
    pub enclave: &'a Name,
    /// The key's name.
    pub key: &'a Name,
    /// Authenticated with it, and needed to decrypt.
    pub context: &'a [u8],
}

/// A data key, plain and encrypted. Not `Debug`.
pub struct Generated {
    /// 32 random bytes, wiped on drop.
    pub plaintext: SecretBytes,
    /// The same, encrypted.
    pub ciphertext: Vec<u8>,
    /// The id of the key that encrypted it.
    pub key_id: KeyId,
    /// That key's version.
    pub version: Version,
}
