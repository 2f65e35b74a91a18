//! What can go wrong, and whose turn it is.

use holdfast_machine::EncodeError;
use holdfast_store::StoreError;
use holdfast_types::NodeId;

use crate::FaultKind;

/// The cluster cannot run on this node: the operator's turn.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Nobody made this node part of a cluster.
    #[error("node {0} was never made part of a cluster")]
    NotSeeded(NodeId),
    /// The data belong to a cluster without this node.
    #[error("node {0} is no member of the cluster in its data directory")]
    NotMember(NodeId),
    /// The state is older than what the log still has: a checkpoint was lost.
    #[error("state stands at log entry {applied}, but the log begins after {purged}")]
    LogBeginsLater {
        /// Where the state stands.
        applied: u64,
        /// The last entry the log no longer has.
        purged: u64,
    },
    /// The log lost entries that the state holds: its end was cut off, or it is an older copy.
    #[error("state stands at log entry {applied}, but the log ends at {last}: its end is missing")]
    LogEndsEarlier {
        /// Where the state stands.
        applied: u64,
        /// The last entry of the log.
        last: u64,
    },
    /// State and log have another entry at the same place: they are not of one node, or one is older.
    #[error(
        "state and log do not belong together: entry {index} is of term {applied} in the state and of \
         term {found} in the log"
    )]
    OtherLog {
        /// Which entry.
        index: u64,
        /// Its term as the state has it.
        applied: u64,
        /// Its term in the log.
        found: u64,
    },
    /// The vote is older than the log: this node could vote twice in one term.
    #[error(
        "the vote is of term {voted}, but the log has entries of term {last}: it is an older copy"
    )]
    VoteOlder {
        /// The vote's term; 0 where there is none.
        voted: u64,
        /// The term of the log's last entry.
        last: u64,
    },
    /// The state or the log could not be read or written.
    #[error("cluster storage: {0}")]
    Store(#[from] StoreError),
    /// A newer program wrote it.
    #[error("{what} has encoding version {found}, this program knows 1")]
    Newer {
        /// What was being read.
        what: &'static str,
        /// The version it has.
        found: u8,
    },
    /// Stored bytes are not what was written.
    #[error("{what} does not parse: {why}")]
    Damaged {
        /// What was being read.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Its threads could not be started.
    #[error("start threads of the cluster: {0}")]
    Threads(std::io::Error),
    /// State or log could not be written or read at the start: the operator's turn.
    #[error("the storage of this node failed: {why}")]
    Storage {
        /// How.
        kind: FaultKind,
        /// What it said.
        why: String,
    },
    /// Raft stopped or did not get ready.
    #[error("raft: {0}")]
    Raft(String),
}

/// A transaction was not answered.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// Another node leads, or none: it was not proposed. Try there, or later.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// It may or may not happen. A retry must carry the same transaction id.
    #[error("the outcome of the transaction is not known")]
    Unknown,
    /// The node has shut down. It was not proposed.
    #[error("the cluster has stopped on this node")]
    Stopped,
    /// The disk is as good as full: it was not proposed. It works again as soon as there is room.
    #[error("only {free} bytes are free on the disk of {}: nothing was changed", dir.display())]
    NoSpace {
        /// A directory on that disk.
        dir: std::path::PathBuf,
        /// What an ordinary user may still write there.
        free: u64,
    },
    /// State or log could not be written or read. Whether it happened shows when the node was started again.
    #[error("the storage of this node failed, and whether the change was kept is not known: {why}")]
    Storage {
        /// How.
        kind: FaultKind,
        /// What it said.
        why: String,
    },
    /// It does not fit an entry: the caller's turn.
    #[error(transparent)]
    TooLarge(#[from] EncodeError),
}

/// A fresh read is not to be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadIndexError {
    /// Another node leads, or none.
    #[error("this node does not lead the cluster")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// A majority did not answer.
    #[error("no majority of the cluster answers")]
    NoMajority,
    /// The node is shutting down, or its storage failed.
    #[error("the cluster has stopped on this node")]
    Stopped,
}
