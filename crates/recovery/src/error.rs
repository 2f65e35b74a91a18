//! Why an archive was not written or not opened: whose turn it is, and what to do.

use std::io;
use std::path::PathBuf;

use holdfast_fs::{FsError, is_full};
use holdfast_keyring::KeyringError;
use holdfast_machine::{ReadError, SinkError};
use holdfast_records::{RecordError, json::JsonError};
use holdfast_seal::{CertificateError, OpenError, SealError, SigningError, VerifyError};
use holdfast_types::{Kind, Table};

/// Why an archive was not written or not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The archive is not what was sealed: cut, changed, or not an archive.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// What holds it cannot be read: nothing is said about the archive.
    #[error("the archive cannot be read: {0}")]
    Unreadable(String),
    /// The signature does not hold.
    #[error("the archive is not authentic: {0}")]
    NotAuthentic(String),
    /// Signed by a key that nobody here vouches for.
    #[error("the archive is signed by {fingerprint}, which is not known here")]
    UnknownSigner {
        /// Fingerprint of the signer's primary key.
        fingerprint: String,
    },
    /// Signed by another key than the one that was named; or without a signature, and saying that it is of another.
    #[error("the archive {} {found}, not by {wanted}", if *.unsigned { "says that it is signed by" } else { "is signed by" })]
    OtherSigner {
        /// Fingerprint of the signer's primary key.
        found: String,
        /// The one that was named.
        wanted: String,
        /// No signature holds: this is what the archive says of itself.
        unsigned: bool,
    },
    /// It is another vault's.
    #[error("the archive is of vault {found}, not of vault {wanted}")]
    AnotherVault {
        /// The archive's vault.
        found: String,
        /// The vault that was expected.
        wanted: String,
    },
    /// A directory holds the archives of another vault.
    #[error("{} holds the archives of another vault, signed by {found}", dir.display())]
    AnotherTarget {
        /// The directory.
        dir: PathBuf,
        /// Fingerprint of that vault's signer.
        found: String,
    },
    /// A newer program wrote it.
    #[error("the archive needs a reader of version {0}, this program has {1}")]
    Newer(u32, u32),
    /// This identity opens neither layer, or only the outer one.
    #[error("this identity does not open the archive: {0}")]
    WrongIdentity(String),
    /// It holds a deeper problem of what is stored in the vault itself.
    #[error("failed to read the state: {0}")]
    State(#[from] ReadError),
    /// A stored record has no archive form.
    #[error("a row of table {0} has no archive form: {1}")]
    Row(Table, JsonError),
    /// A stored record does not parse.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Key material does not unwrap.
    #[error("key material does not unwrap: {0}")]
    Keys(#[from] KeyringError),
    /// No custodian can open both layers.
    #[error("no custodian could open this archive: add one with `holdfast custodian add FILE`")]
    NoCustodian,
    /// More custodians than an archive can be sealed to.
    #[error("an archive is sealed to at most {max} custodians, not to {found}: name fewer of them")]
    TooManyCustodians {
        /// How many were asked for.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A custodian's stored certificate cannot be sealed to.
    #[error("the certificate of custodian {0} cannot be sealed to: {1}")]
    Certificate(String, CertificateError),
    /// A slot cannot be sealed to a certificate.
    #[error("cannot seal to {0}: {1}")]
    Recipient(String, #[source] SealError),
    /// Sealing failed.
    #[error("failed to seal the archive: {0}")]
    Seal(#[from] SealError),
    /// Signing failed.
    #[error("failed to sign the archive: {0}")]
    Sign(#[from] SigningError),
    /// A place could not be read or written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A part of the set is not there.
    #[error("{} is not there: an archive without it is unfinished", .0.display())]
    Missing(PathBuf),
    /// Rows could not be stored.
    #[error("failed to store a row of the archive: {0}")]
    Sink(#[from] SinkError),
}

impl ArchiveError {
    /// Whose turn it is, and the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Newer(..)
            | Self::Record(RecordError::Schema { .. })
            | Self::Keys(KeyringError::WrappedFormat(_)) => Kind::Newer,
            Self::Damaged(_) | Self::State(_) | Self::Row(..) | Self::Record(_) | Self::Keys(_) => {
                Kind::Damaged
            }
            Self::NotAuthentic(_) => Kind::NotAuthentic,
            Self::UnknownSigner { .. } | Self::OtherSigner { .. } => Kind::UnknownSigner,
            Self::AnotherVault { .. } | Self::AnotherTarget { .. } => Kind::AnotherVault,
            Self::WrongIdentity(_) => Kind::WrongIdentity,
            Self::NoCustodian | Self::TooManyCustodians { .. } | Self::Certificate(..) => {
                Kind::Refused
            }
            Self::Recipient(..) => Kind::BadInput,
            Self::Seal(SealError::Destination(error)) if is_full(error) => Kind::NoSpace,
            Self::Unreadable(_) | Self::Seal(_) | Self::Sign(_) => Kind::Other,
            Self::Fs(FsError::NoSpace { .. }) | Self::Sink(SinkError::NoSpace(_)) => Kind::NoSpace,
            Self::Fs(FsError::NotFound { .. }) | Self::Missing(_) => Kind::NotFound,
            Self::Fs(FsError::Exists { .. }) => Kind::Exists,
            Self::Fs(FsError::TooLarge { .. }) => Kind::Damaged,
            Self::Fs(_) | Self::Sink(_) => Kind::Other,
        }
    }

    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(why.into())
    }

    /// Reading ended before it was done: where it ends too early, or a check of what was read fails, `what` it is;
    /// else the system's word.
    pub(crate) fn of_reading(what: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::damaged(format!("{what}: {error}"))
            }
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<VerifyError> for ArchiveError {
    fn from(error: VerifyError) -> Self {
        Self::NotAuthentic(error.to_string())
    }
}

impl From<OpenError> for ArchiveError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotForThisIdentity { .. }
            | OpenError::WrongPassphrase
            | OpenError::SecretMissing { .. }
            | OpenError::Gpg { .. } => Self::WrongIdentity(error.to_string()),
            OpenError::Io(error) => Self::of_reading("the sealed tar is cut", &error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrap_of_a_later_format_is_newer_and_a_broken_one_damaged() {
        let kind = |error: KeyringError| ArchiveError::from(error).kind();
        assert_eq!(kind(KeyringError::WrappedFormat("key k".to_owned())), Kind::Newer);
        assert_eq!(kind(KeyringError::WrappedDamaged("key k".to_owned())), Kind::Damaged);
    }
}
