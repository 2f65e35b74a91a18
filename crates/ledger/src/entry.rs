//! An entry and its one encoding.

use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{
    ArchiveId, CustodianId, EpochId, IdentityId, Millis, Name, Revision, VaultId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// An entry of the ledger. Its encoding is JSON with sorted keys, no spaces, in one line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// State time at which it was appended.
    pub at: Millis,
    /// What happened.
    pub kind: EntryKind,
    /// SHA-256 of the encoding of the entry before, hex; 64 zeros in the first.
    pub prev: String,
    /// 0, 1, 2, ...
    pub seq: u64,
}

/// How a restore was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillMode {
    /// Opened with the session keys that were kept when it was sealed.
    Byte,
    /// Opened by a custodian, through both layers.
    Full,
}

/// What happened. Fields stand in alphabetical order: that is the order of the encoding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryKind {
    /// A new incarnation: the first start, or a restore.
    Epoch {
        /// The archive it was restored from.
        archive: Option<ArchiveId>,
        /// The incarnation.
        incarnation: EpochId,
        /// Its number.
        n: u32,
        /// The one before; zeros in the first.
        parent: EpochId,
        /// No signature of that archive held, and whoever restored it accepted that. Written where it is so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unsigned: bool,
        /// The vault.
        vault_id: VaultId,
    },
    /// A new administrator who was made without one: by the first start, or by opening a recovery slot.
    Administrator {
        /// Who.
        identity: IdentityId,
    },
    /// An archive was sealed.
    Archive {
        /// Its id.
        archive_id: ArchiveId,
        /// Whom it is sealed to.
        custodians: Vec<CustodianId>,
        /// The state's digest, hex.
        digest: String,
        /// Where it begins.
        from: Revision,
        /// Its name.
        name: String,
        /// SHA-256 of the sealed tar, hex.
        sha256: String,
        /// Bytes of the sealed tar.
        size: u64,
        /// The revision it holds.
        to: Revision,
    },
    /// The whole object was read back from where it lies, hash equal.
    Stored {
        /// Its id.
        archive_id: ArchiveId,
        /// Who says so: `vault`, or `h1:...` as reported.
        by: String,
        /// Where it lies.
        place: String,
    },
    /// That copy was opened, digest equal.
    Verified {
        /// Its id.
        archive_id: ArchiveId,
        /// Who says so.
        by: String,
    },
    /// It was loaded, and a canary and every key version were unwrapped.
    Drilled {
        /// Its id.
        archive_id: ArchiveId,
        /// Who says so.
        by: String,
        /// By whose key a full drill was opened, where that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        custodian_id: Option<CustodianId>,
        /// The digest of what was loaded, hex.
        digest: String,
        /// How long it took, milliseconds.
        elapsed_ms: u64,
        /// How it was opened.
        mode: DrillMode,
        /// Key versions that were unwrapped.
        versions: u64,
    },
    /// A custodian was added.
    CustodianAdded {
        /// Their id.
        custodian_id: CustodianId,
        /// Fingerprint of their certificate.
        fingerprint: String,
        /// Their name.
        name: Name,
    },
    /// A custodian was removed. Old archives still open with their key.
    CustodianRemoved {
        /// Their id.
        custodian_id: CustodianId,
    },
    /// The audit log of a node did not hold the head that the state had recorded of it.
    AuditGap {
        /// Lines up to that head.
        count: u64,
        /// SHA-256 of the last of them, hex.
        hash: String,
        /// Lines that the log had.
        lines: u64,
        /// The node, 16 hex digits.
        node: String,
    },
    /// An administrator looked at all gaps before this entry.
    AuditAcknowledged {
        /// Who.
        by: String,
    },
}

/// Stored bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// They do not parse.
    #[error("ledger entry does not parse: {0}")]
    Json(String),
    /// A number that not every reader of JSON keeps exactly.
    #[error("ledger entry has a number that is no integer from 0 to 2^53 - 1")]
    Integer,
    /// Another spelling of an entry: not what was hashed.
    #[error("ledger entry is not in its canonical form")]
    NotCanonical,
}

impl Entry {
    /// The bytes that are stored and hashed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has string keys only")
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let json = |error: serde_json::Error| EntryError::Json(error.to_string());
        let entry: Self = serde_json::from_slice(bytes).map_err(json)?;
        if !exact(&serde_json::from_slice(bytes).map_err(json)?) {
            return Err(EntryError::Integer);
        }
        if entry.encode() == bytes { Ok(entry) } else { Err(EntryError::NotCanonical) }
    }

    /// SHA-256 of its encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }
}

/// Whether all its numbers are integers from 0 to 2^53 - 1.
fn exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_u64().is_some_and(|n| n <= JSON_INTEGER_MAX),
        Value::Array(values) => values.iter().all(exact),
        Value::Object(fields) => fields.values().all(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}
