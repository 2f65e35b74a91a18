//! The cluster as the rest of the program sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use holdfast_machine::{Command, LogId, Outcome, Txn, View};
use holdfast_store::log::Log;
use holdfast_store::{DiskStore, DiskView, StateStore as _, index_entry};
use holdfast_types::{Millis, NodeId, Revision, Table};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{
    ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};
use openraft::{Instant as RaftInstant, Raft, ReadPolicy, ServerState, SnapshotPolicy};
use parking_lot::Mutex;

use crate::apply::{State, StateMachine, Subscriber};
use crate::codec::{decode_membership, decode_vote};
use crate::logstore::LogStore;
use crate::network::NoPeers;
use crate::room::{Fault, Room};
use crate::runtime::Runtime;
use crate::types::{Data, TypeConfig, from_raft};
use crate::{Clock, ClusterError, ProposeError, ReadIndexError};

/// How often it is looked whether a checkpoint is due.
const CHECKPOINT_LOOK: Duration = Duration::from_millis(100);
/// How long to wait between attempts while a leader is not ready.
const RETRY_AFTER: Duration = Duration::from_millis(20);

type ThisRaft = Raft<TypeConfig, StateMachine>;

/// How a node takes part.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// A checkpoint at least so often while something changes.
    pub checkpoint_every: Duration,
    /// A checkpoint as soon as so many bytes are not durable in the store.
    pub dirty_bytes_max: u64,
    /// How many entries the log keeps that a checkpoint already covers.
    pub log_entries_kept: u64,
    /// How long a start may take to apply what the log holds.
    pub start_within: Duration,
    /// How long a proposal waits for its outcome before it is given up as unknown.
    pub propose_within: Duration,
    /// The disk to look at before a change or a checkpoint; none where nobody should look.
    pub room: Option<Room>,
}

impl Config {
    /// The usual: checkpoints every second or 64 MiB.
    #[must_use]
    pub const fn new(node: NodeId) -> Self {
        Self {
            node,
            checkpoint_every: Duration::from_secs(1),
            dirty_bytes_max: 64 << 20,
            log_entries_kept: 256,
            start_within: Duration::from_secs(120),
            propose_within: Duration::from_secs(10),
            room: None,
        }
    }

    fn raft(&self) -> Result<Arc<openraft::Config>, ClusterError> {
        let config = openraft::Config {
            cluster_name: "holdfast".to_owned(),
            heartbeat_interval: 50,
            election_timeout_min: 150,
            election_timeout_max: 300,
            // A snapshot is a checkpoint here, and when one is due is decided by bytes and time.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.log_entries_kept,
            enable_pre_vote: Some(true),
            // A restarted leader starts a new term: entries it had not synced may be gone, and the
            // state stands at the last checkpoint until a new term commits what the log holds.
            enable_leader_restore: Some(false),
            ..openraft::Config::default()
        };
        config.validate().map(Arc::new).map_err(|error| ClusterError::Raft(error.to_string()))
    }
}

/// Where a node stands in its cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// Who leads, if anybody does.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// The last entry applied here.
    pub applied: Option<LogId>,
    /// Index of the last entry covered by a checkpoint of this run; 0 before the first.
    pub checkpointed: u64,
    /// The state's revision here.
    pub revision: Revision,
    /// Whether Raft runs; `false` after a failure of its storage or a shutdown.
    pub running: bool,
}

/// A node's part in its cluster. Clones share it. What waits for Raft is behind a pointer: so Raft is compiled here,
/// and not once more by each crate that waits.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    config: Config,
    state: Arc<State>,
    raft: ThisRaft,
    clock: Arc<dyn Clock>,
    /// The newest time that was stamped.
    stamped: AtomicU64,
    handle: tokio::runtime::Handle,
    threads: Mutex<Option<(Runtime, JoinHandle<()>)>>,
}

