//! skeleton: signatures only; bodies follow.
#![allow(clippy::unimplemented, clippy::unused_async, unused_variables)]

use std::sync::Arc;

use holdfast_types::{IdentityId, JobId, Name};

use crate::{
    Action, AddCustodian, ArchiveInfo, BackupInfo, BackupProgress, BackupStarted, Caller,
    CreateIdentity, CreateKey, CustodianInfo, CustodianRemoved, CustodianSelector, Decrypt,
    Decrypted, DrillRecord, DrillReport, EnclaveInfo, Encrypt, Encrypted, Error, Generate,
    Generated, IdentityInfo, IdentitySelector, KeyInfo, KeyList, KeyPage, KeySelector, Metrics,
    PolicyInfo, Ready, SetPolicy, Sheet, Sidecars, SlotInfo, StartBackup, Status, StoredReport,
    UndeleteKey,
};

/// The use cases. Used as `Arc<Service>`.
pub struct Service {}

/// A sealed tar while it is made. Dropping it before the end fails the backup.
pub struct BackupStream {}

impl BackupStream {
    /// The next piece (≤ 64 KiB); `None` at the end. After an error nothing follows.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        unimplemented!()
    }
}

impl Service {
    /// Records a call that was refused before it reached a use case (a name that is none, a body too
    /// large, not JSON), and gives the error back. `resource` is what can be said of it.
    pub fn reject(&self, caller: &Caller, action: Action, resource: &str, error: Error) -> Error {
        unimplemented!()
    }

    /// Whether `identity` is one of this vault's. For listeners; records nothing.
    pub async fn knows(&self, identity: &IdentityId) -> bool {
        unimplemented!()
    }

    /// Makes an enclave.
    pub async fn create_enclave(&self, caller: &Caller, name: &Name) -> Result<EnclaveInfo, Error> {
        unimplemented!()
    }
    /// All enclaves, by name.
    pub async fn list_enclaves(&self, caller: &Caller) -> Result<Vec<EnclaveInfo>, Error> {
        unimplemented!()
    }
    /// Removes an enclave that holds nothing.
    pub async fn remove_enclave(&self, caller: &Caller, name: &Name) -> Result<EnclaveInfo, Error> {
        unimplemented!()
    }

