//! `manifest.json`, inside the seal: what the archive holds, and what must agree before it is used.

use std::collections::BTreeMap;

use holdfast_machine::TableHead;
use holdfast_records::archive_name;
use holdfast_types::{CustodianId, Generation, Revision, SlotId, Table, TableClass, hex};
use serde::{Deserialize, Serialize};

use crate::ArchiveError;
use crate::canonical;
use crate::public::{Facts, Public};

/// What messages call it.
const WHAT: &str = "manifest.json";

/// What an archive holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What the public JSON says, too.
    #[serde(flatten)]
    pub facts: Facts,
    /// The wrapped canary of the current root generation.
    #[serde(with = "hex")]
    pub canary: Vec<u8>,
    /// Rows by table name.
    pub counts: BTreeMap<String, Count>,
    /// Digest of all archived tables at `to`, hex.
    pub digest: String,
    /// Custodians that open both layers.
    pub openers: Vec<CustodianId>,
    /// Root generations that live rows name.
    pub roots: Vec<RootEntry>,
    /// The slots inside, strictly ascending by generation and id.
    pub slots: Vec<SlotEntry>,
    /// Tombstones below this may be missing.
    pub tombstone_horizon: Revision,
}

impl std::ops::Deref for Manifest {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
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
        let manifest: Self = canonical::from_bytes(WHAT, bytes)?;
        manifest.facts.fit(WHAT)?;
        let place = |slot: &SlotEntry| (slot.generation, slot.slot_id);
        if !manifest.slots.is_sorted_by(|a, b| place(a) < place(b)) {
            return Err(ArchiveError::damaged(format!(
                "the slots of {WHAT} repeat, or are out of order"
            )));
        }
        Ok(manifest)
    }

    /// What is public of it, with what is known only after sealing.
    pub(crate) fn public(&self, sha256: String, size: u64) -> Public {
        Public { facts: self.facts.clone(), sha256, size }
    }
}

/// Counts by table name, of those that have rows.
pub fn counts(tables: &BTreeMap<Table, TableHead>) -> BTreeMap<String, Count> {
    let archived = tables.iter().filter(|(table, _)| table.class() == TableClass::Archived);
    archived
        .filter_map(|(table, at)| {
            let count = Count { live: at.live, deleted: at.rows - at.live };
            Some((archive_name(*table)?.to_owned(), count))
        })
        .collect()
}
