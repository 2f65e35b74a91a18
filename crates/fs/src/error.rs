//! What can go wrong below the seam.

use std::io;
use std::path::{Path, PathBuf};

/// Whether the system said that a disk, or the part of it that one may use, is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the system refused because of who asks or how the file system is mounted: nothing is wrong with the disk.
#[must_use]
pub fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// A file operation failed. The variants are those a caller reacts to.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The caller named something that is not there.
    #[error("no such file or directory: {}", path.display())]
    NotFound {
        /// What was named.
        path: PathBuf,
    },
    /// There is something already.
    #[error("already exists: {}", path.display())]
    Exists {
        /// What was named.
        path: PathBuf,
    },
    /// The disk (or a quota) is full: the operator's turn.
    #[error("no space left writing {}", path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("locked by another process: {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file is longer than the reader takes.
    #[error("{} is longer than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        max: usize,
    },
    /// Anything else the system said.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// The operation: "open", "read", "write", "sync", ...
        op: &'static str,
        /// The object.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FsError {
    /// Sorts an error of the system into the variants.
    #[must_use]
    pub fn new(op: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                Self::Exists { path }
            }
            _ if is_full(&source) => Self::NoSpace { path },
            _ => Self::Io { op, path, source },
        }
    }

    /// Whether the named thing simply is not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl From<FsError> for io::Error {
    fn from(error: FsError) -> Self {
        let kind = match &error {
            FsError::NotFound { .. } => io::ErrorKind::NotFound,
            FsError::Exists { .. } => io::ErrorKind::AlreadyExists,
            FsError::NoSpace { .. } => io::ErrorKind::StorageFull,
            FsError::Locked { .. } => io::ErrorKind::WouldBlock,
            FsError::TooLarge { .. } => io::ErrorKind::InvalidData,
            FsError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
