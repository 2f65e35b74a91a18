//! What is said when something below fails: whose turn it is, and never that what may happen did not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_cluster::{
    Cluster, ClusterError, Config, FaultKind, ProposeError, SystemClock, seed_id,
};
use holdfast_fs::{Fs, Mem};
use holdfast_machine::{LogId, View as _, ViewExt as _};
use holdfast_store::log::Log;
use holdfast_store::{DiskStore, StateStore as _};
use holdfast_types::Table;

use crate::node::{NODE, block_on, create, create_rows, revision, seed, start_in};
use crate::unreliable::Unreliable;

const DIR: &str = "/data";

fn seeded_in(fs: &Arc<dyn Fs>) -> &'static Path {
    fs.create_dir_all(Path::new(DIR)).unwrap();
    seed(fs, Path::new(DIR));
    Path::new(DIR)
}

#[test]
fn what_waits_for_the_log_while_the_node_stops_is_unknown() {
    let disk = Unreliable::default();
    let (fs, dir) = (disk.shared(), seeded_in(&disk.shared()));
    block_on(async {
        let cluster = start_in(&fs, dir);
        create_rows(&cluster, 0, 1).await;
        disk.shut();
        let waiting = cluster.clone();
        let waiting = tokio::spawn(async move { waiting.propose(create(1, b"late", b"x")).await });
        let (seen, stopping) = (disk.clone(), cluster.clone());
        tokio::task::spawn_blocking(move || seen.somebody_waits()).await.unwrap();
        let stopping = tokio::spawn(async move { stopping.shutdown().await });
        assert_eq!(waiting.await.unwrap(), Err(ProposeError::Unknown));
        disk.open_up();
        stopping.await.unwrap().unwrap();
        // What comes after is known not to happen.
        let after = cluster.propose(create(2, b"after", b"x")).await;
        assert_eq!(after, Err(ProposeError::Stopped));
        drop(cluster);

        let cluster = start_in(&fs, dir);
        assert!(cluster.view().live(Table::KEYS, b"late").unwrap().is_some(), "it did happen");
        assert!(cluster.view().live(Table::KEYS, b"after").unwrap().is_none());
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn a_page_that_cannot_be_read_where_it_is_needed_stops_the_node_and_is_named() {
    let disk = Unreliable::default();
    let (fs, dir) = (disk.shared(), seeded_in(&disk.shared()));
    block_on(async {
        // Without a cache, so that a row has to be read before it can be written.
        let store = DiskStore::open(Arc::clone(&fs), &dir.join("state"), 0).unwrap();
        let log = Log::open(Arc::clone(&fs), &dir.join("log")).unwrap().0;
        let never = Duration::from_secs(3600);
        let config =
            Config { checkpoint_every: never, dirty_bytes_max: u64::MAX, ..Config::new(NODE) };
        let cluster = Cluster::start(config, store, log, Arc::new(SystemClock)).unwrap();
        create_rows(&cluster, 0, 200).await;
        cluster.with_store(|store| store.checkpoint().unwrap());
        disk.blind(true);
        for n in [200, 201] {
            let failed = cluster.propose(create(n, b"more", b"x")).await;
            let Err(ProposeError::Storage { kind: FaultKind::Other, why }) = failed else {
                panic!("{failed:?}")
            };
            assert!(why.contains("gives nothing back"), "{why}");
        }
        assert!(!cluster.status().running);
        disk.blind(false);
        drop(cluster);

        let cluster = start_in(&fs, dir);
        assert!(cluster.view().head().revision >= revision(200));
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn what_a_newer_program_wrote_is_called_so() {
    let attempt = |write: &dyn Fn(&mut Log)| {
        let fs = Mem::new().shared();
        let dir = seeded_in(&fs);
        let mut log = Log::open(Arc::clone(&fs), &dir.join("log")).unwrap().0;
        write(&mut log);
        let store = DiskStore::open(fs, &dir.join("state"), 1 << 20).unwrap();
        Cluster::start(Config::new(NODE), store, log, Arc::new(SystemClock)).map(drop).unwrap_err()
    };
    let vote = attempt(&|log| log.save_vote(&[2, 9, 9, 1, 1]).unwrap());
    assert!(matches!(vote, ClusterError::Newer { what: "vote", found: 2 }), "{vote}");
    let command = attempt(&|log| {
        log.append(&[(LogId { index: 2, ..seed_id(NODE) }, vec![1, 2, 0, 0])]).unwrap();
        log.sync().unwrap();
    });
    let ClusterError::Storage { kind: FaultKind::Newer, why } = command else {
        panic!("{command}")
    };
    assert!(why.contains("version 2"), "{why}");
}

#[test]
fn a_damaged_command_is_called_so() {
    let fs = Mem::new().shared();
    let dir = seeded_in(&fs);
    let mut log = Log::open(Arc::clone(&fs), &dir.join("log")).unwrap().0;
    log.append(&[(LogId { index: 2, ..seed_id(NODE) }, vec![1, 1, 0xff])]).unwrap();
    log.sync().unwrap();
    let store = DiskStore::open(fs, &dir.join("state"), 1 << 20).unwrap();
    let started = Cluster::start(Config::new(NODE), store, log, Arc::new(SystemClock)).map(drop);
    assert!(
        matches!(started, Err(ClusterError::Storage { kind: FaultKind::Damaged, .. })),
        "{started:?}"
    );
}
