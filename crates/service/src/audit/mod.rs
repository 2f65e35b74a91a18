//! The audit log: one JSON line for every call, allowed or refused, chained by SHA-256, per node.
//! Its form is `formats/audit.md`.
//!
//! Invariants:
//! - A call never waits for the disk, except administration: [`Audit::record_durable`] returns when the
//!   line is synced, and the caller acts only then.
//! - Memory is bounded ([`Limits::queue_bytes`]). What does not fit is counted, and the count is itself
//!   a line, in the place of the lines that are missing.
//! - Strangers, who may be anybody, have lines up to a rate and in room of their own ([`Room::Strangers`]);
//!   the rest is counted, and the count is a line, too.
//! - Where the disk refuses (no space), serving goes on, lines are dropped and counted, administration
//!   fails, and [`Audit::fault`] says why until a write succeeds again.
//! - A sync that fails is never taken back by a later one: what it was for is cut off and counted as dropped.
//! - The times in lines come with the records; its own clock is the monotonic one, for rates.

mod files;
mod line;
mod queue;
mod strangers;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use holdfast_fs::{Fs, FsError};
use holdfast_types::{IdentityId, Kind, Millis, NodeId};
use parking_lot::Mutex;

use crate::Action;
use queue::Queue;

pub use verify::{Break, verify};

/// What happened to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Administration that is about to take effect; a second line follows with its outcome.
    Begun,
    /// Done.
    Ok,
    /// Not done, and why.
    Failed(Kind),
}

impl Outcome {
    /// Its text in a line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Ok => "ok",
            Self::Failed(kind) => kind.code(),
        }
    }
}

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// Something within an enclave, written `enclave/name`.
    Within(&'a str, &'a str),
    /// Anything else.
    Text(&'a str),
}

/// Whose room a line waits in. None takes room from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// Calls of whom the vault knows.
    Calls,
    /// The last line of administration that had begun, and may have taken effect.
    Ends,
    /// Calls of whom the vault does not know: up to a rate, and what comes beyond it is only counted.
    Strangers,
}

/// A call, to be recorded. Borrowed: recording allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When.
    pub at: Millis,
    /// Who; `None` without a certificate.
    pub identity: Option<IdentityId>,
    /// From where.
    pub remote: &'a str,
    /// What was asked.
    pub action: Action,
    /// Of what.
    pub resource: Resource<'a>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was done besides, and what only the log may know: why authentication failed. Cut at 1 KiB.
    pub detail: &'a str,
}

/// How far a chain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainHead {
    /// Lines so far, over all files; the last line's `seq`.
    pub count: u64,
    /// SHA-256 of the last line with its newline; zeros before the first.
    pub hash: [u8; 32],
}

/// Why the log could not be opened or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The file system refused.
    #[error("failed to write the audit log: {0}")]
    Fs(Arc<FsError>),
    /// It cannot be read back where it must go on.
    #[error("audit file {path} cannot be continued: {why}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// More calls wait to be written than it keeps.
    #[error("the audit log is behind: too many calls wait to be written")]
    Behind,
    /// It is closed, or its thread could not be started.
    #[error("the audit log is closed")]
    Closed,
}

impl AuditError {
    /// Whose turn it is, and the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fs(error) if matches!(**error, FsError::NoSpace { .. }) => Kind::NoSpace,
            Self::Damaged { .. } => Kind::Damaged,
            _ => Kind::Unavailable,
        }
    }
}

impl From<FsError> for AuditError {
    fn from(error: FsError) -> Self {
        Self::Fs(Arc::new(error))
    }
}

/// How much it may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of calls' records waiting. A quarter of it besides for strangers', and for the ends of
    /// administration; twice all that while a batch is written.
    pub queue_bytes: usize,
    /// Bytes after which the next file begins.
    pub file_bytes: u64,
}

impl Default for Limits {
    /// 4 MiB of records (about 30 000 calls), files of 64 MiB.
    fn default() -> Self {
        Self { queue_bytes: 4 << 20, file_bytes: 64 << 20 }
    }
}

/// The audit log of this node. Clones share it; it is closed with [`Audit::close`] or its last clone.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
    opened: Instant,
}

impl Audit {
    /// Opens the log in `dir` (made if absent), continues its chain, and starts its writer. A torn tail
    /// is cut; a damaged file is left as it is and the chain goes on in the next one. Both, and every
    /// start, are lines of the log.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        node: NodeId,
        now: Millis,
        limits: Limits,
    ) -> Result<Self, AuditError> {
        let log = files::Log::open(fs.clone(), dir, limits.file_bytes)?;
        let queue = Arc::new(Queue::new(limits.queue_bytes, log.head()));
        let mut writer = writer::Writer::new(queue.clone(), log, now);
        writer.started(node)?;
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|_| AuditError::Closed)?;
        let (dir, thread, opened) = (dir.to_owned(), Mutex::new(Some(thread)), Instant::now());
        Ok(Self { inner: Arc::new(Inner { fs, dir, queue, thread, opened }) })
    }

    /// Records a call; never waits. Written within tens of milliseconds, synced within a second.
    pub fn record(&self, room: Room, record: &Record<'_>) {
        match room {
            Room::Strangers => {
                self.inner.queue.push_strangers(record, self.inner.opened.elapsed());
            }
            // What is not taken is counted there.
            Room::Calls | Room::Ends => _ = self.inner.queue.push(room, record),
        }
    }

    /// Records a call and returns when its line is synced to disk.
    ///
    /// Errors: the disk refused, or the queue was full; then the call must not take effect.
    pub async fn record_durable(&self, record: &Record<'_>) -> Result<(), AuditError> {
        let synced = self.inner.queue.push_durable(record)?;
        synced.await.unwrap_or(Err(AuditError::Closed))
    }

    /// How far the chain is on disk, synced.
    #[must_use]
    pub fn head(&self) -> ChainHead {
        self.inner.queue.head()
    }

    /// Whether a head that was recorded elsewhere is one of this log's: its line is there, the same, and
    /// the chain is whole from the beginning of its file to it. Reads that file: for a start.
    ///
    /// Errors: the log cannot be read.
    pub fn holds(&self, head: &ChainHead) -> Result<bool, AuditError> {
        verify::holds(&*self.inner.fs, &self.inner.dir, head)
    }

    /// How many records were dropped since it was opened.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.queue.dropped()
    }

    /// How many strangers' calls were only counted since it was opened.
    #[must_use]
    pub fn strangers_counted(&self) -> u64 {
        self.inner.queue.strangers.counted()
    }

    /// Why it cannot be written at the moment.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.inner.queue.fault().map(|error| error.to_string())
    }

    /// Writes and syncs what waits, and ends the writer. Later records are dropped.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the writer was reported where it happened; nothing is left to close.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod tests;
