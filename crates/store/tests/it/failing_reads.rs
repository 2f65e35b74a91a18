//! A disk that fails to give back what was written: the state stops, and never stands behind silently.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use holdfast_fs::{File, FileLayer, Fs, FsError, FsLayer, Mem, Open};
use holdfast_machine::{Batch, Changes, Head, RowSink as _, View};
use holdfast_store::{Applied, DiskStore, StateStore, StoreError};
use holdfast_types::{Millis, Revision, Row, Table, Value};

use crate::support::{head, id, txn};

/// Memory whose reads fail, once, after some more of them.
#[derive(Clone, Debug)]
struct Failing {
    mem: Mem,
    left: Arc<AtomicI64>,
}

#[derive(Debug)]
struct FailingFile {
    file: Arc<dyn File>,
    left: Arc<AtomicI64>,
}

impl Failing {
    /// The `n`-th read from now fails; 0 is the next one.
    fn fail_at(&self, n: i64) {
        self.left.store(n, Ordering::SeqCst);
    }

    /// Whether it has failed.
    fn failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

impl FileLayer for FailingFile {
    fn below(&self) -> &dyn File {
        &*self.file
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            let source = std::io::Error::other("the disk gives nothing back");
            return Err(FsError::new("read", Path::new("state"), source));
        }
        self.file.read_at(buf, offset)
    }
}

impl FsLayer for Failing {
    fn below(&self) -> &dyn Fs {
        &self.mem
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let (file, left) = (self.mem.open(path, how)?, Arc::clone(&self.left));
        Ok(Arc::new(FailingFile { file, left }))
    }
}

/// What the next commit is, worked out before reads fail.
fn next(store: &DiskStore, index: u64) -> (Head, Vec<Arc<Changes>>) {
    let view = store.view();
    let keys: Vec<u64> = (0..3).map(|key| key * 3 + index).collect();
    let mut batch = Batch::new(&view);
    batch.apply(&txn(&view, index, Table::JOBS, &keys, false)).expect("readable");
    batch.finish()
}

fn commit(
    store: &mut DiskStore,
    index: u64,
    (head, changes): &(Head, Vec<Arc<Changes>>),
) -> Result<(), StoreError> {
    let applied = Applied { log: Some(id(index)), membership: Vec::new() };
    store.commit(applied, changes, head)
}

#[test]
fn a_read_that_fails_while_committing_stops_the_state() {
    let (dir, mut failures) = (Path::new("/s"), 0);
    for at in 0.. {
        let fs = Failing { mem: Mem::new(), left: Arc::new(AtomicI64::new(i64::MAX)) };
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let loader = DiskStore::loader(Arc::clone(&shared), dir, head(), Applied::default());
        drop(loader.expect("empty").finish(None).expect("an empty state"));
        // Without a cache every page that is looked at comes from the disk.
        let mut store = DiskStore::open(shared, dir, 0).expect("it opens");
        let first = next(&store, 1);
        commit(&mut store, 1, &first).expect("a commit");
        let second = next(&store, 2);
        fs.fail_at(at);
        let done = commit(&mut store, 2, &second);
        let failed = fs.failed();
        fs.fail_at(i64::MAX);
        if done.is_ok() {
            assert_eq!(*store.view().head(), second.0, "at {at}");
        } else {
            failures += 1;
            assert_eq!(*store.view().head(), first.0, "at {at}");
            let again = commit(&mut store, 2, &second);
            assert!(matches!(again, Err(StoreError::Stopped { .. })), "at {at}: {again:?}");
        }
        if !failed {
            break;
        }
    }
    assert!(failures > 5, "{failures} reads that failed");
}

/// More rows than the store keeps in memory: reading them back reads the disk, on every core.
#[test]
fn a_read_that_fails_while_a_load_is_read_back_fails_the_load() {
    for at in [1, 2_000, 9_000] {
        let fs = Failing { mem: Mem::new(), left: Arc::new(AtomicI64::new(i64::MAX)) };
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let loader = DiskStore::loader(shared, Path::new("/s"), head(), Applied::default());
        let mut loader = loader.expect("empty");
        for n in 0..60_000_u32 {
            let (rev, at) = (Revision(1 + u64::from(n)), Millis(1));
            let value = Value { schema: 1, rev, at, body: vec![7; 1000] };
            let row = Row { table: Table::KEYS, key: n.to_be_bytes().to_vec(), value };
            loader.put(&row).expect("sorted rows");
        }
        fs.fail_at(at);
        assert!(loader.finish(None).is_err() && fs.failed(), "at {at}");
    }
}
