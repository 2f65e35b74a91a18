//! The types that Raft is told to use, and how ours become its.

use std::fmt;
use std::sync::Arc;

use holdfast_machine::{LogId, Outcome};
use openraft::BasicNode;
use openraft::impls::leader_id_adv::LeaderId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

openraft::declare_raft_types!(
    /// Commands as bytes, outcomes as answers; node ids are random 64-bit numbers.
    pub(crate) TypeConfig:
        D = Data,
        R = Answer,
        NodeId = u64,
        Node = BasicNode,
);

pub(crate) type RaftEntry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type RaftLogId = openraft::alias::LogIdOf<TypeConfig>;
pub(crate) type RaftVote = openraft::alias::VoteOf<TypeConfig>;
pub(crate) type RaftMembership = openraft::Membership<u64, BasicNode>;
pub(crate) type RaftStoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;

/// An encoded command. Cheap to clone: the log's cache and Raft hold the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Data(pub(crate) Arc<Vec<u8>>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| Self(Arc::new(bytes)))
    }
}

/// What applying an entry answers; nothing for Raft's own entries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Option<Outcome>);

pub(crate) const fn to_raft(id: LogId) -> RaftLogId {
    RaftLogId { leader_id: LeaderId { term: id.term, node_id: id.node }, index: id.index }
}

pub(crate) const fn from_raft(id: &RaftLogId) -> LogId {
    LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}