impl Cluster {
    /// Starts this node. For a cluster of one it returns when the node leads and has applied its
    /// whole log, so that no read sees an older state than before the last stop.
    ///
    /// Blocks; may be called from any thread.
    pub fn start(
        config: Config,
        store: DiskStore,
        log: Log,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ClusterError> {
        let alone = check_place(&config, &store, &log)?;
        let state = State::new(store);
        let runtime = Runtime::start()?;
        let (log, writer) = LogStore::start(log, state.faults.clone())?;
        let raft_config = config.raft()?;
        let machine = StateMachine(Arc::clone(&state));
        let (node, within) = (config.node.0, config.start_within);
        let started = runtime.wait(async move {
            let network = NoPeers::new();
            let raft = ThisRaft::new(node, raft_config, network, log, machine).await;
            let raft = raft.map_err(|error| ClusterError::Raft(error.to_string()))?;
            if alone {
                // There is nobody to wait for.
                let elected = raft.trigger().elect(false).await;
                elected.map_err(|error| ClusterError::Raft(error.to_string()))?;
                let ready = raft.wait_for_recovery(Some(within)).await;
                let metrics = ready.map_err(|error| ClusterError::Raft(error.to_string()))?;
                // Nor to send heartbeats to: without its clock a node at rest sleeps. Whoever lets another node in
                // must wind it up again, before that.
                if metrics.membership_config.nodes().count() == 1 {
                    raft.runtime_config().tick(false);
                }
            }
            Ok::<_, ClusterError>(raft)
        });
        let died = || ClusterError::Raft("it panicked while starting".to_owned());
        let raft: ThisRaft = match (started.ok_or_else(died)?, state.faults.first()) {
            (Err(_), Some(Fault { kind, why })) => return Err(ClusterError::Storage { kind, why }),
            (started, _) => started?,
        };
        let handle = runtime.handle.clone();
        handle.spawn(checkpoints(config.clone(), Arc::clone(&state), raft.clone()));
        let threads = Mutex::new(Some((runtime, writer)));
        let stamped = AtomicU64::new(0);
        Ok(Self(Arc::new(Inner { config, state, raft, clock, stamped, handle, threads })))
    }

    /// Proposes a transaction and waits for its outcome. When this returns one, the transaction is
    /// durable on a majority and applied here.
    ///
    /// `at` is stamped here. A retry with the same id is safe: one that happened before answers with
    /// the revision it took then. The caller may stop waiting; the proposal goes on.
    pub fn propose(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, ProposeError>> {
        Box::pin(async move {
            let inner = &self.0;
            let stopped = inner.raft.metrics().borrow_watched().running_state.is_err();
            if stopped || inner.threads.lock().is_none() {
                return Err(self.failed(ProposeError::Stopped));
            }
            if let Some(room) = &inner.config.room {
                room.for_a_change()?;
            }
            let command = Command::Txn(Txn { at: self.stamp(), ..txn });
            let data = Data(Arc::new(command.encode()?));
            let within = inner.config.propose_within;
            let write = write(inner.raft.clone(), data, Instant::now() + within);
            let written =
                inner.handle.spawn(async move { tokio::time::timeout(within, write).await });
            // Not answered in time, or Raft's threads were stopped under it: nobody knows.
            let outcome = written.await.map_err(|_| ProposeError::Unknown);
            let outcome = outcome.and_then(|outcome| outcome.unwrap_or(Err(ProposeError::Unknown)));
            let outcome = outcome.map_err(|error| self.failed(error))?;
            match (&outcome, command) {
                (Outcome::Conflict { found, .. }, Command::Txn(txn)) => {
                    Ok(self.done_before(&txn, *found).map_or(outcome, Outcome::Done))
                }
                _ => Ok(outcome),
            }
        })
    }

    /// What Raft cannot say of a proposal: why its storage failed.
    fn failed(&self, error: ProposeError) -> ProposeError {
        match (error, self.fault()) {
            (ProposeError::Unknown | ProposeError::Stopped, Some(Fault { kind, why })) => {
                ProposeError::Storage { kind, why }
            }
            (error, _) => error,
        }
    }

    /// Why state or log could not be written, or read by Raft, if that happened: this node changes nothing any more until
    /// it is started again.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.state.faults.first()
    }

    /// The state as this node has it now.
    #[must_use]
    pub fn view(&self) -> DiskView {
        self.0.state.view()
    }

    /// A state that holds every transaction answered, by any node, before this call (read index).
    pub fn fresh(&self) -> BoxFuture<'_, Result<DiskView, ReadIndexError>> {
        Box::pin(async move {
            let raft = self.0.raft.clone();
            let read = async move { raft.ensure_linearizable(ReadPolicy::ReadIndex).await };
            match self.0.handle.spawn(read).await {
                Ok(Ok(_)) => Ok(self.view()),
                Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => {
                    Err(ReadIndexError::NotLeader { leader: forward.leader_id.map(NodeId) })
                }
                Ok(Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)))) => {
                    Err(ReadIndexError::NoMajority)
                }
                Ok(Err(RaftError::Fatal(_))) | Err(_) => Err(ReadIndexError::Stopped),
            }
        })
    }

    /// How long ago this node knew that it led a majority; zero for a leader that is alone,
    /// `Duration::MAX` for a node that does not lead.
    #[must_use]
    pub fn majority_age(&self) -> Duration {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state != ServerState::Leader || metrics.running_state.is_err() {
            return Duration::MAX;
        }
        if metrics.membership_config.voter_ids().count() == 1 {
            return Duration::ZERO;
        }
        metrics
            .last_quorum_acked
            .as_ref()
            .map_or(Duration::MAX, |acked| RaftInstant::elapsed(&**acked))
    }

    /// Calls `subscriber` with every accepted transaction from now on, in order of revision, after
    /// its commit and before its answer. It runs on Raft's thread: it must be quick and never wait
    /// for the cluster.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.0.state.subscribe(subscriber);
    }

    /// Where this node stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow_watched();
        Status {
            node: self.0.config.node,
            leader: metrics.current_leader.map(NodeId),
            term: metrics.current_term,
            voters: metrics.membership_config.voter_ids().map(NodeId).collect(),
            applied: metrics.last_applied.as_ref().map(from_raft),
            checkpointed: self.0.state.checkpointed(),
            revision: self.view().head().revision,
            running: metrics.running_state.is_ok(),
        }
    }

    /// Works on the store itself: the rows of this node alone are read and written there. Commits
    /// wait meanwhile.
    pub fn with_store<R>(&self, work: impl FnOnce(&mut DiskStore) -> R) -> R {
        work(&mut self.0.state.store.lock())
    }

    /// Stops Raft, makes the state durable and closes the log. Proposals that wait end as unknown.
    /// A second call does nothing. The store stays open, for its views, until the last clone goes.
    pub fn shutdown(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async move {
            let Some((mut runtime, writer)) = self.0.threads.lock().take() else { return Ok(()) };
            let raft = self.0.raft.clone();
            // A task that panicked is gone as well.
            let _ = self.0.handle.spawn(async move { raft.shutdown().await }).await;
            let (state, room) = (Arc::clone(&self.0.state), self.0.config.room.clone());
            let (send, done) = tokio::sync::oneshot::channel();
            let stop = std::thread::Builder::new().name("raft-stop".to_owned()).spawn(move || {
                runtime.stop();
                if writer.join().is_err() {
                    tracing::error!("the log's writer panicked");
                }
                // The log holds what a full disk has no room for.
                let dirty = state.store.lock().dirty_bytes();
                let result = match room {
                    Some(room) if !room.for_a_checkpoint(dirty) => Ok(()),
                    _ => state.checkpoint().map(drop),
                };
                // Before the answer: whoever hears it may hold the last one.
                drop(state);
                // The caller may have stopped waiting.
                let _ = send.send(result);
            });
            stop.map_err(ClusterError::Threads)?;
            let result =
                done.await.map_err(|_| ClusterError::Raft("stopping panicked".to_owned()))?;
            result.map_err(|error| match self.fault() {
                Some(Fault { kind, why }) => ClusterError::Storage { kind, why },
                None => ClusterError::Raft(error.to_string()),
            })
        })
    }

    fn stamp(&self) -> Millis {
        let head = self.0.state.view().head().at;
        let now = self.0.clock.now().max(head).0;
        Millis(self.0.stamped.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// The revision at which this very transaction happened, if a row it wrote still says so.
    fn done_before(&self, txn: &Txn, found: Option<Revision>) -> Option<Revision> {
        let view = self.view();
        let mine = |revision: &Revision| {
            index_entry(&view, *revision).is_ok_and(|e| e.is_some_and(|e| e.txn == txn.id))
        };
        let written = |(table, key, _): &(Table, Vec<u8>, _)| {
            view.get(*table, key).ok().flatten().map(|value| value.rev)
        };
        let met = found.into_iter().chain(txn.write.iter().filter_map(written));
        met.into_iter().find(mine)
    }
}

/// Whether the node is the only voter of its cluster; an error if it has no place in one.
fn check_place(config: &Config, store: &DiskStore, log: &Log) -> Result<bool, ClusterError> {
    let applied = store.applied();
    let membership = decode_membership(&applied.membership)?;
    if membership.membership().voter_ids().next().is_none() {
        return Err(ClusterError::NotSeeded(config.node));
    }
    if membership.membership().get_node(&config.node.0).is_none() {
        return Err(ClusterError::NotMember(config.node));
    }
    check_log(applied.log, log)?;
    Ok(membership.membership().voter_ids().eq([config.node.0]))
}

/// Whether state, log and vote can be of one node at one moment. An entry is durable before it is
/// applied, and a vote before the first entry of its term: so a log that lost its end, cut just where a
/// record ends, shows here where the state or the vote remembers more than it.
fn check_log(applied: Option<LogId>, log: &Log) -> Result<(), ClusterError> {
    let at = applied.map_or(0, |id| id.index);
    let purged = log.purged().map_or(0, |id| id.index);
    if purged > at {
        return Err(ClusterError::LogBeginsLater { applied: at, purged });
    }
    let last = log.last();
    let end = last.map_or(0, |id| id.index);
    if end < at {
        return Err(ClusterError::LogEndsEarlier { applied: at, last: end });
    }
    let found = match log.purged() {
        Some(base) if base.index == at => Some(base),
        _ => log.read(at..at.saturating_add(1))?.first().map(|(id, _)| *id),
    };
    if let (Some(applied), Some(found)) = (applied, found)
        && applied != found
    {
        return Err(ClusterError::OtherLog { index: at, applied: applied.term, found: found.term });
    }
    let vote = log.vote()?.map(|bytes| decode_vote(&bytes)).transpose()?;
    let voted = vote.map_or(0, |vote| vote.leader_id.term);
    match last {
        Some(last) if voted < last.term => Err(ClusterError::VoteOlder { voted, last: last.term }),
        _ => Ok(()),
    }
}

/// Writes until it is answered. A leader that is not ready yet has not proposed it: it is asked again.
/// Where an entry was dropped by a change of leader, the same bytes are proposed again.
async fn write(raft: ThisRaft, data: Data, deadline: Instant) -> Result<Outcome, ProposeError> {
    let mut proposed = false;
    loop {
        let forward = match raft.client_write(data.clone()).await {
            Ok(response) => return response.data.0.ok_or(ProposeError::Unknown),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => forward,
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(forward))) => {
                proposed = true;
                forward
            }
            // It may be in the log already, and happen at the next start.
            Err(_) => return Err(ProposeError::Unknown),
        };
        if !ready_soon(&raft, &forward) || Instant::now() + RETRY_AFTER >= deadline {
            let leader = forward.leader_id.map(NodeId);
            let error =
                if proposed { ProposeError::Unknown } else { ProposeError::NotLeader { leader } };
            return Err(error);
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Whether it is this node that will answer before long.
fn ready_soon(raft: &ThisRaft, forward: &ForwardToLeader<TypeConfig>) -> bool {
    let itself = forward.leader_id.is_none_or(|leader| leader == *raft.node_id());
    itself && forward.reason != ForwardReason::LeadershipTransfer
}

/// Asks for a checkpoint whenever one is due. Raft purges the log after each.
async fn checkpoints(config: Config, state: Arc<State>, raft: ThisRaft) {
    let mut last = Instant::now();
    let mut asked = None;
    loop {
        tokio::time::sleep(CHECKPOINT_LOOK).await;
        // Held by a commit or by the last checkpoint: look again soon.
        let stands = state.store.try_lock().map(|store| (store.applied().log, store.dirty_bytes()));
        let Some((applied, dirty)) = stands else { continue };
        let due = last.elapsed() >= config.checkpoint_every || dirty >= config.dirty_bytes_max;
        if applied == asked || !due {
            continue;
        }
        // Postponed on a full disk: the log holds everything, and a checkpoint that fails stops the node.
        if config.room.as_ref().is_some_and(|room| !room.for_a_checkpoint(dirty)) {
            continue;
        }
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        (last, asked) = (Instant::now(), applied);
    }
}
