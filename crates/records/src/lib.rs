//! Every stored record: one struct per table, its row key, its body, its JSON form in archives.
//!
//! A row's key holds the identifying fields, big-endian and concatenated; its body is the postcard
//! encoding of all other fields, in order. Schemas are numbered from 1; an old one keeps its decoder and
//! its JSON for ever. JSON → row → JSON is byte-identical, which [`json::parse`] enforces.

mod body;
mod define;
pub mod json;
mod keypart;
mod kinds;
mod local;
mod node;
mod rule;
mod tables;

pub(crate) use holdfast_types::hex;
use holdfast_types::{Body, Draft, Expect, Millis, Revision, Table};

pub use define::TableInfo;
pub use kinds::{
    EnclaveState, JobKind, JobState, KeyKind, KeyState, Privilege, SecretKind, SlotKind,
    UnknownText, VersionState,
};
pub use local::{Listen, NodeIdentity, SeenWithData, SoftSlot};
pub use rule::{Pattern, Rule, RuleParseError};
pub use tables::{
    ArchiveState, AuditHead, ClusterSecret, Custodian, Enclave, EnclaveName, Identity, Job, Key,
    KeyName, KeyVersion, LedgerRow, Policy, RootGeneration, SessionKey, Slot, Vault, archive_name,
    table_named, tables,
};

/// A record of one table.
pub trait Record: Sized {
    /// Its table.
    const TABLE: Table;
    /// The schema that is written today.
    const SCHEMA: u8;
    /// Its row key.
    fn key(&self) -> Vec<u8>;
    /// Its body, in the schema of today.
    fn encode(&self) -> Body;
    /// Reads a row.
    ///
    /// Errors: a schema newer than this program, bytes that are no such record, bytes left over.
    fn decode(schema: u8, key: &[u8], body: &[u8]) -> Result<Self, RecordError>;
}

/// Stored bytes are no record: the data is damaged, or a newer program wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The key does not parse.
    #[error("row key of table {0} does not parse")]
    Key(Table),
    /// The body does not parse.
    #[error("row body of table {0} does not parse")]
    Body(Table),
    /// A schema this program does not know.
    #[error("table {table} has schema {schema}, newer than this program")]
    Schema {
        /// The table.
        table: Table,
        /// The schema.
        schema: u8,
    },
}

/// A record with where and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<R> {
    /// The revision that wrote it.
    pub rev: Revision,
    /// State time of that revision.
    pub at: Millis,
    /// The record.
    pub record: R,
}

/// Adds the write of `record` to a draft.
pub fn put<R: Record>(draft: &mut Draft, expect: Expect, record: &R) {
    draft.put(R::TABLE, record.key(), expect, record.encode());
}

#[cfg(test)]
mod tests;
