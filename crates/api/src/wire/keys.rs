//! Enclaves and keys on the wire.

use serde::{Deserialize, Serialize};

use super::{Base64, SecretBase64};

/// A request that only names something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// An enclave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enclave {
    /// Its name.
    pub name: String,
    /// Its id, hex.
    pub enclave_id: String,
    /// `open` or `closing`.
    pub state: String,
}

/// All enclaves, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Enclaves {
    /// They.
    pub enclaves: Vec<Enclave>,
}

/// A key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// Its enclave's name.
    pub enclave: String,
    /// Its id, hex.
    pub key_id: String,
    /// `aes256`.
    pub kind: String,
    /// `active` or `deleted`.
    pub state: String,
    /// The newest version.
    pub version: u32,
    /// When it was made.
    pub created: u64,
    /// When it was deleted.
    pub deleted: Option<u64>,
    /// Its versions; `None` in listings.
    pub versions: Option<Vec<VersionOf>>,
}

/// A version of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VersionOf {
    /// Its number.
    pub version: u32,
    /// Its SP 800-57 state.
    pub state: String,
    /// When it was made or last changed state.
    pub changed: u64,
}

/// A part of the keys of an enclave, by name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Keys {
    /// They.
    pub keys: Vec<Key>,
    /// Give it as `after` for more.
    pub next: Option<String>,
}

/// How to bring a key back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undelete {
    /// Its new name, where the old one is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of several deleted keys of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// To encrypt.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encrypt {
    /// What is encrypted.
    pub plaintext: SecretBase64,
    /// Authenticated with it.
    #[serde(default, skip_serializing_if = "no_bytes")]
    pub context: Base64,
}

/// Encrypted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Encrypted {
    /// The ciphertext, format 1.
    pub ciphertext: Base64,
    /// The key's id, hex.
    pub key_id: String,
    /// Its version.
    pub version: u32,
}

/// To decrypt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decrypt {
    /// The ciphertext; it names its key.
    pub ciphertext: Base64,
    /// As given when it was encrypted.
    #[serde(default, skip_serializing_if = "no_bytes")]
    pub context: Base64,
}

/// Decrypted.
#[derive(Clone, Serialize, Deserialize)]
pub struct Decrypted {
    /// The plaintext.
    pub plaintext: SecretBase64,
    /// The key's id, hex.
    pub key_id: String,
    /// Its version.
    pub version: u32,
    /// The key's name.
    pub name: String,
    /// The name of its enclave.
    pub enclave: String,
}

/// To make a data key.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// Authenticated with it.
    #[serde(default, skip_serializing_if = "no_bytes")]
    pub context: Base64,
}

/// A data key.
#[derive(Clone, Serialize, Deserialize)]
pub struct Generated {
    /// 32 random bytes.
    pub plaintext: SecretBase64,
    /// The same, encrypted.
    pub ciphertext: Base64,
    /// The id of the key that encrypted it, hex.
    pub key_id: String,
    /// Its version.
    pub version: u32,
}

fn no_bytes(bytes: &Base64) -> bool {
    bytes.0.is_empty()
}
