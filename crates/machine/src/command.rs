//! Commands as data, and their encoding in the log: `version u8 | postcard`.

use holdfast_types::limits::ENTRY_BYTES_MAX;
use holdfast_types::{Body, EpochId, Expect, IdentityId, Millis, Revision, Table, TxnId};
use serde::{Deserialize, Serialize};

/// The encoding this program writes.
const VERSION: u8 = 1;

/// A position in the replicated log.
///
/// `term` and `node` name the leader that wrote it; ordered by term, then node, then index, as Raft
/// compares logs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct LogId {
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub node: u64,
    /// The entry's index; 0 is the first.
    pub index: u64,
}

/// A transaction: all of it happens, at one revision, or nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Txn {
    /// Drawn by the proposer; a retry carries the same.
    pub id: TxnId,
    /// The incarnation it was made for; refused in any other.
    pub epoch: EpochId,
    /// Stamped by the leader.
    pub at: Millis,
    /// Who asked. For history, never interpreted.
    pub actor: IdentityId,
    /// What was asked. For history, never interpreted.
    pub verb: u16,
    /// What must hold. Every written key stands here.
    pub expect: Vec<(Table, Vec<u8>, Expect)>,
    /// What to write, `None` to delete. A key at most once.
    pub write: Vec<(Table, Vec<u8>, Option<Body>)>,
}

/// What an entry of the log carries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A transaction.
    Txn(Txn),
    /// Forget tombstones older than `floor`, at most `rows_max` of them. Reserved: encoded and
    /// decoded, and refused by `apply` as [`Reason::Unsupported`]. The program that carries it out
    /// raises the encoding's version, so that nodes of two programs cannot differ over it.
    Prune {
        /// Tombstones with an older revision may go.
        floor: Revision,
        /// At most so many in one command.
        rows_max: u32,
    },
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, at this revision.
    Done(Revision),
    /// A row did not stand as expected. The proposer decides again.
    Conflict {
        /// Its table.
        table: Table,
        /// Its key.
        key: Vec<u8>,
        /// The revision that wrote (or deleted) the row as it stands; `None` where there never was
        /// one.
        found: Option<Revision>,
    },
    /// It breaks a rule that no retry mends.
    Refused(Reason),
}

/// Why a command was refused. All but the first and the last two are bugs of the proposer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Reason {
    /// It was made for another incarnation of the vault.
    #[error("transaction was made for another incarnation")]
    WrongEpoch,
    /// More than `TXN_WRITES_MAX` writes.
    #[error("transaction writes too many rows")]
    TooManyWrites,
    /// A written key without an expectation.
    #[error("transaction writes a row it does not expect")]
    UnexpectedWrite,
    /// A key written twice.
    #[error("transaction writes a row twice")]
    DuplicateWrite,
    /// A key or a body above its limit.
    #[error("row too large")]
    RowTooLarge,
    /// Local tables are not replicated.
    #[error("transaction touches a table of the node's own")]
    LocalTable,
    /// A body with schema 0, which is the tombstone's.
    #[error("row body has schema 0")]
    TombstoneSchema,
    /// The epoch has no revision left.
    #[error("epoch has no revision left")]
    EpochFull,
    /// Reserved, not carried out by this program.
    #[error("command is not supported by this version")]
    Unsupported,
}

/// Why a command cannot be encoded: the proposer's turn.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// Above the limit of one entry.
    #[error("command of {0} bytes is larger than a log entry, {ENTRY_BYTES_MAX}")]
    TooLarge(usize),
    /// The encoder refused, which no value of these types can cause.
    #[error("encode command: {0}")]
    Codec(String),
}

/// Why bytes are no command: the entry is damaged, or a newer program wrote it. The node stops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("command is empty")]
    Empty,
    /// A newer program wrote it.
    #[error("command has encoding version {0}, this program knows 1")]
    UnknownVersion(u8),
    /// Above the limit of one entry.
    #[error("command of {0} bytes is larger than a log entry, {ENTRY_BYTES_MAX}")]
    TooLarge(usize),
    /// The body does not parse.
    #[error("command does not parse: {0}")]
    Malformed(String),
    /// Bytes after the end.
    #[error("command is followed by {0} more bytes")]
    Trailing(usize),
}

impl Command {
    /// `version u8 | postcard`, at most `ENTRY_BYTES_MAX` bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let bytes = postcard::to_extend(self, vec![VERSION])
            .map_err(|error| EncodeError::Codec(error.to_string()))?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EncodeError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let (version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
        if *version != VERSION {
            return Err(DecodeError::UnknownVersion(*version));
        }
        let (command, rest) = postcard::take_from_bytes(body)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing(rest.len()));
        }
        Ok(command)
    }
}
