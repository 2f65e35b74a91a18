//! The writer: takes batches, makes lines of them, appends, syncs, answers who waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_types::{Millis, NodeId};

use super::files::{Found, Log};
use super::line::{Event, Formatter};
use super::queue::{Batch, Entry, Queue, entries};
use super::{AuditError, ChainHead};

/// How long lines may stay unsynced. With what a batch waits for company, and a slow disk, that is the second that is
/// promised.
const SYNC_EVERY: Duration = Duration::from_millis(900);
/// How often a line may say how many strangers were counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    queue: Arc<Queue>,
    log: Log,
    formatter: Formatter,
    /// The time of the last record: the log's own lines have no other.
    at: Millis,
    out: Vec<u8>,
    /// Since when lines are in the file and not on disk.
    unsynced: Option<Instant>,
    /// What those lines are, and tell of.
    at_risk: AtRisk,
    /// Records that reached us and no file; told in the next line that does.
    owed: u64,
    /// Strangers' calls that lines tell of, and when the last one was written.
    told: u64,
    told_at: Option<Instant>,
    /// The fault that was logged last and lasts: a full disk is tried again every few seconds.
    logged: Option<String>,
}

/// What a sync that fails takes away.
#[derive(Default)]
struct AtRisk {
    records: u64,
    /// Records that were dropped, told in lines.
    dropped: u64,
    /// Strangers' calls, told in lines.
    strangers: u64,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, log: Log, at: Millis) -> Self {
        let formatter = Formatter::default();
        Self {
            queue,
            log,
            formatter,
            at,
            out: Vec::new(),
            unsynced: None,
            at_risk: AtRisk::default(),
            owed: 0,
            told: 0,
            told_at: None,
            logged: None,
        }
    }

    /// The first line of this run, and what opening found; synced.
    pub(super) fn started(&mut self, node: NodeId) -> Result<(), AuditError> {
        self.make_room()?;
        let mut head = self.log.head();
        match self.log.found.clone() {
            Found::Whole => {}
            Found::Cut(bytes) => self.event(&mut head, "audit.cut", "bytes", Some(bytes)),
            Found::Damaged(file) => self.event(&mut head, "audit.damaged", &file, None),
        }
        self.event(&mut head, "audit.start", &format!("node {node}"), None);
        self.flush(head)?;
        self.sync()
    }

    /// Until the queue is closed.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            batch.clear();
            self.queue.take(&mut batch, self.sync_due());
            let written = self.write(&batch);
            // What is in the file already does not wait for a disk that takes no more.
            let must_sync = batch.closed
                || self.sync_due().is_zero()
                || written.is_ok() && (batch.bytes.is_empty() || !batch.waiters.is_empty());
            let synced = if must_sync { self.sync() } else { Ok(()) };
            let result = written.and(synced);
            let failed = result.is_err();
            if let Err(error) = &result {
                self.queue.report(None, Some(error.clone()));
            }
            // Only a sync tells that all is well again.
            if failed || must_sync {
                self.log_change(result.as_ref().err());
            }
            for waiter in batch.waiters.drain(..) {
                // Whoever no longer waits needs no answer.
                let _ = waiter.send(result.clone());
            }
            if batch.closed {
                return;
            }
            if failed {
                self.queue.pause(self.sync_due());
            }
        }
    }

    /// In what time there must be a sync.
    fn sync_due(&self) -> Duration {
        self.unsynced.map_or(SYNC_EVERY, |since| SYNC_EVERY.saturating_sub(since.elapsed()))
    }

    /// Logs a fault that began, has another reason now, or ended.
    fn log_change(&mut self, fault: Option<&AuditError>) {
        let fault = fault.map(ToString::to_string);
        if fault == self.logged {
            return;
        }
        match &fault {
            Some(error) => tracing::error!(%error, "audit log"),
            None => tracing::info!("the audit log is written again"),
        }
        self.logged = fault;
    }

    fn write(&mut self, batch: &Batch) -> Result<(), AuditError> {
        self.out.clear();
        // First, since a sync that fails takes the chain back.
        let room = self.make_room();
        let mut head = self.log.head();
        if self.owed > 0 {
            self.event(&mut head, "audit.dropped", "records", Some(self.owed));
        }
        let (mut records, mut dropped) = (0, 0);
        for entry in entries(&batch.bytes) {
            match entry {
                Entry::Call(record) => {
                    self.at = record.at;
                    self.formatter.call(&mut self.out, &mut head, &record);
                    records += 1;
                }
                Entry::Gap(count) => {
                    self.event(&mut head, "audit.dropped", "records", Some(count));
                    dropped += count;
                }
            }
        }
        let strangers = self.strangers_to_tell(batch.closed);
        if strangers > 0 {
            self.event(&mut head, "audit.counted", "strangers", Some(strangers));
        }
        let flushed = room.and_then(|()| self.flush(head));
        if flushed.is_ok() {
            self.at_risk.records += records;
            self.at_risk.dropped += dropped + std::mem::take(&mut self.owed);
            self.at_risk.strangers += strangers;
            self.told += strangers;
            self.told_at = if strangers > 0 { Some(Instant::now()) } else { self.told_at };
        } else {
            self.owed += records + dropped;
            self.queue.lost(records);
        }
        flushed
    }

    /// How many strangers' calls a line should tell of now.
    fn strangers_to_tell(&self, last: bool) -> u64 {
        if last || self.told_at.is_none_or(|at| at.elapsed() >= COUNT_EVERY) {
            self.queue.strangers.counted().saturating_sub(self.told)
        } else {
            0
        }
    }

    /// Goes on to the next file where this one is full.
    fn make_room(&mut self) -> Result<(), AuditError> {
        if self.log.is_full() {
            // Whatever stands in it: a run before this one may have left lines unsynced.
            self.unsynced.get_or_insert_with(Instant::now);
            self.sync()?;
            self.log.next_file()?;
        }
        Ok(())
    }

    fn event(&mut self, head: &mut ChainHead, action: &'static str, of: &str, count: Option<u64>) {
        let event = Event { at: self.at, action, resource: of, count };
        self.formatter.event(&mut self.out, head, &event);
    }

    fn flush(&mut self, head: ChainHead) -> Result<(), AuditError> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.log.append(&self.out, head)?;
        self.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        if self.unsynced.is_none() {
            self.queue.report(None, None);
            return Ok(());
        }
        self.unsynced = None;
        let at_risk = std::mem::take(&mut self.at_risk);
        if let Err(error) = self.log.sync() {
            // They are cut off: dropped like what never reached the file.
            self.owed += at_risk.records + at_risk.dropped;
            self.told -= at_risk.strangers;
            self.told_at = None;
            self.queue.lost(at_risk.records);
            return Err(error);
        }
        self.queue.report(Some(self.log.head()), None);
        Ok(())
    }
}
