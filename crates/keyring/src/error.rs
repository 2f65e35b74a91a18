//! What can go wrong, and whose turn it is then.

use holdfast_types::{Generation, KeyId, VaultId, Version};

use crate::ciphertext::CiphertextError;

/// Why the keyring refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The operator's turn: no root is loaded yet.
    #[error("the keyring has no root: open a seal slot first")]
    Sealed,
    /// The operator's turn: this generation's root is not loaded.
    #[error("needs a slot of generation {0}")]
    NoRoot(Generation),
    /// Our bug: a first root was asked for where there is one.
    #[error("the keyring already has a root of generation {0}")]
    RootExists(Generation),
    /// Our bug: more generations than the arena holds.
    #[error("no room for another root generation")]
    TooManyRoots,

    /// The operator's turn: these are not the four lines of a seal slot.
    #[error("not a seal slot: {0}")]
    SlotPayload(&'static str),
    /// The operator's turn: the slot is another vault's.
    #[error("the seal slot belongs to vault {0}")]
    AnotherVault(VaultId),
    /// The operator's turn: a root, but not the one that the vault's data names.
    #[error("the root of generation {0} does not match its check value")]
    RootMismatch(Generation),
    /// The operator's turn: a soft key file is 32 bytes.
    #[error("a soft key is 32 bytes, this is {0}")]
    SoftKeyLength(usize),
    /// The operator's turn: the soft key file is not the one of this slot, or the slot is damaged.
    #[error("the soft key does not open its slot")]
    SoftKeyWrong,

    /// Stored data: a wrapped secret of a format that only a newer program knows.
    #[error("the wrapped secret of {0} has a newer format than this program knows")]
    WrappedFormat(String),
    /// Stored data: a wrapped secret is damaged, or was put in another's place.
    #[error("the wrapped secret of {0} is not authentic")]
    WrappedDamaged(String),
    /// Stored data: a version unwraps to something that its check value does not fit.
    #[error("version {version} of key {key} does not match its check value")]
    VersionMismatch {
        /// The key.
        key: KeyId,
        /// Its version.
        version: Version,
    },

    /// The caller's turn: the header of a ciphertext.
    #[error(transparent)]
    Ciphertext(#[from] CiphertextError),
    /// The caller's turn: the ciphertext was made by another key or version.
    #[error("the ciphertext needs version {version} of key {key}")]
    WrongKey {
        /// The key it wants.
        key: KeyId,
        /// The version it wants.
        version: Version,
    },
    /// The caller's turn: a changed or cut ciphertext, or another context. Which, nobody is told.
    #[error("the ciphertext or its context is not authentic")]
    NotAuthentic,
    /// The caller's turn: a context above 4 GiB.
    #[error("the context is too long")]
    ContextTooLong,
}
