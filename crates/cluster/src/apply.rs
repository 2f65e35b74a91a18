//! Raft's state machine over the store: one commit per call, then the feed, then the answers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::{Stream, StreamExt};
use holdfast_machine::{Batch, Changes, Command, View};
use holdfast_store::{Applied, DiskStore, DiskView, StateStore as _};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, alias};
use parking_lot::{Mutex, RwLock};

use crate::codec::{decode_membership, encode_membership};
use crate::room::Faults;
use crate::types::{
    Answer, RaftEntry, RaftLogId, RaftStoredMembership, TypeConfig, from_raft, to_raft,
};

/// Most entries of one commit: bounds the memory of a replay.
const COMMIT_ENTRIES_MAX: usize = 4096;
/// Most bytes of commands of one commit, for the same reason.
const COMMIT_BYTES_MAX: usize = 32 << 20;

/// Called with every accepted transaction.
pub type Subscriber = Box<dyn Fn(&Arc<Changes>) + Send + Sync>;
type Snapshot = alias::SnapshotOf<TypeConfig, DiskView>;
type Pending = (RaftEntry, Option<ApplyResponder<TypeConfig>>);

/// The state, shared by Raft, by readers and by the checkpoint task.
pub(crate) struct State {
    pub(crate) store: Mutex<DiskStore>,
    view: RwLock<DiskView>,
    feed: RwLock<Vec<Subscriber>>,
    /// Whether Raft asked for a snapshot since the start; before, it must not be shown one.
    snapshot: AtomicBool,
    /// Index of the last durable entry; 0 before the first checkpoint.
    checkpointed: AtomicU64,
    pub(crate) faults: Faults,
}

impl State {
    pub(crate) fn new(store: DiskStore) -> Arc<Self> {
        let view = store.view();
        Arc::new(Self {
            store: Mutex::new(store),
            view: RwLock::new(view),
            feed: RwLock::default(),
            snapshot: AtomicBool::new(false),
            checkpointed: AtomicU64::new(0),
            faults: Faults::default(),
        })
    }

    pub(crate) fn view(&self) -> DiskView {
        self.view.read().clone()
    }

    pub(crate) fn subscribe(&self, subscriber: Subscriber) {
        self.feed.write().push(subscriber);
    }

    pub(crate) fn checkpointed(&self) -> u64 {
        self.checkpointed.load(Ordering::Relaxed)
    }

    /// Makes everything committed so far durable; the state that is durable now.
    pub(crate) fn checkpoint(&self) -> io::Result<(Applied, DiskView)> {
        let mut store = self.store.lock();
        store.checkpoint().map_err(|error| self.faults.of(error))?;
        let applied = store.applied();
        self.checkpointed.store(applied.log.map_or(0, |id| id.index), Ordering::Relaxed);
        Ok((applied, store.view()))
    }

    /// Applies entries, commits them together, tells the feed, answers.
    fn commit(&self, entries: Vec<Pending>) -> io::Result<()> {
        let Some((last, _)) = entries.last() else { return Ok(()) };
        let log = Some(from_raft(&last.log_id));
        let view = self.view();
        let mut batch = Batch::new(&view);
        let mut membership = None;
        let mut answers = Vec::new();
        for (entry, responder) in entries {
            let answer = Answer(match entry.payload {
                EntryPayload::Blank => None,
                EntryPayload::Normal(data) => {
                    let command =
                        Command::decode(&data.0).map_err(|error| self.faults.of(error))?;
                    Some(batch.apply(&command).map_err(|error| self.faults.of(error))?.0)
                }
                EntryPayload::Membership(members) => {
                    membership = Some(RaftStoredMembership::new(Some(entry.log_id), members));
                    None
                }
            });
            answers.extend(responder.map(|responder| (responder, answer)));
        }
        let (head, changes) = batch.finish();
        let mut store = self.store.lock();
        let membership = match membership {
            Some(stored) => encode_membership(&stored),
            None => store.applied().membership,
        };
        let applied = Applied { log, membership };
        store.commit(applied, &changes, &head).map_err(|error| self.faults.of(error))?;
        *self.view.write() = store.view();
        drop(store);
        for changes in &changes {
            self.feed.read().iter().for_each(|subscriber| subscriber(changes));
        }
        for (responder, answer) in answers {
            responder.send(answer);
        }
        Ok(())
    }
}

/// Raft's handle on the state.
pub(crate) struct StateMachine(pub(crate) Arc<State>);

fn position(applied: &Applied) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
    let membership = decode_membership(&applied.membership).map_err(io::Error::other)?;
    Ok((applied.log.map(to_raft), membership))
}

fn snapshot_of(applied: &Applied, view: DiskView) -> io::Result<Snapshot> {
    let (last_log_id, last_membership) = position(applied)?;
    let meta = alias::SnapshotMetaOf::<TypeConfig> { last_log_id, last_membership };
    Ok(Snapshot { meta, snapshot: view })
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    /// A view: taking one costs nothing.
    type SnapshotData = DiskView;
    type SnapshotBuilder = Checkpointer;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, RaftStoredMembership)> {
        position(&self.0.store.lock().applied())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut pending: Vec<Pending> = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            if let EntryPayload::Normal(data) = &entry.payload {
                bytes += data.0.len();
            }
            pending.push((entry, responder));
            if pending.len() >= COMMIT_ENTRIES_MAX || bytes >= COMMIT_BYTES_MAX {
                self.0.commit(std::mem::take(&mut pending))?;
                bytes = 0;
            }
        }
        self.0.commit(pending)
    }

    async fn get_snapshot_builder(&mut self) -> Checkpointer {
        Checkpointer(Arc::clone(&self.0))
    }

    /// Takes the position of a snapshot whose rows this node already has. Loading another node's rows
    /// belongs to the transport between peers, and there are none: it is refused.
    async fn install_snapshot(
        &mut self,
        meta: &alias::SnapshotMetaOf<TypeConfig>,
        snapshot: DiskView,
    ) -> io::Result<()> {
        let head = snapshot.head().clone();
        if head != *self.0.view().head() {
            return Err(io::Error::other("this version cannot load a snapshot of another node"));
        }
        let log = meta.last_log_id.as_ref().map(from_raft);
        let membership = encode_membership(&meta.last_membership);
        let mut store = self.0.store.lock();
        store.commit(Applied { log, membership }, &[], &head).map_err(io::Error::other)?;
        *self.0.view.write() = store.view();
        drop(store);
        self.0.checkpoint()?;
        self.0.snapshot.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The state as it stands. Never kept: a view that is held pins old pages in the store.
    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        if !self.0.snapshot.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let store = self.0.store.lock();
        snapshot_of(&store.applied(), store.view()).map(Some)
    }
}

/// Builds a snapshot by making the state durable, so that Raft, which purges the log up to its newest
/// snapshot, never purges an entry that a crash would need.
pub(crate) struct Checkpointer(Arc<State>);

impl RaftSnapshotBuilder<TypeConfig> for Checkpointer {
    type SnapshotData = DiskView;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let state = Arc::clone(&self.0);
        let checkpoint = tokio::task::spawn_blocking(move || state.checkpoint());
        let (applied, view) = checkpoint.await.map_err(io::Error::other)??;
        self.0.snapshot.store(true, Ordering::Relaxed);
        snapshot_of(&applied, view)
    }
}
