//! `manifest.json`, inside the seal: what the archive holds, and what must agree before it is used.

use std::collections::BTreeMap;

use holdfast_machine::Head;
use holdfast_records::archive_name;
use holdfast_types::{
    ArchiveId, CustodianId, EpochId, Generation, Millis, Revision, SlotId, TableClass, VaultId, hex,
};
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::public::{LedgerHead, Public};
use crate::{ArchiveError, ArchiveName, Signer};

/// What an archive holds. Fields stand in the order of the canonical form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its id.
    pub archive_id: ArchiveId,
    /// As in the public JSON.
    pub base_sha256: Option<String>,
    /// The wrapped canary of the current root generation.
    #[serde(with = "hex")]
    pub canary: Vec<u8>,
    /// Rows by table name.
    pub counts: BTreeMap<String, Count>,
    /// As in the public JSON.
    pub created: Millis,
    /// Digest of all archived tables at `to`, hex.
    pub digest: String,
    /// As in the public JSON.
    pub epoch: u32,
    /// As in the public JSON.
    pub file: String,
    /// As in the public JSON.
    pub format: String,
    /// As in the public JSON.
    pub from: Revision,
    /// As in the public JSON.
    pub incarnation: EpochId,
    /// As in the public JSON.
    pub kind: String,
    /// As in the public JSON.
    pub ledger: LedgerHead,
    /// As in the public JSON.
    pub min_reader: u32,
    /// Custodians that open both layers.
    pub openers: Vec<CustodianId>,
    /// As in the public JSON.
    pub prev_sha256: Option<String>,
    /// As in the public JSON.
    pub recipients: Vec<String>,
    /// Root generations that live rows name.
    pub roots: Vec<RootEntry>,
    /// As in the public JSON.
    pub seal: String,
    /// As in the public JSON.
    pub signer: Signer,
    /// The slots inside.
    pub slots: Vec<SlotEntry>,
    /// As in the public JSON.
    pub to: Revision,
    /// Tombstones below this may be missing.
    pub tombstone_horizon: Revision,
    /// As in the public JSON.
    pub vault_id: VaultId,
    /// As in the public JSON.
    pub version: u32,
}

/// Rows of a table.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Tombstones.
    pub deleted: u64,
    /// Live rows.
    pub live: u64,
}

/// A root generation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootEntry {
    /// Whether new wraps use it.
    pub current: bool,
    /// Its number.
    pub generation: Generation,
    /// Its check value, 8 bytes.
    #[serde(with = "hex")]
    pub kcv: Vec<u8>,
}

/// A slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotEntry {
    /// Whose it is.
    pub custodian: Option<CustodianId>,
    /// The generation it opens.
    pub generation: Generation,
    /// `openpgp`.
    pub kind: String,
    /// Fingerprint it is sealed to.
    pub recipient: String,
    /// Its id.
    pub slot_id: SlotId,
}

impl SlotEntry {
    /// Its member's name.
    #[must_use]
    pub fn member(&self) -> String {
        format!("slots/{}-{}.pgp", self.generation, self.slot_id)
    }
}

impl Manifest {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ArchiveError> {
        crate::public::newer_than_this(bytes)?;
        let manifest: Self = canonical::from_bytes("manifest.json", bytes)?;
        if manifest.public(String::new(), 0).fits_itself() {
            Ok(manifest)
        } else {
            Err(ArchiveError::damaged("the fields of manifest.json do not fit one another"))
        }
    }

    /// The name that its fields make.
    pub(crate) fn name(&self) -> ArchiveName {
        ArchiveName {
            vault_id: self.vault_id,
            incarnation: self.incarnation,
            from: self.from,
            to: self.to,
        }
    }

    /// What is public of it, with what is known only after sealing.
    pub(crate) fn public(&self, sha256: String, size: u64) -> Public {
        Public {
            archive_id: self.archive_id,
            base_sha256: self.base_sha256.clone(),
            created: self.created,
            epoch: self.epoch,
            file: self.file.clone(),
            format: self.format.clone(),
            from: self.from,
            incarnation: self.incarnation,
            kind: self.kind.clone(),
            ledger: self.ledger.clone(),
            min_reader: self.min_reader,
            prev_sha256: self.prev_sha256.clone(),
            recipients: self.recipients.clone(),
            seal: self.seal.clone(),
            sha256,
            signer: self.signer.clone(),
            size,
            to: self.to,
            vault_id: self.vault_id,
            version: self.version,
        }
    }

    /// Whether the signed JSON speaks of the same archive, field by field.
    pub(crate) fn fits(&self, public: &Public) -> bool {
        self.public(public.sha256.clone(), public.size) == *public
    }
}

/// Counts by table name, from a head.
pub fn counts(head: &Head) -> BTreeMap<String, Count> {
    let archived = head.tables.iter().filter(|(table, _)| table.class() == TableClass::Archived);
    archived
        .filter_map(|(table, at)| {
            let count = Count { live: at.live, deleted: at.rows - at.live };
            Some((archive_name(*table)?.to_owned(), count))
        })
        .collect()
}
