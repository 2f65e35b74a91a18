//! Proposals, answers, reads and the feed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_cluster::{Config, ManualClock, ProposeError, ReadIndexError};
use holdfast_machine::{Outcome, Reason, Txn, View, ViewExt};
use holdfast_types::limits::ROW_BODY_BYTES_MAX;
use holdfast_types::{Body, Draft, EpochId, Expect, Millis, Revision, Table};

use crate::node::{NODE, block_on, create, create_rows, revision, seeded, start, start_with, txn};

#[test]
fn an_answer_is_visible_and_was_fed_before() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        let fed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&fed);
        cluster.subscribe(Box::new(move |changes| sink.lock().unwrap().push(changes.revision)));
        for n in 1..=20 {
            let outcome = cluster.propose(create(n, &n.to_be_bytes(), b"row")).await.unwrap();
            assert_eq!(outcome, Outcome::Done(revision(n)));
            assert_eq!(fed.lock().unwrap().last(), Some(&revision(n)));
            assert!(cluster.view().live(Table::KEYS, &n.to_be_bytes()).unwrap().is_some());
        }
        assert_eq!(cluster.fresh().await.map(|view| view.head().revision), Ok(revision(20)));
        let expected: Vec<Revision> = (1..=20).map(revision).collect();
        assert_eq!(*fed.lock().unwrap(), expected);
        let status = cluster.status();
        assert_eq!((status.leader, status.voters), (Some(NODE), vec![NODE]));
        assert!(status.running);
        assert_eq!(cluster.majority_age(), Duration::ZERO);
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn many_at_once_take_one_revision_each_in_the_order_of_the_feed() {
    const PROPOSALS: u64 = 500;
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        let fed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&fed);
        cluster.subscribe(Box::new(move |changes| sink.lock().unwrap().push(changes.revision)));
        let propose = |n: u64| {
            let cluster = cluster.clone();
            tokio::spawn(async move { cluster.propose(create(n, &n.to_be_bytes(), b"row")).await })
        };
        let proposals: Vec<_> = (0..PROPOSALS).map(propose).collect();
        let mut answered = Vec::new();
        for proposal in proposals {
            match proposal.await.unwrap().unwrap() {
                Outcome::Done(revision) => answered.push(revision),
                other => panic!("{other:?}"),
            }
        }
        answered.sort_unstable();
        let expected: Vec<Revision> = (1..=PROPOSALS).map(revision).collect();
        assert_eq!(answered, expected);
        assert_eq!(*fed.lock().unwrap(), expected);
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn a_retry_is_recognised_and_another_transaction_is_not() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        let first = create(1, b"k", b"row");
        assert_eq!(cluster.propose(first.clone()).await, Ok(Outcome::Done(revision(1))));
        create_rows(&cluster, 1, 5).await;
        assert_eq!(cluster.propose(first).await, Ok(Outcome::Done(revision(1))));
        assert_eq!(cluster.view().head().revision, revision(5));
        let outcome = cluster.propose(create(99, b"k", b"row")).await.unwrap();
        assert!(matches!(outcome, Outcome::Conflict { found: Some(r), .. } if r == revision(1)));

        // Recognised by what it wrote, even where the conflict is about a row it only relied on.
        let mut draft = Draft::default();
        draft.require(Table::KEYS, b"k".to_vec(), Expect::At(revision(1)));
        let body = Body { schema: 1, bytes: Vec::new() };
        draft.put(Table::KEYS, b"child".to_vec(), Expect::Absent, body.clone());
        let child = txn(50, draft);
        assert_eq!(cluster.propose(child.clone()).await, Ok(Outcome::Done(revision(6))));
        let mut draft = Draft::default();
        draft.put(Table::KEYS, b"k".to_vec(), Expect::At(revision(1)), body);
        assert_eq!(cluster.propose(txn(51, draft)).await, Ok(Outcome::Done(revision(7))));
        assert_eq!(cluster.propose(child).await, Ok(Outcome::Done(revision(6))));

        // A deletion meets its own tombstone.
        let mut draft = Draft::default();
        draft.delete(Table::KEYS, b"child".to_vec(), revision(6));
        let delete = txn(52, draft);
        assert_eq!(cluster.propose(delete.clone()).await, Ok(Outcome::Done(revision(8))));
        assert_eq!(cluster.propose(delete).await, Ok(Outcome::Done(revision(8))));
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn state_time_follows_the_clock_and_never_goes_back() {
    let dir = seeded();
    block_on(async {
        let clock = Arc::new(ManualClock::at(Millis(10_000)));
        let cluster = start_with(dir.path(), Config::new(NODE), Arc::clone(&clock) as _);
        let mut times = Vec::new();
        for (n, now) in [(0, 10_000), (1, 20_000), (2, 5_000), (3, 20_001)] {
            clock.set(Millis(now));
            create_rows(&cluster, n, n + 1).await;
            times.push(cluster.view().head().at.0);
        }
        assert_eq!(times, [10_000, 20_000, 20_000, 20_001]);
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn what_cannot_be_proposed_changes_nothing() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        let other = Txn { epoch: EpochId([8; 16]), ..create(1, b"k", b"row") };
        let refused = Ok(Outcome::Refused(Reason::WrongEpoch));
        assert_eq!(cluster.propose(other).await, refused);
        let mut draft = Draft::default();
        for n in 0..5_u8 {
            let body = Body { schema: 1, bytes: vec![n; ROW_BODY_BYTES_MAX] };
            draft.put(Table::KEYS, vec![n], Expect::Absent, body);
        }
        let too_large = cluster.propose(txn(2, draft)).await;
        assert!(matches!(too_large, Err(ProposeError::TooLarge(_))));
        assert_eq!(cluster.view().head().revision, revision(0));
        cluster.shutdown().await.unwrap();
    });
}

#[test]
fn after_a_shutdown_nothing_is_proposed() {
    let dir = seeded();
    block_on(async {
        let cluster = start(dir.path());
        create_rows(&cluster, 0, 3).await;
        cluster.shutdown().await.unwrap();
        cluster.shutdown().await.unwrap();
        assert_eq!(cluster.propose(create(9, b"k", b"row")).await, Err(ProposeError::Stopped));
        let stopped = cluster.fresh().await.map(|view| view.head().revision);
        assert_eq!(stopped, Err(ReadIndexError::Stopped));
        assert!(!cluster.status().running);
        assert_eq!(cluster.majority_age(), Duration::MAX);
        assert_eq!(cluster.view().head().revision, revision(3));
    });
}
