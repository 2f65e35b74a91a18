//! Which table a row belongs to, and what that means for archives and digests.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The first byte of a row's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Table(pub u8);

/// What is done with the rows of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TableClass {
    /// In archives and in the state digest.
    Archived,
    /// Replicated, digested apart, never in an archive.
    Cluster,
    /// Of this node alone: neither digested, archived nor sent.
    Local,
}

impl Table {
    /// The vault itself; one row.
    pub const VAULT: Self = Self(0x01);
    /// Enclaves, by id.
    pub const ENCLAVES: Self = Self(0x02);
    /// Enclave name → id.
    pub const ENCLAVE_NAMES: Self = Self(0x03);
    /// Keys, by key id.
    pub const KEYS: Self = Self(0x04);
    /// (enclave id, key name) → key id.
    pub const KEY_NAMES: Self = Self(0x05);
    /// Key versions, by (key id, version).
    pub const KEY_VERSIONS: Self = Self(0x06);
    /// Policies, by (enclave id, name).
    pub const POLICIES: Self = Self(0x07);
    /// Identities, by SPKI hash.
    pub const IDENTITIES: Self = Self(0x08);
    /// Root generations.
    pub const ROOT_GENERATIONS: Self = Self(0x09);
    /// Seal slots that travel in archives.
    pub const SLOTS: Self = Self(0x0a);
    /// Custodians.
    pub const CUSTODIANS: Self = Self(0x0b);
    /// The cluster's own secrets, wrapped.
    pub const CLUSTER_SECRETS: Self = Self(0x0c);
    /// Schedules (reserved).
    pub const SCHEDULES: Self = Self(0x0d);
    /// The ledger, by sequence number.
    pub const LEDGER: Self = Self(0x10);
    /// Heads of the nodes' audit chains.
    pub const AUDIT_HEADS: Self = Self(0x11);
    /// How far each archive has come.
    pub const ARCHIVE_STATES: Self = Self(0x80);
    /// Session keys of archives and their slots, wrapped.
    pub const SESSION_KEYS: Self = Self(0x81);
    /// Old roots, wrapped by the newest (reserved for root rotation).
    pub const OLD_ROOTS: Self = Self(0x82);
    /// Jobs: who holds them, how far they are.
    pub const JOBS: Self = Self(0x83);
    /// Epoch, head, applied log id, membership.
    pub const LOCAL_HEAD: Self = Self(0xe0);
    /// The revision index.
    pub const LOCAL_INDEX: Self = Self(0xe1);
    /// This node's soft slot and listen address.
    pub const LOCAL_NODE: Self = Self(0xe3);

    /// What is done with its rows.
    #[must_use]
    pub const fn class(self) -> TableClass {
        match self.0 {
            0x00..=0x7f => TableClass::Archived,
            0x80..=0xdf => TableClass::Cluster,
            0xe0..=0xff => TableClass::Local,
        }
    }

    /// Whether a change here alone is worth a delta: not for the ledger and the audit heads, which
    /// archives themselves move.
    #[must_use]
    pub const fn triggers_delta(self) -> bool {
        matches!(self.class(), TableClass::Archived)
            && self.0 != Self::LEDGER.0
            && self.0 != Self::AUDIT_HEADS.0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({self})")
    }
}
