//! What goes into the use cases and what comes out of them: plain data, valid by construction.
//!
//! Wire forms are the API's; nothing here is serialised. States are their published lower-case texts.

mod access;
mod archives;
mod custodians;
mod keys;
mod status;

pub use access::{
    CreateIdentity, IdentityInfo, IdentitySelector, PolicyInfo, Privilege, SetPolicy,
};
pub use archives::{
    ArchiveInfo, BackupInfo, BackupPhase, BackupProgress, BackupStarted, BackupTo, DrillMode,
    DrillRecord, DrillReport, Recipient, Sidecars, StartBackup, StoredReport,
};
pub use custodians::{
    AddCustodian, CustodianAdded, CustodianInfo, CustodianRemoved, CustodianSelector, Sheet,
    SlotInfo,
};
pub use keys::{
    CreateKey, Decrypt, Decrypted, EnclaveInfo, Encrypt, Encrypted, Generate, Generated, KeyInfo,
    KeyList, KeyPage, KeySelector, UndeleteKey, VersionInfo,
};
pub use status::{Level, Metrics, NodeStatus, Ready, Status, Warning};
