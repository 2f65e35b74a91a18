//! What survives a stop, a crash, and what refuses to start.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_cluster::{
    Cluster, ClusterError, Config, FaultKind, ProposeError, ROOM_BYTES_MIN, Room, SystemClock,
    seed_id, seed_log, seed_membership,
};
use holdfast_fs::{Fs, FsLayer, Mem};
use holdfast_machine::{LogId, Outcome, Txn, View, ViewExt};
use holdfast_store::log::Log;
use holdfast_store::{Applied, DiskStore, StateStore};
use holdfast_types::{Body, Draft, Expect, NodeId, Table, TableClass};
use tempfile::TempDir;

use crate::node::{
    NODE, block_on, checkpointed, create, create_rows, make_state, open_log, open_state, revision,
    seed, seeded, start, start_config_in, start_in, start_with, start_without_checkpoints, txn,
};

#[test]
fn a_stopped_node_goes_on_where_it_was() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        create_rows(&cluster, 0, 10).await;
        let digest = cluster.view().head().digest(TableClass::Archived);
        cluster.shutdown().await.unwrap();
        drop(cluster);

        let cluster = start(dir.path());
        assert_eq!(cluster.view().head().revision, revision(10));
        assert_eq!(cluster.view().head().digest(TableClass::Archived), digest);
        create_rows(&cluster, 10, 20).await;
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn everything_answered_survives_a_crash_without_any_checkpoint() {
    let dir = seeded();
    let crashed = TempDir::new().unwrap();
    block_on(async {
        let cluster = start_without_checkpoints(dir.path());
        create_rows(&cluster, 0, 100).await;
        // What is in the files now is what a killed process leaves.
        copy_dir(dir.path(), crashed.path());
        let digest = cluster.view().head().digest(TableClass::Archived);
        cluster.shutdown().await.unwrap();

        let cluster = start(crashed.path());
        assert_eq!(cluster.view().head().revision, revision(100));
        assert_eq!(cluster.view().head().digest(TableClass::Archived), digest);
        create_rows(&cluster, 100, 110).await;
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn everything_answered_survives_crashes_amid_checkpoints() {
    let dir = seeded();
    block_on(async {
        let often = Duration::from_millis(1);
        let config = Config { checkpoint_every: often, log_entries_kept: 0, ..Config::new(NODE) };
        let cluster = start_with(dir.path(), config, Arc::new(SystemClock));
        for n in 1..=5 {
            create_rows(&cluster, (n - 1) * 40, n * 40).await;
            let entry = LogId { index: n * 20, ..seed_id(NODE) };
            checkpointed(&cluster, entry).await;
        }
        cluster.shutdown().await.unwrap();
        drop(cluster);
        let purged = open_log(dir.path()).purged().unwrap();
        let applied = open_state(dir.path()).applied().log.unwrap();
        assert!(purged.index > seed_id(NODE).index, "checkpoints purge the log");
        assert!(purged <= applied, "and never past the state");

        let cluster = start(dir.path());
        let view = cluster.view();
        assert_eq!(view.head().revision, revision(200));
        for n in 0..200_u64 {
            assert!(view.live(Table::KEYS, &n.to_be_bytes()).unwrap().is_some(), "row {n}");
        }
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn a_full_disk_stops_the_node_and_loses_nothing_that_was_answered() {
    let mem = Mem::new();
    let (fs, dir): (Arc<dyn Fs>, _) = (mem.shared(), Path::new("/data"));
    fs.create_dir_all(dir).unwrap();
    seed(&fs, dir);
    block_on(async {
        let cluster = start_in(&fs, dir);
        create_rows(&cluster, 0, 10).await;
        mem.limit_space(0);
        let refused = cluster.propose(create(10, b"k", b"row")).await;
        assert!(
            matches!(refused, Err(ProposeError::Storage { kind: FaultKind::Full, .. })),
            "{refused:?}"
        );
        // Raft has met a fatal error: it takes nothing more, with space or without.
        mem.heal();
        let refused = cluster.propose(create(11, b"k", b"row")).await;
        assert!(
            matches!(refused, Err(ProposeError::Storage { kind: FaultKind::Full, .. })),
            "{refused:?}"
        );
        assert!(!cluster.status().running);
        assert_eq!(cluster.view().head().revision, revision(10));
        cluster.shutdown().await.unwrap();
        drop(cluster);

        let cluster = start_in(&fs, dir);
        assert_eq!(cluster.view().head().revision, revision(10));
        create_rows(&cluster, 10, 12).await;
        cluster.shutdown().await.unwrap();
    });
}

/// Counts how often it is asked for the room that there is.
#[derive(Debug)]
struct Asked {
    below: Mem,
    times: AtomicU64,
}

impl FsLayer for Asked {
    fn below(&self) -> &dyn Fs {
        &self.below
    }

    fn free_bytes(&self, path: &Path) -> Option<u64> {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.below.free_bytes(path)
    }
}

impl Asked {
    /// Waits until it was asked so many times more.
    async fn again(&self, times: u64) {
        let wanted = self.times.load(Ordering::Relaxed) + times;
        for _ in 0..12_000 {
            if self.times.load(Ordering::Relaxed) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody asks for the room any more");
    }
}

/// A change of some 900 KiB.
fn large(id: u64) -> Txn {
    let mut draft = Draft::default();
    for n in 0..4_u8 {
        let body = Body { schema: 1, bytes: vec![n; 225 << 10] };
        draft.put(Table::KEYS, [&b"large"[..], &[n]].concat(), Expect::Absent, body);
    }
    txn(id, draft)
}

#[test]
fn a_change_is_refused_while_there_is_still_some_room_and_done_when_there_is_more() {
    let mem = Mem::new();
    let (fs, dir): (Arc<dyn Fs>, _) = (mem.shared(), Path::new("/data"));
    fs.create_dir_all(dir).unwrap();
    seed(&fs, dir);
    let asked = Arc::new(Asked { below: mem.clone(), times: AtomicU64::new(0) });
    let room = Some(Room { fs: asked.clone(), dir: dir.to_path_buf() });
    let often = Duration::from_millis(1);
    let config = Config { room, checkpoint_every: often, ..Config::new(NODE) };
    block_on(async {
        let cluster = start_config_in(&fs, dir, config);
        create_rows(&cluster, 0, 10).await;
        let before = LogId { index: 12, ..seed_id(NODE) };
        checkpointed(&cluster, before).await;
        // One more change fits, but not the checkpoint that it makes due: that is put off.
        mem.limit_space(ROOM_BYTES_MIN + (1 << 16));
        let outcome = cluster.propose(large(10)).await.unwrap();
        assert_eq!(outcome, Outcome::Done(revision(11)));
        for free in [ROOM_BYTES_MIN - 1, 1000, 0] {
            mem.limit_space(free);
            let refused = cluster.propose(create(11, &11_u64.to_be_bytes(), b"row")).await;
            let dir = dir.to_path_buf();
            assert_eq!(refused, Err(ProposeError::NoSpace { dir, free }));
            // It is put off again and again: tried, it would stop the node.
            asked.again(3).await;
            assert!(cluster.status().checkpointed <= before.index);
            assert_eq!((cluster.status().running, cluster.fault()), (true, None));
            assert_eq!(cluster.view().head().revision, revision(11));
        }
        mem.heal();
        create_rows(&cluster, 11, 20).await;
        checkpointed(&cluster, LogId { index: 22, ..seed_id(NODE) }).await;
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn a_start_on_a_full_disk_says_so_and_works_when_there_is_room() {
    let mem = Mem::new();
    let (fs, dir): (Arc<dyn Fs>, _) = (mem.shared(), Path::new("/data"));
    fs.create_dir_all(dir).unwrap();
    seed(&fs, dir);
    let state = dir.join("state");
    let store = DiskStore::open(Arc::clone(&fs), &state, 4 << 20).unwrap();
    let log = Log::open(Arc::clone(&fs), &dir.join("log")).unwrap().0;
    mem.limit_space(0);
    let refused = Cluster::start(Config::new(NODE), store, log, Arc::new(SystemClock)).map(|_| ());
    assert!(
        matches!(refused, Err(ClusterError::Storage { kind: FaultKind::Full, .. })),
        "{refused:?}"
    );
    mem.heal();
    block_on(async { start_in(&fs, dir).shutdown().await.unwrap() });
}

#[test]
fn a_node_without_a_place_does_not_start() {
    let attempt = |node: NodeId, dir: &Path| {
        let (state, log) = (open_state(dir), open_log(dir));
        Cluster::start(Config::new(node), state, log, Arc::new(SystemClock)).map(|_| ())
    };
    let empty = TempDir::new().unwrap();
    make_state(empty.path(), Applied::default());
    assert!(
        matches!(attempt(NODE, empty.path()), Err(ClusterError::NotSeeded(node)) if node == NODE)
    );

    let other = NodeId(1);
    assert!(matches!(
        attempt(other, seeded().path()),
        Err(ClusterError::NotMember(node)) if node == other
    ));

    // The state is older than anything the log still has.
    let behind = TempDir::new().unwrap();
    make_state(behind.path(), Applied { log: None, membership: seed_membership(NODE, "") });
    seed_log(&mut open_log(behind.path()), NODE).unwrap();
    assert!(matches!(
        attempt(NODE, behind.path()),
        Err(ClusterError::LogBeginsLater { applied: 0, purged: 1 })
    ));
}

/// A segment cut exactly where a record ends, its mark included, is a whole log that is shorter: only what
/// the state remembers tells.
#[test]
fn a_log_cut_at_a_records_end_is_noticed() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        create_rows(&cluster, 0, 20).await;
        cluster.shutdown().await.unwrap();
    });
    let applied = open_state(dir.path()).applied().log.unwrap().index;
    let segment = fs::read_dir(dir.path().join("log")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "log").then_some(path)
    });
    let segment = segment.unwrap();
    let whole = fs::read(&segment).unwrap();
    let ends = record_ends(&whole);
    assert!(ends.len() > 20, "twenty rows are twenty records");
    for end in &ends[..ends.len() - 1] {
        fs::write(&segment, &whole[..*end]).unwrap();
        let (state, log) = (open_state(dir.path()), open_log(dir.path()));
        let last = log.last().unwrap().index;
        assert!(last < applied, "a log cut at {end} opens, and is shorter");
        let refused = Cluster::start(Config::new(NODE), state, log, Arc::new(SystemClock));
        match refused.map(|_| ()) {
            Err(ClusterError::LogEndsEarlier { applied: a, last: l }) => {
                assert_eq!((a, l), (applied, last));
            }
            other => panic!("cut at {end}: {other:?}"),
        }
    }
    fs::write(&segment, &whole).unwrap();
    block_on(async { start(dir.path()).shutdown().await.unwrap() });
}

/// Where each record of a segment ends: header of 56 bytes, its body's length at 4 (`formats/store.md`).
fn record_ends(segment: &[u8]) -> Vec<usize> {
    let mut ends = vec![64];
    while let Some(header) = segment.get(ends[ends.len() - 1]..).filter(|rest| rest.len() >= 56) {
        if !header.starts_with(b"REC1") {
            break;
        }
        let len = u32::from_le_bytes(header[4..8].try_into().unwrap());
        ends.push(ends[ends.len() - 1] + 56 + len as usize);
    }
    ends
}

#[test]
fn a_log_or_a_vote_of_another_time_is_noticed() {
    let attempt = |dir: &Path| {
        let (state, log) = (open_state(dir), open_log(dir));
        Cluster::start(Config::new(NODE), state, log, Arc::new(SystemClock)).map(|_| ())
    };
    let dir = seeded();
    let first = TempDir::new().unwrap();
    block_on(async {
        let cluster = start(dir.path());
        create_rows(&cluster, 0, 3).await;
        cluster.shutdown().await.unwrap();
        drop(cluster);
        copy_dir(dir.path(), first.path());
        let cluster = start(dir.path());
        cluster.shutdown().await.unwrap();
    });
    // The vote of the run before beside the log of this one.
    let newest = fs::read(dir.path().join("log/vote")).unwrap();
    fs::copy(first.path().join("log/vote"), dir.path().join("log/vote")).unwrap();
    let older = attempt(dir.path());
    assert!(matches!(older, Err(ClusterError::VoteOlder { voted: 2, last: 3 })), "{older:?}");
    fs::write(dir.path().join("log/vote"), newest).unwrap();
    assert!(attempt(dir.path()).is_ok());

    // The state of another run: its entry of the same index has another term.
    let other = seeded();
    block_on(async {
        for _ in 0..3 {
            start(other.path()).shutdown().await.unwrap();
        }
    });
    fs::remove_dir_all(first.path().join("state")).unwrap();
    copy_dir(&other.path().join("state"), &first.path().join("state"));
    let mixed = attempt(first.path());
    assert!(matches!(mixed, Err(ClusterError::OtherLog { .. })), "{mixed:?}");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
