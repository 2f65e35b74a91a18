//! Raft's log over the store's [`Log`]: one writer thread, group commit, recent entries in memory.
//!
//! `append` puts entries into the tail (so that they can be read at once, as Raft requires) and
//! queues them; the writer takes all that is queued, writes it, syncs once, and only then reports the
//! entries as flushed. Every write to the log goes through that queue, so writes keep their order.
//! After one failed write nothing more is written: the node stops, and starts from what is on disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use futures_util::{Stream, stream};
use holdfast_machine::LogId;
use holdfast_store::log::Log;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, RaftLogReader};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ClusterError;
use crate::codec::{decode_entry, decode_vote, encode_payload, encode_vote};
use crate::room::Faults;
use crate::types::{RaftEntry, RaftLogId, RaftVote, TypeConfig, from_raft, to_raft};

/// Bytes of flushed entries kept in memory, so that applying them does not read the disk.
const TAIL_BYTES_MAX: usize = 16 << 20;
/// Most appends that one sync covers.
const GROUP_MAX: usize = 1024;
/// Most entries one limited read returns.
const READ_ENTRIES_MAX: u64 = 1024;
/// Most entries that are read from the disk at once for a replay: each has at most 1 MiB.
const READ_OLD_ENTRIES_MAX: u64 = 64;

/// The writing half. Raft owns it; dropping it ends the writer thread.
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Write>,
}

/// A reading half.
#[derive(Clone)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

struct Shared {
    log: Mutex<Log>,
    tail: Mutex<Tail>,
    vote: Mutex<Option<RaftVote>>,
    faults: Faults,
}

/// The newest entries, flushed or not.
#[derive(Default)]
struct Tail {
    entries: BTreeMap<u64, RaftEntry>,
    bytes: usize,
}

enum Write {
    Append(Vec<RaftEntry>, IOFlushed<TypeConfig>),
    Vote(RaftVote, Done),
    Truncate(Option<u64>, Done),
    Purge(LogId, Done),
}

type Done = oneshot::Sender<io::Result<()>>;

impl LogStore {
    /// Takes the log over and starts its writer thread, which ends some time after the store was
    /// dropped; whoever needs the log closed joins it.
    pub(crate) fn start(log: Log, faults: Faults) -> Result<(Self, JoinHandle<()>), ClusterError> {
        let vote = log.vote()?.map(|bytes| decode_vote(&bytes)).transpose()?;
        let shared = Arc::new(Shared {
            log: Mutex::new(log),
            tail: Mutex::new(Tail::default()),
            vote: Mutex::new(vote),
            faults,
        });
        let (queue, writes) = mpsc::channel();
        let writer = Writer { shared: Arc::clone(&shared), failed: None };
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || writer.run(&writes))
            .map_err(ClusterError::Threads)?;
        Ok((Self { shared, queue }, thread))
    }

    async fn write(&self, write: impl FnOnce(Done) -> Write) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.queue.send(write(done)).map_err(|_| writer_gone())?;
        result.await.map_err(|_| writer_gone())?
    }
}

