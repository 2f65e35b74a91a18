//! Our own encodings of what Raft stores: entries, votes, memberships.
//!
//! Not openraft's, whose types may change with every release. Described in `formats/commands.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_machine::LogId;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::{BasicNode, EntryPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ClusterError;
use crate::types::{
    Data, RaftEntry, RaftMembership, RaftStoredMembership, RaftVote, from_raft, to_raft,
};

const VERSION: u8 = 1;

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERS: u8 = 2;

#[derive(Serialize, Deserialize)]
struct Vote {
    term: u64,
    node: u64,
    committed: bool,
}

/// Voters, one set or two while a change is under way, and every node's address.
#[derive(Serialize, Deserialize)]
struct Members {
    voters: Vec<BTreeSet<u64>>,
    nodes: BTreeMap<u64, String>,
}

#[derive(Serialize, Deserialize)]
struct StoredMembers {
    log: Option<LogId>,
    members: Members,
}

pub(crate) fn encode_vote(vote: &RaftVote) -> Vec<u8> {
    let RaftVote { leader_id: LeaderId { term, node_id: node }, committed } = *vote;
    encode(&Vote { term, node, committed })
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<RaftVote, ClusterError> {
    let Vote { term, node, committed } = decode("vote", bytes)?;
    Ok(RaftVote { leader_id: LeaderId { term, node_id: node }, committed })
}

/// The payload of an entry: `kind u8 | data`.
pub(crate) fn encode_payload(entry: &RaftEntry) -> Vec<u8> {
    match &entry.payload {
        EntryPayload::Blank => vec![BLANK],
        EntryPayload::Normal(data) => [&[COMMAND], data.0.as_slice()].concat(),
        EntryPayload::Membership(membership) => {
            [&[MEMBERS], encode(&members(membership)).as_slice()].concat()
        }
    }
}

pub(crate) fn decode_entry(id: LogId, payload: &[u8]) -> Result<RaftEntry, ClusterError> {
    let damaged = |why: String| ClusterError::Damaged { what: "log entry", why };
    let payload = match payload.split_first() {
        Some((&BLANK, [])) => EntryPayload::Blank,
        Some((&COMMAND, bytes)) => EntryPayload::Normal(Data(Arc::new(bytes.to_vec()))),
        Some((&MEMBERS, bytes)) => EntryPayload::Membership(membership(decode("members", bytes)?)?),
        Some((kind, _)) => return Err(damaged(format!("unknown kind {kind}"))),
        None => return Err(damaged("it is empty".to_owned())),
    };
    Ok(RaftEntry { log_id: to_raft(id), payload })
}

pub(crate) fn encode_membership(stored: &RaftStoredMembership) -> Vec<u8> {
    let log = stored.log_id().as_ref().map(from_raft);
    encode(&StoredMembers { log, members: members(stored.membership()) })
}

/// No bytes are the membership of a node that is in no cluster yet.
pub(crate) fn decode_membership(bytes: &[u8]) -> Result<RaftStoredMembership, ClusterError> {
    if bytes.is_empty() {
        return Ok(RaftStoredMembership::default());
    }
    let stored: StoredMembers = decode("membership", bytes)?;
    Ok(RaftStoredMembership::new(stored.log.map(to_raft), membership(stored.members)?))
}

fn members(membership: &RaftMembership) -> Members {
    let nodes = membership.nodes().map(|(node, info)| (*node, info.addr.clone())).collect();
    Members { voters: membership.get_joint_config().clone(), nodes }
}

fn membership(members: Members) -> Result<RaftMembership, ClusterError> {
    let nodes = members.nodes.into_iter().map(|(node, addr)| (node, BasicNode { addr }));
    let nodes: BTreeMap<u64, BasicNode> = nodes.collect();
    RaftMembership::new(members.voters, nodes)
        .map_err(|error| ClusterError::Damaged { what: "membership", why: error.to_string() })
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("only numbers, texts, lists and maps")
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ClusterError> {
    let damaged = |why: &str| ClusterError::Damaged { what, why: why.to_owned() };
    let (version, body) = bytes.split_first().ok_or_else(|| damaged("it is empty"))?;
    if *version != VERSION {
        return Err(ClusterError::Newer { what, found: *version });
    }
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|error| damaged(&error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(damaged("bytes follow it")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_entry(payload: EntryPayload<Data, u64, BasicNode>, golden: &[u8]) {
        let id = LogId { term: 3, node: 7, index: 9 };
        let entry = RaftEntry { log_id: to_raft(id), payload };
        assert_eq!(encode_payload(&entry), golden);
        assert_eq!(decode_entry(id, golden).expect("what was encoded"), entry);
    }

    #[test]
    fn entries_read_back() {
        check_entry(EntryPayload::Blank, &[0]);
        check_entry(EntryPayload::Normal(Data(Arc::new(vec![1, 2]))), &[1, 1, 2]);
        let nodes = BTreeMap::from([(7, BasicNode { addr: "a:1".to_owned() })]);
        let membership = RaftMembership::new(vec![BTreeSet::from([7])], nodes).expect("valid");
        let golden = [&[2, 1, 1, 1, 7, 1, 7, 3], "a:1".as_bytes()].concat();
        check_entry(EntryPayload::Membership(membership), &golden);
    }

    #[test]
    fn other_bytes_are_errors() {
        let id = LogId { term: 3, node: 7, index: 9 };
        for bytes in [&[][..], &[0, 0], &[3], &[2], &[2, 2], &[2, 1, 0, 0, 0]] {
            assert!(decode_entry(id, bytes).is_err(), "{bytes:?}");
        }
        assert!(decode_vote(&[]).is_err());
        assert!(decode_vote(&[2, 1, 1, 1]).is_err());
        assert!(decode_membership(&[1]).is_err());
    }

    #[test]
    fn votes_and_memberships_read_back() {
        let vote = RaftVote { leader_id: LeaderId { term: 300, node_id: 7 }, committed: true };
        assert_eq!(encode_vote(&vote), [1, 0xac, 2, 7, 1]);
        assert_eq!(decode_vote(&encode_vote(&vote)).expect("what was encoded"), vote);
        let empty = decode_membership(&[]).expect("no membership");
        assert_eq!(empty, RaftStoredMembership::default());
        let again = decode_membership(&encode_membership(&empty)).expect("what was encoded");
        assert_eq!(again, empty);
    }
}
