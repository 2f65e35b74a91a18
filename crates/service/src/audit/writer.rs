//! The writer: takes batches, makes lines of them, appends, syncs, answers who waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_types::{Millis, NodeId};

use super::files::{Found, Log};
use super::line::{Event, Formatter};
use super::queue::{Batch, Queue, records};
use super::{AuditError, ChainHead};

/// How long lines may stay unsynced while more of them come.
const SYNC_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    queue: Arc<Queue>,
    log: Log,
    formatter: Formatter,
    /// The time of the last record: the log's own lines have no other.
    at: Millis,
    out: Vec<u8>,
    /// Since when lines are in the file and not on disk.
    unsynced: Option<Instant>,
    /// Records that reached us and no file; told in the next line that does.
    owed: u64,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>, log: Log, at: Millis) -> Self {
        let formatter = Formatter::default();
        Self { queue, log, formatter, at, out: Vec::new(), unsynced: None, owed: 0 }
    }

    /// The first line of this run, and what opening found; synced.
    pub(super) fn started(&mut self, node: NodeId) -> Result<(), AuditError> {
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
            batch.bytes.clear();
            batch.dropped = 0;
            self.queue.take(&mut batch, self.unsynced.is_some());
            let written = self.write(&batch);
            let must_sync = !batch.waiters.is_empty()
                || batch.closed
                || batch.bytes.is_empty()
                || self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY);
            let result = written.and_then(|()| if must_sync { self.sync() } else { Ok(()) });
            let failed = result.is_err();
            if let Err(error) = &result {
                self.queue.report(None, Some(error.clone()));
                tracing::error!(%error, "audit log");
            }
            for waiter in batch.waiters.drain(..) {
                // Whoever no longer waits needs no answer.
                let _ = waiter.send(result.clone());
            }
            if batch.closed {
                return;
            }
            if failed {
                self.queue.pause();
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), AuditError> {
        let mut head = self.log.head();
        if self.owed > 0 {
            self.event(&mut head, "audit.dropped", "records", Some(self.owed));
        }
        let mut count = 0;
        for record in records(&batch.bytes) {
            self.at = record.at;
            self.formatter.call(&mut self.out, &mut head, &record);
            count += 1;
        }
        if batch.dropped > 0 {
            self.event(&mut head, "audit.dropped", "records", Some(batch.dropped));
        }
        let flushed = self.flush(head);
        match flushed {
            Ok(()) => self.owed = 0,
            Err(_) => {
                self.owed += count + batch.dropped;
                self.queue.lost(count);
            }
        }
        flushed
    }

    fn event(&mut self, head: &mut ChainHead, action: &'static str, of: &str, count: Option<u64>) {
        let event = Event { at: self.at, action, resource: of, count };
        self.formatter.event(&mut self.out, head, &event);
    }

    fn flush(&mut self, head: ChainHead) -> Result<(), AuditError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let appended = self.log.append(&self.out, head);
        self.out.clear();
        if appended.is_ok() {
            self.unsynced.get_or_insert_with(Instant::now);
        }
        appended
    }

    fn sync(&mut self) -> Result<(), AuditError> {
        if self.unsynced.is_none() {
            self.queue.report(None, None);
            return Ok(());
        }
        self.log.sync()?;
        self.unsynced = None;
        self.queue.report(Some(self.log.head()), None);
        Ok(())
    }
}
