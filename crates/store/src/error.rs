//! What can go wrong in the stores.

use std::path::{Path, PathBuf};

use holdfast_fs::FsError;
use holdfast_machine::ReadError;

/// The state, the log or the data directory could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said so: the operator's turn.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Stored bytes are not those that were written: restore, or refill from a peer.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A record of the log that was durable is damaged or missing.
    #[error("log segment {} is damaged at offset {offset}: {why}", segment.display())]
    LogDamaged {
        /// The segment's file.
        segment: PathBuf,
        /// Bytes from its start.
        offset: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// A newer program wrote it.
    #[error("{} has format {found}, this program knows 1", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// A row cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rows read back are not those that were to be stored.
    #[error("the rows read back from {} have another digest than expected", path.display())]
    Digest {
        /// The state's directory.
        path: PathBuf,
    },
    /// The B-tree below said so.
    #[error("state database {}: {why}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What it said.
        why: String,
    },
    /// An earlier write failed, so nothing is known about what is stored: start again.
    #[error("{} takes no more writes after one failed", path.display())]
    Stopped {
        /// The file or directory.
        path: PathBuf,
    },
    /// Entries do not follow each other: our bug.
    #[error("log entry {found} does not follow entry {last:?}")]
    OutOfOrder {
        /// The last entry's index.
        last: Option<u64>,
        /// The entry that was to follow.
        found: u64,
    },
    /// There is no vault: the caller's turn.
    #[error("no vault in {}", .0.display())]
    NoVault(PathBuf),
    /// An init or a restore was interrupted here: repeat it.
    #[error("{} was left unfinished by an init or a restore", .0.display())]
    Incomplete(PathBuf),
    /// There is something already where a vault was to be made.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// There is a whole vault already where one was to be made.
    #[error("there is a vault in {} already", .0.display())]
    Vault(PathBuf),
}

impl StoreError {
    pub(crate) fn corrupt(path: &Path, why: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), why: why.into() }
    }
}
