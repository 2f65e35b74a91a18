//! One struct per table, a paragraph each: key fields first. `define.rs` makes records of them.

use holdfast_types::{
    ArchiveId, Body, CustodianId, EnclaveId, Generation, IdentityId, JobId, KeyId, Millis, Name,
    NodeId, Revision, SecretId, SlotId, Table, VaultId, Version,
};
use serde::{Deserialize, Serialize};

use crate::define::{Object, TableInfo, records};
use crate::json::{JsonError, fields_of, row_of};
use crate::keypart::KeyPart as _;
use crate::{
    EnclaveState, JobKind, JobState, KeyKind, KeyState, Privilege, Record, RecordError, Rule,
    SecretKind, SlotKind, VersionState, body,
};

records! {
    /// The vault itself; one row.
    Vault, VAULT, "vault",
    key {}
    body {
        /// Its id.
        vault_id: VaultId,
        /// When it was made.
        created: Millis,
    }

    /// An enclave.
    Enclave, ENCLAVES, "enclaves",
    key {
        /// Its id.
        enclave_id: EnclaveId,
    }
    body {
        /// Its name.
        name: Name,
        /// Open or closing.
        state: EnclaveState,
    }

    /// An enclave's name.
    EnclaveName, ENCLAVE_NAMES, "enclave_names",
    key {
        /// The name.
        name: Name,
    }
    body {
        /// Whose.
        enclave_id: EnclaveId,
    }

    /// A key.
    Key, KEYS, "keys",
    key {
        /// Its id.
        key_id: KeyId,
    }
    body {
        /// Its enclave.
        enclave_id: EnclaveId,
        /// Its name, or the last one it had.
        name: Name,
        /// Its kind.
        kind: KeyKind,
        /// Active or deleted.
        state: KeyState,
        /// The newest version, which encrypts.
        primary: Version,
        /// When it was made.
        created: Millis,
    }

    /// A key's name within its enclave.
    KeyName, KEY_NAMES, "key_names",
    key {
        /// The enclave.
        enclave_id: EnclaveId,
        /// The name.
        name: Name,
    }
    body {
        /// Whose.
        key_id: KeyId,
    }

    /// A version of a key, wrapped.
    KeyVersion, KEY_VERSIONS, "key_versions",
    key {
        /// The key.
        key_id: KeyId,
        /// Its number.
        version: Version,
    }
    body {
        /// The key's enclave.
        enclave_id: EnclaveId,
        /// The key's kind.
        kind: KeyKind,
        /// Its SP 800-57 state.
        state: VersionState,
        /// Key check value.
        #[serde(with = "crate::hex")]
        kcv: [u8; 8],
        /// The wrapped secret.
        #[serde(with = "crate::hex")]
        wrapped: Vec<u8>,
    }

    /// A policy.
    Policy, POLICIES, "policies",
    key {
        /// Its enclave.
        enclave_id: EnclaveId,
        /// Its name.
        name: Name,
    }
    body {
        /// What it allows.
        allow: Vec<Rule>,
        /// What it denies; this wins.
        deny: Vec<Rule>,
    }

    /// An identity.
    Identity, IDENTITIES, "identities",
    key {
        /// SHA-256 of its certificate's public key.
        identity: IdentityId,
    }
    body {
        /// Its name.
        name: Name,
        /// Administrator or user.
        privilege: Privilege,
        /// A user's enclave.
        enclave: Option<EnclaveId>,
        /// A user's policy.
        policy: Option<Name>,
        /// When it was made.
        created: Millis,
    }

    /// A generation of the root key.
    RootGeneration, ROOT_GENERATIONS, "root_generations",
    key {
        /// Its number.
        generation: Generation,
    }
    body {
        /// Its check value.
        #[serde(with = "crate::hex")]
        kcv: [u8; 8],
        /// Whether new wraps use it.
        current: bool,
        /// A wrapped constant, to try it with.
        #[serde(with = "crate::hex")]
        canary: Vec<u8>,
    }

    /// A seal slot that travels in archives.
    Slot, SLOTS, "slots",
    key {
        /// The generation it opens.
        generation: Generation,
        /// Its id.
        slot_id: SlotId,
    }
    body {
        /// How it opens.
        kind: SlotKind,
        /// Whose it is.
        custodian: Option<CustodianId>,
        /// Fingerprint it is sealed to, hex.
        recipient: String,
        /// The sealed payload.
        #[serde(with = "crate::hex")]
        sealed: Vec<u8>,
    }

    /// A custodian.
    Custodian, CUSTODIANS, "custodians",
    key {
        /// Their id.
        custodian_id: CustodianId,
    }
    body {
        /// Their name.
        name: Name,
        /// Fingerprint of their certificate, hex.
        fingerprint: String,
        /// Their certificate, binary.
        #[serde(with = "crate::hex")]
        certificate: Vec<u8>,
        /// When they were added.
        added: Millis,
        /// When the certificate expires.
        expires: Option<Millis>,
    }

    /// A secret of the cluster's own, wrapped.
    ClusterSecret, CLUSTER_SECRETS, "cluster_secrets",
    key {
        /// Its id.
        secret_id: SecretId,
    }
    body {
        /// Its number among those of its kind.
        n: u32,
        /// What it is for.
        kind: SecretKind,
        /// When it was made; an OpenPGP fingerprint depends on it.
        created: Millis,
        /// What is public of it.
        #[serde(with = "crate::hex")]
        public: Vec<u8>,
        /// The root generation that wraps it.
        generation: Generation,
        /// The wrapped secret.
        #[serde(with = "crate::hex")]
        wrapped: Vec<u8>,
    }

    /// An entry of the ledger.
    LedgerRow, LEDGER, "ledger",
    key {
        /// Its number.
        seq: u64,
    }
    body {
        /// The ledger's canonical JSON.
        #[serde(with = "crate::hex")]
        entry: Vec<u8>,
    }

    /// The head of a node's audit chain.
    AuditHead, AUDIT_HEADS, "audit_heads",
    key {
        /// The node.
        #[serde(with = "crate::node")]
        node: NodeId,
    }
    body {
        /// Lines so far.
        count: u64,
        /// SHA-256 of the last line.
        #[serde(with = "crate::hex")]
        hash: [u8; 32],
    }

    /// How far an archive has come.
    ArchiveState, ARCHIVE_STATES, "archive_states",
    key {
        /// Its id.
        archive_id: ArchiveId,
    }
    body {
        /// Its name.
        name: String,
        /// It holds what changed after this revision.
        from: Revision,
        /// It holds the state at this revision.
        to: Revision,
        /// SHA-256 of the sealed tar.
        #[serde(with = "crate::hex")]
        sha256: [u8; 32],
        /// Bytes of the sealed tar.
        size: u64,
        /// When it was written.
        written: Option<Millis>,
        /// When it was read back.
        stored: Option<Millis>,
        /// When that copy was opened.
        verified: Option<Millis>,
        /// When it was last restored into scratch.
        drilled: Option<Millis>,
        /// Where it lies.
        where_: String,
    }

    /// The session key of an archive or of a slot, wrapped. A slot is sealed once and lies in many
    /// archives: its row is named by the slot, not by an archive.
    SessionKey, SESSION_KEYS, "session_keys",
    key {
        /// What it opens: [`SessionKey::ARCHIVE`] or [`SessionKey::SLOT`].
        n: u32,
        /// The id of that archive or slot.
        #[serde(with = "crate::hex")]
        id: [u8; 16],
    }
    body {
        /// The wrapped session key.
        #[serde(with = "crate::hex")]
        wrapped: Vec<u8>,
    }

    /// A job that one node should do.
    Job, JOBS, "jobs",
    key {
        /// Its id.
        job_id: JobId,
    }
    body {
        /// What it does.
        kind: JobKind,
        /// Who does it.
        #[serde(with = "crate::node")]
        holder: NodeId,
        /// Raised when another takes it over.
        token: u64,
        /// How far it is.
        state: JobState,
        /// When it was begun.
        started: Millis,
        /// When it ended.
        ended: Option<Millis>,
        /// How, for people.
        note: String,
    }
}

impl SessionKey {
    /// It opens the outer seal of an archive.
    pub const ARCHIVE: u32 = 0;
    /// It opens a slot.
    pub const SLOT: u32 = 1;
}

/// All replicated tables, in the order of their ids.
#[must_use]
pub const fn tables() -> &'static [TableInfo] {
    TABLES
}

/// The name of a table in archives.
#[must_use]
pub fn archive_name(table: Table) -> Option<&'static str> {
    TABLES.iter().find(|info| info.table == table).map(|info| info.name)
}

/// The table of a name in archives.
#[must_use]
pub fn table_named(name: &str) -> Option<Table> {
    TABLES.iter().find(|info| info.name == name).map(|info| info.table)
}
