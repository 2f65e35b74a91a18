//! What a vault says about itself.

use holdfast_types::{EpochId, Millis, NodeId, Revision, VaultId};

use super::ArchiveInfo;

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Something weak.
    Warning,
    /// Keys could be lost.
    Critical,
}

impl Level {
    /// All of them, the least bad first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its published text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A weak point and the command that mends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// How bad.
    pub level: Level,
    /// What, in one line.
    pub what: String,
    /// The next command, in one line.
    pub next: String,
}

/// This node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Its id.
    pub node: NodeId,
    /// Whether it leads.
    pub leader: bool,
    /// Its Raft term.
    pub term: u64,
    /// Milliseconds since a majority was last heard.
    pub majority_age_ms: u64,
    /// Records of its audit chain.
    pub audit_records: u64,
    /// Audit records that were dropped since it started.
    pub audit_dropped: u64,
    /// Calls of strangers that the audit log only counted since it started.
    pub audit_counted: u64,
}

/// The vault, as an identity may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The vault.
    pub vault_id: VaultId,
    /// Its epoch's number.
    pub epoch: u32,
    /// Its incarnation.
    pub incarnation: EpochId,
    /// Its revision.
    pub revision: Revision,
    /// State time.
    pub at: Millis,
    /// The digest of the archived tables, hex.
    pub digest: String,
    /// Live enclaves, keys, key versions, identities and custodians.
    pub counts: Vec<(&'static str, u64)>,
    /// The newest archives, newest first, at most ten.
    pub archives: Vec<ArchiveInfo>,
    /// This node.
    pub node: NodeStatus,
    /// What is weak, worst first.
    pub warnings: Vec<Warning>,
}

/// Whether this node can serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Whether it can.
    pub ready: bool,
    /// Why not.
    pub why: Option<String>,
}

/// Numbers for monitoring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// In the Prometheus text format, version 0.0.4.
    pub text: String,
}