fn writer_gone() -> io::Error {
    io::Error::other("the log's writer has stopped")
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let newest = self.shared.tail.lock().entries.last_key_value().map(|(_, e)| e.log_id);
        let log = self.shared.log.lock();
        let last_purged_log_id = log.purged().map(to_raft);
        let last_log_id = newest.or_else(|| log.last().map(to_raft)).max(last_purged_log_id);
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> io::Result<()> {
        self.write(|done| Write::Vote(*vote, done)).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<RaftEntry> = entries.into_iter().collect();
        self.shared.tail.lock().push(&entries);
        self.queue.send(Write::Append(entries, callback)).map_err(|_| writer_gone())
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> io::Result<()> {
        let last = last_log_id.map(|id| id.index);
        self.shared.tail.lock().truncate_after(last);
        self.write(|done| Write::Truncate(last, done)).await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> io::Result<()> {
        self.shared.tail.lock().purge_to(log_id.index);
        self.write(|done| Write::Purge(from_raft(&log_id), done)).await
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<RaftEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (start, end) = half_open(&range);
        let recent = self.shared.tail.lock().range(start, end);
        // What is not in the tail was flushed before it left it.
        let end = recent.first().map_or(end, |entry| entry.log_id.index);
        let mut entries = self.older(start, end)?;
        entries.extend(recent);
        Ok(entries)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (at, end) = half_open(&range);
        stream::iter(Pieces { reader: self.clone(), at, end, piece: Vec::new().into_iter() })
    }

    async fn read_vote(&mut self) -> io::Result<Option<RaftVote>> {
        Ok(*self.shared.vote.lock())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<RaftEntry>> {
        self.try_get_log_entries(start..end.min(start.saturating_add(READ_ENTRIES_MAX))).await
    }
}

impl LogReader {
    /// From the disk.
    fn older(&self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        let faults = &self.shared.faults;
        let older = self.shared.log.lock().read(start..end).map_err(|error| faults.of(error))?;
        let older = older.iter().map(|(id, payload)| decode_entry(*id, payload));
        older.collect::<Result<_, _>>().map_err(|error| faults.of(error))
    }

    /// Some of the entries from `start` on; none where there are no more.
    fn piece(&self, start: u64, end: u64) -> io::Result<Vec<RaftEntry>> {
        let recent =
            self.shared.tail.lock().range(start, end.min(start.saturating_add(READ_ENTRIES_MAX)));
        match recent.first() {
            Some(first) if first.log_id.index == start => Ok(recent),
            first => {
                let end = first.map_or(end, |first| first.log_id.index);
                let purged = self.shared.log.lock().purged().map_or(0, |id| id.index);
                let start = start.max(purged.saturating_add(1));
                self.older(start, end.min(start.saturating_add(READ_OLD_ENTRIES_MAX)))
            }
        }
    }
}

/// Entries in their order, a piece in memory at a time: a replay may be of a long log.
struct Pieces {
    reader: LogReader,
    at: u64,
    end: u64,
    piece: std::vec::IntoIter<RaftEntry>,
}

impl Iterator for Pieces {
    type Item = io::Result<RaftEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.piece.len() == 0 && self.at < self.end {
            match self.reader.piece(self.at, self.end) {
                Ok(piece) => self.piece = piece.into_iter(),
                Err(error) => {
                    self.end = self.at;
                    return Some(Err(error));
                }
            }
        }
        let entry = self.piece.next()?;
        self.at = entry.log_id.index.saturating_add(1);
        Some(Ok(entry))
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl Tail {
    fn push(&mut self, entries: &[RaftEntry]) {
        for entry in entries {
            self.bytes += size(entry);
            self.entries.insert(entry.log_id.index, entry.clone());
        }
    }

    fn range(&self, start: u64, end: u64) -> Vec<RaftEntry> {
        if start >= end {
            return Vec::new();
        }
        self.entries.range(start..end).map(|(_, entry)| entry.clone()).collect()
    }

    fn truncate_after(&mut self, last: Option<u64>) {
        let gone = match last.map(|last| last.checked_add(1)) {
            Some(Some(first)) => self.entries.split_off(&first),
            Some(None) => BTreeMap::new(),
            None => std::mem::take(&mut self.entries),
        };
        self.bytes -= gone.values().map(size).sum::<usize>();
    }

    fn purge_to(&mut self, index: u64) {
        while let Some(entry) = self.entries.first_entry().filter(|entry| *entry.key() <= index) {
            self.bytes -= size(&entry.remove());
        }
    }

    /// Forgets the oldest of the entries up to `flushed` while there are too many.
    fn trim(&mut self, flushed: u64) {
        while self.bytes > TAIL_BYTES_MAX {
            match self.entries.first_entry().filter(|entry| *entry.key() <= flushed) {
                Some(entry) => self.bytes -= size(&entry.remove()),
                None => break,
            }
        }
    }
}

/// Bytes an entry holds, roughly.
fn size(entry: &RaftEntry) -> usize {
    128 + match &entry.payload {
        EntryPayload::Normal(data) => data.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

struct Writer {
    shared: Arc<Shared>,
    /// The first error. Nothing is written after it.
    failed: Option<String>,
}

impl Writer {
    fn run(mut self, writes: &mpsc::Receiver<Write>) {
        let mut unsynced = Vec::new();
        while let Ok(first) = writes.recv() {
            let more = writes.try_iter().take(GROUP_MAX);
            for write in std::iter::once(first).chain(more) {
                self.write(write, &mut unsynced);
            }
            self.sync(&mut unsynced);
        }
    }

    fn write(&mut self, write: Write, unsynced: &mut Vec<(u64, IOFlushed<TypeConfig>)>) {
        if let Write::Append(entries, callback) = write {
            let last = entries.last().map_or(0, |entry| entry.log_id.index);
            match self.attempt(|shared| append(shared, &entries)) {
                Ok(()) => unsynced.push((last, callback)),
                Err(error) => callback.io_completed(Err(error)),
            }
            return;
        }
        self.sync(unsynced);
        let (result, done) = match write {
            Write::Append(..) => unreachable!("handled above"),
            Write::Vote(vote, done) => (self.attempt(|shared| save_vote(shared, vote)), done),
            Write::Truncate(last, done) => (self.attempt(|shared| truncate(shared, last)), done),
            Write::Purge(id, done) => {
                let purge = |shared: &Shared| shared.log.lock().purge_to(id);
                (
                    self.attempt(|shared| purge(shared).map_err(|error| shared.faults.of(error))),
                    done,
                )
            }
        };
        // Raft may have stopped waiting.
        let _ = done.send(result);
    }

    fn sync(&mut self, unsynced: &mut Vec<(u64, IOFlushed<TypeConfig>)>) {
        let Some(flushed) = unsynced.last().map(|(last, _)| *last) else { return };
        let result = self
            .attempt(|shared| shared.log.lock().sync().map_err(|error| shared.faults.of(error)));
        if result.is_ok() {
            self.shared.tail.lock().trim(flushed);
        }
        let error = result.err().map(|error| error.to_string());
        for (_, callback) in unsynced.drain(..) {
            let result =
                error.as_ref().map_or(Ok(()), |error| Err(io::Error::other(error.clone())));
            callback.io_completed(result);
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&Shared) -> io::Result<()>) -> io::Result<()> {
        if let Some(failed) = &self.failed {
            return Err(io::Error::other(failed.clone()));
        }
        let result = write(&self.shared);
        if let Err(error) = &result {
            tracing::error!(%error, "the log cannot be written");
            self.failed = Some(error.to_string());
        }
        result
    }
}

fn append(shared: &Shared, entries: &[RaftEntry]) -> io::Result<()> {
    let encode = |entry: &RaftEntry| (from_raft(&entry.log_id), encode_payload(entry));
    let records: Vec<_> = entries.iter().map(encode).collect();
    shared.log.lock().append(&records).map_err(|error| shared.faults.of(error))
}

fn save_vote(shared: &Shared, vote: RaftVote) -> io::Result<()> {
    let saved = shared.log.lock().save_vote(&encode_vote(&vote));
    saved.map_err(|error| shared.faults.of(error))?;
    *shared.vote.lock() = Some(vote);
    Ok(())
}

fn truncate(shared: &Shared, last: Option<u64>) -> io::Result<()> {
    shared.log.lock().truncate_after(last).map_err(|error| shared.faults.of(error))
}
