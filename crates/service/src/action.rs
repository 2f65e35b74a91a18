//! What can be done, as policies and the audit log name it.

/// Who may do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Any identity of this vault.
    Identity,
    /// An administrator, or a user of the enclave whose policy allows the action on the resource.
    Policy,
    /// An administrator.
    Admin,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $needs:ident, $durable:literal;)*) => {
        /// What can be done.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Action {$(
            $(#[$doc])*
            $name,
        )*}

        impl Action {
            /// All of them. The position of one is its verb in transactions: only ever add at the end.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in policies and in the audit log.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }

            /// Who may do it.
            pub(crate) const fn needs(self) -> Needs {
                match self {$(Self::$name => Needs::$needs,)*}
            }

            /// Whether its audit record is on disk before it takes effect.
            #[must_use]
            pub const fn is_administration(self) -> bool {
                match self {$(Self::$name => $durable,)*}
            }
        }
    };
}

actions! {
    /// Make an enclave.
    EnclaveCreate, "enclave.create", Admin, true;
    /// List enclaves.
    EnclaveList, "enclave.list", Admin, false;
    /// Remove an empty enclave.
    EnclaveRemove, "enclave.remove", Admin, true;
    /// Make a key.
    KeyCreate, "key.create", Policy, false;
    /// List keys.
    KeyList, "key.list", Policy, false;
    /// Show a key.
    KeyShow, "key.show", Policy, false;
    /// Make a key's next version.
    KeyRotate, "key.rotate", Policy, false;
    /// Delete a key: stop every use.
    KeyDelete, "key.delete", Policy, false;
    /// Bring a deleted key back.
    KeyUndelete, "key.undelete", Policy, false;
    /// Encrypt.
    KeyEncrypt, "key.encrypt", Policy, false;
    /// Decrypt.
    KeyDecrypt, "key.decrypt", Policy, false;
    /// Make a data key.
    KeyGenerate, "key.generate", Policy, false;
    /// Make or replace a policy.
    PolicySet, "policy.set", Admin, true;
    /// List policies.
    PolicyList, "policy.list", Admin, false;
    /// Show a policy.
    PolicyShow, "policy.show", Admin, false;
    /// Remove a policy.
    PolicyRemove, "policy.remove", Admin, true;
    /// Make an identity.
    IdentityCreate, "identity.create", Admin, true;
    /// List identities.
    IdentityList, "identity.list", Admin, false;
    /// Show an identity.
    IdentityShow, "identity.show", Admin, false;
    /// Remove an identity.
    IdentityRemove, "identity.remove", Admin, true;
    /// Add a custodian.
    CustodianAdd, "custodian.add", Admin, true;
    /// List custodians.
    CustodianList, "custodian.list", Admin, false;
    /// Show a custodian.
    CustodianShow, "custodian.show", Admin, false;
    /// Remove a custodian.
    CustodianRemove, "custodian.remove", Admin, true;
    /// List seal slots.
    SlotList, "slot.list", Admin, false;
    /// List archives.
    ArchiveList, "archive.list", Admin, false;
    /// Show an archive.
    ArchiveShow, "archive.show", Admin, false;
    /// Begin a backup.
    BackupStart, "backup.start", Admin, true;
    /// Read a backup: its progress, its tar, its sidecars.
    BackupRead, "backup.read", Admin, false;
    /// Report where a backup was stored.
    BackupStored, "backup.stored", Admin, true;
    /// Report a drill.
    DrillRecord, "drill.record", Admin, true;
    /// Read the page a custodian keeps.
    SheetRead, "sheet.read", Policy, false;
    /// Read the vault's status.
    StatusRead, "status.read", Policy, false;
    /// Read metrics.
    MetricsRead, "metrics.read", Identity, false;
    /// A request that is none of the others: an unknown path, a method or a query that does not fit.
    /// Only ever refused.
    Request, "request", Admin, false;
    /// Give a backup up that waits for its reader.
    BackupCancel, "backup.cancel", Admin, true;
    /// Say that the gaps of the audit log were looked at.
    AuditAcknowledge, "audit.acknowledge", Admin, true;
}

impl Action {
    /// Its number in transactions, for history: never interpreted.
    #[must_use]
    pub const fn verb(self) -> u16 {
        self as u16
    }
}
