//! Loading a whole state, sorted, into an empty place: restores, and snapshots of peers.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, available_parallelism};

use holdfast_fs::Fs;
use holdfast_machine::{Digester, Head, RowSink, SinkError, TableHead, rowcodec};
use holdfast_types::{Row, Table, TableClass};
use redb::{Database, Durability};

use crate::disk::{Range, each_row, write};
use crate::rows::{Tree, put_head, row_key};
use crate::{Applied, DiskStore, Fence, StoreError};

/// Bytes of rows that go into one transaction.
const BATCH_BYTES: usize = 4 << 20;
/// Rows of a part, which one thread reads back at a time.
const PART_ROWS: usize = 16 << 10;
/// Threads that read back at most.
const THREADS_MAX: usize = 8;

/// Takes the rows of a new state. Until [`Loader::finish`] there is nothing that opens.
#[derive(Debug)]
pub struct Loader {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    path: PathBuf,
    database: Database,
    fence: Fence,
    head: Head,
    applied: Applied,
    last: Option<Vec<u8>>,
    rows: usize,
    /// Where each part but the first begins.
    parts: Vec<Vec<u8>>,
    batch: Vec<(Vec<u8>, Vec<u8>)>,
    batch_bytes: usize,
}

impl Loader {
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        path: PathBuf,
        database: Database,
        fence: Fence,
        head: Head,
        applied: Applied,
    ) -> Self {
        Self {
            fs,
            dir,
            path,
            database,
            fence,
            head,
            applied,
            last: None,
            rows: 0,
            parts: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Reads every row back, recomputes the tables' counts and sums, and makes the state durable at
    /// the loader's head, with those tables and without a revision index.
    ///
    /// Errors: [`StoreError::Digest`] when `expected` is given and has other tables.
    pub fn finish(mut self, expected: Option<&Head>) -> Result<DiskStore, StoreError> {
        self.flush()?;
        self.head.tables = self.read_back()?;
        if expected.is_some_and(|expected| expected.tables != self.head.tables) {
            return Err(StoreError::Digest { path: self.dir.clone() });
        }
        self.head.index_floor = self.head.index_floor.max(self.head.revision);
        let (head, applied) = (&self.head, &self.applied);
        write(&self.database, &self.path, Durability::Immediate, &mut |put| {
            put_head(None, head, applied, put)
        })?;
        self.fs.sync_dir(&self.dir)?;
        self.fs.sync_dir(holdfast_fs::parent(&self.dir))?;
        DiskStore::on(self.database, self.path, self.fence)
    }

    /// Reads every part, on as many cores as there is work for.
    fn read_back(&self) -> Result<BTreeMap<Table, TableHead>, StoreError> {
        let next = AtomicUsize::new(0);
        let cores = available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        let helpers = cores.min(self.parts.len() + 1) - 1;
        let read = || self.read_parts(&next);
        std::thread::scope(|scope| {
            // Where there are no threads to be had this one does it alone.
            let helper = |_| Builder::new().spawn_scoped(scope, read).ok();
            let helpers: Vec<_> = (0..helpers).filter_map(helper).collect();
            let mut digester = read()?;
            for helper in helpers {
                let helped = helper.join();
                digester.merge(helped.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(digester.finish())
        })
    }

    /// Takes one part after the other, until none is left or one cannot be read.
    fn read_parts(&self, next: &AtomicUsize) -> Result<Digester, StoreError> {
        let mut digester = Digester::new();
        let last = self.parts.len();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part > last {
                return Ok(digester);
            }
            let border = |n: usize| self.parts.get(n).map(Vec::as_slice);
            let begin = part.checked_sub(1).and_then(border);
            let begin = begin.map_or(Bound::Unbounded, Bound::Included);
            let end = border(part).map_or(Bound::Unbounded, Bound::Excluded);
            self.read_part((begin, end), &mut digester)
                .inspect_err(|_| next.store(last + 1, Ordering::Relaxed))?;
        }
    }

    fn read_part(&self, range: Range<'_>, digester: &mut Digester) -> Result<(), StoreError> {
        let mut damage = None;
        each_row(&self.database, &self.path, range, &mut |key, bytes| {
            let Some((table, key)) = key.split_first() else { return ControlFlow::Continue(()) };
            match rowcodec::decode_value(Table(*table), key, bytes) {
                Ok(value) => {
                    digester.add(&Row { table: Table(*table), key: key.to_vec(), value });
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    damage = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        damage.map_or(Ok(()), |error| Err(error.into()))
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        write(&self.database, &self.path, Durability::None, &mut |put| {
            batch.iter().try_for_each(|(key, value)| put(Tree::Rows, key, Some(value)))
        })?;
        Ok(())
    }
}

impl RowSink for Loader {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        if row.table.class() == TableClass::Local {
            return Err(SinkError::Failed(format!("table {} is a node's own", row.table)));
        }
        let key = row_key(row.table, &row.key);
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(SinkError::OutOfOrder { table: row.table, key: row.key.clone() });
        }
        let value = rowcodec::encode_value(row.table, &row.key, &row.value);
        self.batch_bytes += key.len() + value.len();
        self.rows += 1;
        if self.rows.is_multiple_of(PART_ROWS) {
            self.parts.push(key.clone());
        }
        self.last = Some(key.clone());
        self.batch.push((key, value));
        if self.batch_bytes < BATCH_BYTES {
            return Ok(());
        }
        self.flush().map_err(|error| match error {
            StoreError::Fs(holdfast_fs::FsError::NoSpace { path }) => {
                SinkError::NoSpace(path.display().to_string())
            }
            error => SinkError::Failed(error.to_string()),
        })
    }
}
