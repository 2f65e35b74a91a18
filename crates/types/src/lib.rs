//! The vocabulary every other crate speaks: names, ids, revisions, times, tables and limits.
//!
//! Nothing here is secret, and nothing here does I/O, reads a clock or draws a random byte: ids and
//! times arrive in arguments. A value of one of these types is valid by construction; parsing
//! happens once, at the border (`FromStr`, `TryFrom`, `serde`).

pub mod hex;
mod id;
pub mod kind;
pub mod limits;
mod name;
mod revision;
mod row;
mod table;
mod time;

pub use id::{
    ArchiveId, CustodianId, EnclaveId, EpochId, IdentityId, JobId, KeyId, NodeId, ParseIdError,
    SecretId, SlotId, TxnId, VaultId,
};
pub use kind::{Kind, UnknownKind};
pub use name::{Name, NameError};
pub use revision::{Generation, Revision, Version};
pub use row::{Body, Draft, Epoch, Expect, Row, Value};
pub use table::{Table, TableClass};
pub use time::Millis;
