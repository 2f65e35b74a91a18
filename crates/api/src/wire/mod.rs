//! What travels: JSON (RFC 8259) with bytes in base64 (RFC 4648 §4) and times in milliseconds since
//! 1970. Requests and replies of the native API, shared by server and client.
//!
//! A reply has all of its fields, `null` where there is nothing; a request leaves such a field away. One
//! thing has one name in all of them, and in what the commands print with `--json`.

mod access;
mod archives;
mod bytes;
mod custodians;
mod keys;
mod status;

pub use access::{Identities, Identity, NewIdentity, Policies, Policy, Rules};
pub use archives::{
    Archive, Archives, Backup, BackupState, Drill, Drilled, NewBackup, Sidecars, Stored,
};
pub use bytes::{Base64, SecretBase64};
pub use custodians::{
    Custodian, CustodianAdded, CustodianRemoved, Custodians, NewCustodian, Sheet, Slot, Slots,
};
pub use keys::{
    Decrypt, Decrypted, Enclave, Enclaves, Encrypt, Encrypted, Generate, Generated, Key, Keys,
    Named, Undelete, VersionOf,
};
pub use status::{AuditAcknowledged, NodeStatus, Status, Warning};

use serde::{Deserialize, Serialize};

/// The body of every failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub error: FailureBody,
}

/// What went wrong, for programs and for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailureBody {
    /// The kind's text, as in `holdfast_types::Kind::code`.
    pub code: String,
    /// The exit code of a command that ends with it.
    pub exit: u8,
    /// One line: a lowercase fragment that names the object.
    pub message: String,
    /// The next step, where it is known.
    pub next: Option<String>,
}
