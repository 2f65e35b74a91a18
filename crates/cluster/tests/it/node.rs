//! A node in a temporary directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_cluster::{Clock, Cluster, Config, SystemClock, seed_id, seed_log, seed_membership};
use holdfast_fs::{Disk, Fs};
use holdfast_machine::{Head, LogId, Outcome, Txn};
use holdfast_store::log::Log;
use holdfast_store::{Applied, DiskStore};
use holdfast_types::{
    Body, Draft, Epoch, EpochId, Expect, IdentityId, Millis, NodeId, Revision, Table, TxnId,
};
use tempfile::TempDir;

pub const NODE: NodeId = NodeId(0xfeed);
const CACHE_BYTES: usize = 4 << 20;

pub fn epoch() -> Epoch {
    let base = Revision::epoch_base(1).unwrap();
    Epoch { n: 1, id: EpochId([7; 16]), parent: EpochId([0; 16]), base }
}

pub fn revision(count: u64) -> Revision {
    Revision(epoch().base.0 + count)
}

/// A seeded data directory.
pub fn seeded() -> TempDir {
    let dir = TempDir::new().unwrap();
    seed(&Disk::shared(), dir.path());
    dir
}

/// A seeded data directory of another file system.
pub fn seed(fs: &Arc<dyn Fs>, dir: &Path) {
    let applied = Applied { log: Some(seed_id(NODE)), membership: seed_membership(NODE, "") };
    make_state_in(fs, dir, applied);
    seed_log(&mut Log::open(Arc::clone(fs), &dir.join("log")).unwrap().0, NODE).unwrap();
}

pub fn make_state(dir: &Path, applied: Applied) {
    make_state_in(&Disk::shared(), dir, applied);
}

fn make_state_in(fs: &Arc<dyn Fs>, dir: &Path, applied: Applied) {
    let (head, state) = (Head::new(epoch()), dir.join("state"));
    let loader = DiskStore::loader(Arc::clone(fs), &state, head, applied).unwrap();
    loader.finish(None).unwrap();
}

/// Starts without checkpoints on another file system.
pub fn start_in(fs: &Arc<dyn Fs>, dir: &Path) -> Cluster {
    let never = Duration::from_secs(3600);
    let config = Config { checkpoint_every: never, dirty_bytes_max: u64::MAX, ..Config::new(NODE) };
    start_config_in(fs, dir, config)
}

pub fn start_config_in(fs: &Arc<dyn Fs>, dir: &Path, config: Config) -> Cluster {
    let store = DiskStore::open(Arc::clone(fs), &dir.join("state"), CACHE_BYTES).unwrap();
    let log = Log::open(Arc::clone(fs), &dir.join("log")).unwrap().0;
    Cluster::start(config, store, log, Arc::new(SystemClock)).unwrap()
}

pub fn open_log(dir: &Path) -> Log {
    Log::open(Disk::shared(), &dir.join("log")).unwrap().0
}

pub fn open_state(dir: &Path) -> DiskStore {
    DiskStore::open(Disk::shared(), &dir.join("state"), CACHE_BYTES).unwrap()
}

pub fn start(dir: &Path) -> Cluster {
    start_with(dir, Config::new(NODE), Arc::new(SystemClock))
}

/// Without checkpoints, so that after a crash everything comes from the log.
pub fn start_without_checkpoints(dir: &Path) -> Cluster {
    let never = Duration::from_secs(3600);
    let config = Config { checkpoint_every: never, dirty_bytes_max: u64::MAX, ..Config::new(NODE) };
    start_with(dir, config, Arc::new(SystemClock))
}

pub fn start_with(dir: &Path, config: Config, clock: Arc<dyn Clock>) -> Cluster {
    Cluster::start(config, open_state(dir), open_log(dir), clock).unwrap()
}

/// A transaction that makes one row.
pub fn create(id: u64, key: &[u8], bytes: &[u8]) -> Txn {
    let body = Body { schema: 1, bytes: bytes.to_vec() };
    let mut draft = Draft::default();
    draft.put(Table::KEYS, key.to_vec(), Expect::Absent, body);
    txn(id, draft)
}

pub fn txn(id: u64, draft: Draft) -> Txn {
    let mut txn_id = [0; 16];
    txn_id[..8].copy_from_slice(&id.to_be_bytes());
    Txn {
        id: TxnId(txn_id),
        epoch: epoch().id,
        at: Millis(0),
        actor: IdentityId::SYSTEM,
        verb: 1,
        expect: draft.expect,
        write: draft.write,
    }
}

/// Makes rows with keys `from..to`, one transaction each.
pub async fn create_rows(cluster: &Cluster, from: u64, to: u64) {
    for n in from..to {
        let outcome = cluster.propose(create(n, &n.to_be_bytes(), b"row")).await.unwrap();
        assert_eq!(outcome, Outcome::Done(revision(n + 1)));
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap().block_on(future)
}

/// Waits until the node made a checkpoint of this entry or a later one.
pub async fn checkpointed(cluster: &Cluster, entry: LogId) {
    for _ in 0..12_000 {
        if cluster.status().checkpointed >= entry.index {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no checkpoint of {entry:?}: {:?}", cluster.status());
}