    /// Makes a key of kind `aes256`, with version 1.
    pub async fn create_key(&self, caller: &Caller, key: &CreateKey) -> Result<KeyInfo, Error> {
        unimplemented!()
    }
    /// Keys of an enclave that the caller may list.
    pub async fn list_keys(
        &self,
        caller: &Caller,
        enclave: &Name,
        page: &KeyPage,
    ) -> Result<KeyList, Error> {
        unimplemented!()
    }
    /// A key with its versions.
    pub async fn show_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        unimplemented!()
    }
    /// Makes the next version; older ones then only decrypt.
    pub async fn rotate_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        unimplemented!()
    }
    /// Stops every use at once and frees the name.
    pub async fn delete_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        unimplemented!()
    }
    /// Brings a deleted key back.
    pub async fn undelete_key(
        &self,
        caller: &Caller,
        undelete: &UndeleteKey,
    ) -> Result<KeyInfo, Error> {
        unimplemented!()
    }
    /// Encrypts under the newest version.
    pub async fn encrypt(&self, caller: &Caller, request: Encrypt<'_>) -> Result<Encrypted, Error> {
        unimplemented!()
    }
    /// Decrypts with the key that the ciphertext names.
    pub async fn decrypt(&self, caller: &Caller, request: Decrypt<'_>) -> Result<Decrypted, Error> {
        unimplemented!()
    }
    /// Makes a data key and encrypts it under the newest version.
    pub async fn generate(
        &self,
        caller: &Caller,
        request: Generate<'_>,
    ) -> Result<Generated, Error> {
        unimplemented!()
    }

    /// Makes or replaces a policy.
    pub async fn set_policy(
        &self,
        caller: &Caller,
        enclave: &Name,
        name: &Name,
        rules: &SetPolicy,
    ) -> Result<PolicyInfo, Error> {
        unimplemented!()
    }
    /// The policies of an enclave, by name.
    pub async fn list_policies(
        &self,
        caller: &Caller,
        enclave: &Name,
    ) -> Result<Vec<PolicyInfo>, Error> {
        unimplemented!()
    }
    /// A policy.
    pub async fn show_policy(
        &self,
        caller: &Caller,
        enclave: &Name,
        name: &Name,
    ) -> Result<PolicyInfo, Error> {
        unimplemented!()
    }
    /// Removes a policy; identities that have it may then do nothing.
    pub async fn remove_policy(
        &self,
        caller: &Caller,
        enclave: &Name,
        name: &Name,
    ) -> Result<PolicyInfo, Error> {
        unimplemented!()
    }

    /// Makes an identity; its API key is made, and stays, with the client.
    pub async fn create_identity(
        &self,
        caller: &Caller,
        request: &CreateIdentity,
    ) -> Result<IdentityInfo, Error> {
        unimplemented!()
    }
    /// All identities, by name.
    pub async fn list_identities(&self, caller: &Caller) -> Result<Vec<IdentityInfo>, Error> {
        unimplemented!()
    }
    /// An identity.
    pub async fn show_identity(
        &self,
        caller: &Caller,
        which: &IdentitySelector,
    ) -> Result<IdentityInfo, Error> {
        unimplemented!()
    }
    /// Removes an identity; never the last administrator.
    pub async fn remove_identity(
        &self,
        caller: &Caller,
        which: &IdentitySelector,
    ) -> Result<IdentityInfo, Error> {
        unimplemented!()
    }

    /// Adds a custodian: recipient of archives from now on, and holder of a slot.
    pub async fn add_custodian(
        &self,
        caller: &Caller,
        request: &AddCustodian,
    ) -> Result<CustodianInfo, Error> {
        unimplemented!()
    }
    /// All custodians, by name.
    pub async fn list_custodians(&self, caller: &Caller) -> Result<Vec<CustodianInfo>, Error> {
        unimplemented!()
    }
    /// A custodian.
    pub async fn show_custodian(
        &self,
        caller: &Caller,
        which: &CustodianSelector,
    ) -> Result<CustodianInfo, Error> {
        unimplemented!()
    }
    /// Drops a custodian as recipient, and their slots.
    pub async fn remove_custodian(
        &self,
        caller: &Caller,
        which: &CustodianSelector,
    ) -> Result<CustodianRemoved, Error> {
        unimplemented!()
    }
    /// All seal slots, this node's soft slot included.
    pub async fn list_slots(&self, caller: &Caller) -> Result<Vec<SlotInfo>, Error> {
        unimplemented!()
    }

    /// Archives, newest first.
    pub async fn list_archives(&self, caller: &Caller) -> Result<Vec<ArchiveInfo>, Error> {
        unimplemented!()
    }
    /// An archive, by name (with or without file extensions) or id.
    pub async fn show_archive(&self, caller: &Caller, which: &str) -> Result<ArchiveInfo, Error> {
        unimplemented!()
    }
    /// Begins a backup. To the vault: it goes on by itself (see [`Service::backup_progress`], or wait
    /// with [`Service::backup_to_vault`]). To a client: it goes on when [`Service::backup_stream`] is read.
    pub async fn start_backup(
        self: &Arc<Self>,
        caller: &Caller,
        request: &StartBackup,
    ) -> Result<BackupStarted, Error> {
        unimplemented!()
    }
    /// A backup into the vault's own archive directory, until it is stored: written, synced, read back.
    pub async fn backup_to_vault(
        self: &Arc<Self>,
        caller: &Caller,
        custodians: Option<&[Name]>,
    ) -> Result<BackupInfo, Error> {
        unimplemented!()
    }
    /// How far a backup is.
    pub async fn backup_progress(
        &self,
        caller: &Caller,
        job: JobId,
    ) -> Result<BackupProgress, Error> {
        unimplemented!()
    }
    /// The sealed tar, made while it is read, from one view. Once per job.
    pub async fn backup_stream(
        self: &Arc<Self>,
        caller: &Caller,
        job: JobId,
    ) -> Result<BackupStream, Error> {
        unimplemented!()
    }
    /// JSON and signature of a backup whose tar was read to its end.
    pub async fn backup_sidecars(&self, caller: &Caller, job: JobId) -> Result<Sidecars, Error> {
        unimplemented!()
    }
    /// Records that a client stored a backup: "stored, as reported by h1:...".
    pub async fn backup_stored(
        &self,
        caller: &Caller,
        job: JobId,
        report: &StoredReport,
    ) -> Result<ArchiveInfo, Error> {
        unimplemented!()
    }
    /// Records a drill.
    pub async fn record_drill(
        &self,
        caller: &Caller,
        report: &DrillReport,
    ) -> Result<DrillRecord, Error> {
        unimplemented!()
    }

    /// The page a custodian keeps.
    pub async fn sheet(&self, caller: &Caller) -> Result<Sheet, Error> {
        unimplemented!()
    }
    /// The vault's state and its weak points.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Error> {
        unimplemented!()
    }
    /// Whether this node can serve; never "no" because a backup is late. Records nothing.
    pub fn ready(&self) -> Ready {
        unimplemented!()
    }
    /// Numbers for monitoring: a local caller needs no identity.
    pub async fn metrics(&self, caller: &Caller) -> Result<Metrics, Error> {
        unimplemented!()
    }
}
