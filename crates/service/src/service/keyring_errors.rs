//! What callers are told when the keyring refuses. Authentication failures look alike; why stands in
//! the audit log.

use holdfast_keyring::{CiphertextError, KeyringError, LATER_FORMATS};
use holdfast_types::Kind;

use crate::Error;

impl From<KeyringError> for Error {
    fn from(error: KeyringError) -> Self {
        let text = error.to_string();
        match error {
            KeyringError::Ciphertext(error) => error.into(),
            KeyringError::NotAuthentic | KeyringError::WrongKey { .. } => {
                Self::new(Kind::NotAuthentic, "the ciphertext or its context is not authentic")
                    .next("give the context that it was encrypted with, and the whole ciphertext")
                    .detail(text)
            }
            KeyringError::ContextTooLong => Self::new(Kind::TooLarge, text),
            KeyringError::Sealed | KeyringError::NoRoot(_) => Self::new(Kind::Unavailable, text)
                .next("start the server with its soft key: holdfast server --soft-key FILE"),
            KeyringError::WrappedFormat(_) => {
                Self::new(Kind::Newer, text).next("use a newer holdfast")
            }
            KeyringError::WrappedDamaged(_) | KeyringError::VersionMismatch { .. } => {
                Self::new(Kind::Damaged, text)
                    .next("restore the newest archive beside this vault: holdfast restore")
            }
            KeyringError::SoftKeyLength(_) | KeyringError::SoftKeyWrong => {
                Self::new(Kind::SoftKey, text)
            }
            KeyringError::AnotherVault(_) => Self::new(Kind::AnotherVault, text),
            KeyringError::RootMismatch(_) | KeyringError::SlotPayload(_) => {
                Self::new(Kind::Damaged, text)
            }
            KeyringError::RootExists(_) | KeyringError::TooManyRoots => {
                Self::new(Kind::Internal, text)
            }
        }
    }
}

impl From<CiphertextError> for Error {
    fn from(error: CiphertextError) -> Self {
        let (kind, next) = match error {
            CiphertextError::Empty => (
                Kind::BadInput,
                "see why nothing came: an empty file, or a command before that failed",
            ),
            CiphertextError::TooShort => (Kind::BadInput, "give the whole ciphertext: it was cut"),
            CiphertextError::UnknownFormat(format) if LATER_FORMATS.contains(&format) => {
                (Kind::Newer, "use a newer holdfast, if this is a ciphertext of its `key encrypt`")
            }
            CiphertextError::UnknownFormat(_) => {
                (Kind::BadInput, "give the raw ciphertext as `key encrypt` wrote it")
            }
        };
        Self::new(kind, error.to_string()).next(next)
    }
}
