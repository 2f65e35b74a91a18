//! A vault's status on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A weak point and the command that mends it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Warning {
    /// `info`, `warning` or `critical`.
    pub level: String,
    /// What, in one line.
    pub what: String,
    /// The next command.
    pub next: String,
}

/// The node that answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id, 16 hex digits.
    pub node_id: String,
    /// Whether it leads.
    pub leader: bool,
    /// Its Raft term.
    pub term: u64,
    /// Milliseconds since a majority was last heard.
    pub majority_age_ms: u64,
    /// Records of its audit chain.
    pub audit_records: u64,
    /// Audit records dropped since it started.
    pub audit_dropped: u64,
    /// Calls of strangers that the audit log only counted since it started.
    pub audit_counted: u64,
}

/// Gaps of the audit log that were acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AuditAcknowledged {
    /// How many.
    pub gaps: u64,
}

/// The vault's status.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The vault's id, hex.
    pub vault_id: String,
    /// Its epoch.
    pub epoch: u32,
    /// Its incarnation, hex.
    pub incarnation: String,
    /// Its revision.
    pub revision: u64,
    /// State time.
    pub at: u64,
    /// The digest of the archived tables, hex.
    pub digest: String,
    /// Live records.
    pub counts: BTreeMap<String, u64>,
    /// The newest archives.
    pub archives: Vec<super::Archive>,
    /// The node that answered.
    pub node: NodeStatus,
    /// What is weak, worst first.
    pub warnings: Vec<Warning>,
}
