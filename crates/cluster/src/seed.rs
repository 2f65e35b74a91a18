//! How a node becomes a cluster of one.
//!
//! `init` and `restore` write a state and these seeds; then the node looks as if it had led a cluster
//! of one since [`seed_id`], with everything up to there applied and purged. A node that joins later
//! therefore starts from a snapshot, never from an empty log.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_machine::LogId;
use holdfast_store::StoreError;
use holdfast_store::log::Log;
use holdfast_types::NodeId;
use openraft::BasicNode;
use openraft::impls::leader_id_adv::LeaderId;

use crate::codec::{encode_membership, encode_vote};
use crate::types::{RaftMembership, RaftStoredMembership, RaftVote, to_raft};

/// The entry a seeded state stands at.
#[must_use]
pub const fn seed_id(node: NodeId) -> LogId {
    LogId { term: 1, node: node.0, index: 1 }
}

/// The membership of a cluster whose only voter is `node`, at `addr` (host:port; may be empty while
/// nobody calls it). Goes into the store's `Applied` beside [`seed_id`].
#[must_use]
pub fn seed_membership(node: NodeId, addr: &str) -> Vec<u8> {
    let nodes = BTreeMap::from([(node.0, BasicNode { addr: addr.to_owned() })]);
    let membership = RaftMembership::new(vec![BTreeSet::from([node.0])], nodes)
        .expect("one voter, which is a known node");
    encode_membership(&RaftStoredMembership::new(Some(to_raft(seed_id(node))), membership))
}

/// Makes an empty log begin after [`seed_id`], with `node` as the leader of term 1. Durable when it
/// returns.
pub fn seed_log(log: &mut Log, node: NodeId) -> Result<(), StoreError> {
    log.reset(seed_id(node))?;
    let leader_id = LeaderId { term: 1, node_id: node.0 };
    log.save_vote(&encode_vote(&RaftVote { leader_id, committed: true }))
}
