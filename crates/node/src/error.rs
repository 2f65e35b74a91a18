//! Why a node cannot be made or started: one kind, one line, one next step.

use std::path::Path;

use holdfast_cluster::{ClusterError, FaultKind};
use holdfast_fs::{FsError, is_denied};
use holdfast_keyring::KeyringError;
use holdfast_recovery::ArchiveError;
use holdfast_store::StoreError;
use holdfast_types::Kind;

/// What is left where stored data are damaged.
pub(crate) const RESTORE_NEWEST: &str =
    "restore the newest archive: holdfast restore ARCHIVE --data OTHER_DIR";

/// What is left where a newer program wrote them.
pub(crate) const NEWER: &str = "use a newer holdfast";

/// A failure of a node.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NodeError {
    /// What kind; gives the exit code.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next: Option<String>,
}

impl NodeError {
    /// A failure of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), next: None }
    }

    /// With a next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// A failure to use a data directory.
    pub(crate) fn of_data(data: &Path, error: StoreError) -> Self {
        let shown = data.display();
        match error {
            StoreError::NoVault(_) => Self::new(Kind::NoVault, format!("there is no vault in {shown}"))
                .next(format!(
                    "if a disk failed to mount, mount it; to get a vault back: holdfast restore \
                     ARCHIVE --identity FILE --data {shown}; to make a new one: holdfast init --data {shown}"
                )),
            StoreError::Incomplete(_) => {
                let message = format!("an init or a restore into {shown} was not finished");
                Self::new(Kind::NoVault, message).next("run the same init or restore again")
            }
            StoreError::NotEmpty(_) => Self::new(Kind::Exists, format!("{shown} is not empty"))
                .next("choose an empty directory with --data"),
            StoreError::Vault(_) => {
                Self::new(Kind::Exists, format!("there is a vault in {shown} already")).next(format!(
                    "start it: holdfast server --data {shown}; or choose an empty directory with --data"
                ))
            }
            other => other.into(),
        }
    }
}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Newer { .. } => Self::new(Kind::Newer, message).next(NEWER),
            StoreError::Corrupt { .. }
            | StoreError::LogDamaged { .. }
            | StoreError::Read(_)
            | StoreError::Digest { .. } => Self::new(Kind::Damaged, message).next(RESTORE_NEWEST),
            StoreError::Fs(error) => error.into(),
            _ => Self::new(Kind::Other, message),
        }
    }
}

impl From<FsError> for NodeError {
    fn from(error: FsError) -> Self {
        let message = error.to_string();
        match error {
            FsError::NoSpace { .. } => Self::new(Kind::NoSpace, message).next("make room there"),
            FsError::Locked { .. } => Self::new(Kind::InUse, message)
                .next("another holdfast uses this directory: stop it first"),
            FsError::Exists { .. } => Self::new(Kind::Exists, message),
            FsError::NotFound { .. } => {
                Self::new(Kind::NotFound, message).next("check the path, or choose another one")
            }
            FsError::Io { source, .. } if is_denied(&source) => Self::new(Kind::Other, message)
                .next("check who may use that path, or choose another one"),
            _ => Self::new(Kind::Other, message),
        }
    }
}

impl From<KeyringError> for NodeError {
    fn from(error: KeyringError) -> Self {
        let message = error.to_string();
        match error {
            KeyringError::WrappedFormat(_) => Self::new(Kind::Newer, message).next(NEWER),
            KeyringError::WrappedDamaged(_) => {
                Self::new(Kind::Damaged, message).next(RESTORE_NEWEST)
            }
            _ => Self::new(Kind::Other, message),
        }
    }
}

impl From<ArchiveError> for NodeError {
    fn from(error: ArchiveError) -> Self {
        let made = Self::new(error.kind(), error.to_string());
        match error {
            ArchiveError::UnknownSigner { .. } => made.next(
                "compare the fingerprint with the printed sheet, and give it with --trust FINGERPRINT",
            ),
            ArchiveError::OtherSigner { .. } => made.next(
                "compare both with the fingerprint on the printed sheet: only an archive of the signer that stands there \
                 is the vault's",
            ),
            _ if made.kind == Kind::Newer => made.next(NEWER),
            ArchiveError::WrongIdentity(_) => made.next(
                "give the secret key of one of its custodians: --identity FILE, or --identity gpg where it is in gpg's \
                 key ring or on a card",
            ),
            ArchiveError::Missing(_) => made.next(
                "NAME.tar.gpg, NAME.json and NAME.json.sig belong together: take another copy; where one of the \
                 last two is lost for good, --accept-unsigned goes on without",
            ),
            ArchiveError::AnotherTarget { .. } => made.next("give each vault a directory of its own"),
            ArchiveError::Unreadable(_) => {
                made.next("check the disk or the share it lies on, or take another copy of it")
            }
            ArchiveError::Damaged(_) | ArchiveError::NotAuthentic(_) | ArchiveError::Keys(_) => {
                made.next("take another copy of it, or another archive")
            }
            _ => made,
        }
    }
}

impl From<ClusterError> for NodeError {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::LogBeginsLater { .. }
            | ClusterError::LogEndsEarlier { .. }
            | ClusterError::OtherLog { .. }
            | ClusterError::VoteOlder { .. }
            | ClusterError::NotSeeded(_)
            | ClusterError::NotMember(_)
            | ClusterError::Damaged { .. }
            | ClusterError::Storage { kind: FaultKind::Damaged, .. } => {
                Self::new(Kind::Damaged, message).next(RESTORE_NEWEST)
            }
            ClusterError::Store(error) => error.into(),
            ClusterError::Newer { .. } | ClusterError::Storage { kind: FaultKind::Newer, .. } => {
                Self::new(Kind::Newer, message).next(NEWER)
            }
            ClusterError::Storage { kind: FaultKind::Full, .. } => {
                Self::new(Kind::NoSpace, message).next(
                    "make room on the disk of the data directory, then start the server again",
                )
            }
            ClusterError::Storage { .. } | ClusterError::Threads(_) | ClusterError::Raft(_) => {
                Self::new(Kind::Other, message)
            }
        }
    }
}

impl From<holdfast_service::Error> for NodeError {
    fn from(error: holdfast_service::Error) -> Self {
        Self { kind: error.kind, message: error.message, next: error.next }
    }
}

impl From<holdfast_client::ClientError> for NodeError {
    fn from(error: holdfast_client::ClientError) -> Self {
        Self { kind: error.kind, message: error.message, next: error.next }
    }
}
