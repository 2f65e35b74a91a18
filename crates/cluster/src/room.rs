//! Whether the disk has room, and what is known once it refused.
//!
//! A database that met a full disk in the middle of a write has to be opened again. So a change is refused
//! while there is still some room, before anything is proposed; then nothing is in doubt, and it works
//! again as soon as there is room. What a disk refuses nevertheless is remembered here.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_fs::{Fs, FsError};
use holdfast_machine::{DecodeError, ReadError};
use holdfast_store::StoreError;
use parking_lot::Mutex;

use crate::{ClusterError, ProposeError};

/// Below so many free bytes nothing is changed: room for the entries under way and a checkpoint.
pub const ROOM_BYTES_MIN: u64 = 4 << 20;
/// Free bytes that a checkpoint wants beside its own.
const CHECKPOINT_BYTES: u64 = 1 << 20;
/// A row that changed makes its page, and those above it, be written anew.
const CHECKPOINT_FACTOR: u64 = 4;

/// The disk that state and log lie on.
#[derive(Clone, Debug)]
pub struct Room {
    /// The file system.
    pub fs: Arc<dyn Fs>,
    /// A directory on that disk.
    pub dir: PathBuf,
}

impl Room {
    /// Refuses what would be proposed on a disk that is as good as full.
    pub(crate) fn for_a_change(&self) -> Result<(), ProposeError> {
        match self.fs.free_bytes(&self.dir) {
            Some(free) if free < ROOM_BYTES_MIN => {
                Err(ProposeError::NoSpace { dir: self.dir.clone(), free })
            }
            _ => Ok(()),
        }
    }

    /// Whether a checkpoint of so many bytes should be tried.
    pub(crate) fn for_a_checkpoint(&self, dirty_bytes: u64) -> bool {
        let wanted = CHECKPOINT_BYTES + CHECKPOINT_FACTOR * dirty_bytes;
        self.fs.free_bytes(&self.dir).is_none_or(|free| free >= wanted)
    }
}

/// State or log could not be written, or read where Raft needs it; the node has to be started again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Whose turn it is.
    pub kind: FaultKind,
    /// What it said.
    pub why: String,
}

/// What kind of fault it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// The disk was full.
    Full,
    /// What was stored is not what was written.
    Damaged,
    /// A newer program wrote it.
    Newer,
    /// The disk refused, or something else below.
    Other,
}

/// The first fault, shared by all that write, and by those who read for Raft.
#[derive(Clone, Default, Debug)]
pub(crate) struct Faults(Arc<Mutex<Option<Fault>>>);

impl Faults {
    pub(crate) fn first(&self) -> Option<Fault> {
        self.0.lock().clone()
    }

    /// Remembers an error, as one of `io`, which Raft takes.
    pub(crate) fn of<E>(&self, error: E) -> std::io::Error
    where
        E: std::error::Error + Send + Sync + 'static,
        for<'a> FaultKind: From<&'a E>,
    {
        let fault = Fault { kind: FaultKind::from(&error), why: error.to_string() };
        self.0.lock().get_or_insert(fault);
        std::io::Error::other(error)
    }
}

impl From<&StoreError> for FaultKind {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Fs(FsError::NoSpace { .. }) => Self::Full,
            StoreError::Newer { .. } => Self::Newer,
            StoreError::Corrupt { .. } | StoreError::LogDamaged { .. } => Self::Damaged,
            StoreError::Digest { .. } => Self::Damaged,
            StoreError::Read(error) => Self::from(error),
            _ => Self::Other,
        }
    }
}

impl From<&ReadError> for FaultKind {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Damaged { .. } => Self::Damaged,
            ReadError::Io(_) => Self::Other,
        }
    }
}

impl From<&DecodeError> for FaultKind {
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::UnknownVersion(_) => Self::Newer,
            _ => Self::Damaged,
        }
    }
}

impl From<&ClusterError> for FaultKind {
    fn from(error: &ClusterError) -> Self {
        match error {
            ClusterError::Newer { .. } => Self::Newer,
            ClusterError::Damaged { .. } => Self::Damaged,
            ClusterError::Store(error) => Self::from(error),
            _ => Self::Other,
        }
    }
}
