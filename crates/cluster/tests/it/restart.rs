//! What survives a stop, a crash, and what refuses to start.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_cluster::{
    Cluster, ClusterError, Config, ProposeError, SystemClock, seed_id, seed_log, seed_membership,
};
use holdfast_fs::{Fs, Mem};
use holdfast_machine::{LogId, View, ViewExt};
use holdfast_store::{Applied, StateStore};
use holdfast_types::{NodeId, Table, TableClass};
use tempfile::TempDir;

use crate::node::{
    NODE, block_on, checkpointed, create, create_rows, make_state, open_log, open_state, revision,
    seed, seeded, start, start_in, start_with, start_without_checkpoints,
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
        assert_eq!(refused, Err(ProposeError::Unknown));
        // Raft has met a fatal error: it takes nothing more, with space or without.
        mem.heal();
        assert!(cluster.propose(create(11, b"k", b"row")).await.is_err());
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
