//! What newer archives take away of an older one's keys, found out before anything is restored: for the plan.
//!
//! As [`Carry`](super::Carry) decides, but from rows alone: first those of the newer archives, then those of the
//! older one. Memory grows with the keys that were ever deleted, by their ids.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_machine::{RowSink, SinkError};
use holdfast_records::{Enclave, Key, KeyState, KeyVersion, Record as _};
use holdfast_types::{EnclaveId, KeyId, Name, Row};

use super::{TakenKey, badness, badness_there, deleted, read};
use crate::ArchiveError;

/// A sink for the rows of newer archives of a vault. What an archive said counts once [`Self::believe`] was
/// called behind it.
#[derive(Default)]
pub struct Foresight {
    revive: BTreeSet<KeyId>,
    believed: Taken,
    heard: Taken,
}

/// What newer archives say.
#[derive(Default)]
struct Taken {
    keys: BTreeSet<KeyId>,
    /// How bad versions are, of the keys to be revived.
    versions: BTreeMap<Vec<u8>, u8>,
}

impl Foresight {
    /// The keys in `revive` are to be left as they are.
    #[must_use]
    pub fn new(revive: &[KeyId]) -> Self {
        Self { revive: revive.iter().copied().collect(), ..Self::default() }
    }

    /// The archive whose rows came last was whole.
    pub fn believe(&mut self) {
        let Taken { keys, versions } = std::mem::take(&mut self.heard);
        self.believed.keys.extend(keys);
        for (version, bad) in versions {
            let worst = self.believed.versions.entry(version).or_default();
            *worst = bad.max(*worst);
        }
    }

    /// The archive whose rows came last is of no use.
    pub fn forget(&mut self) {
        self.heard = Taken::default();
    }

    /// A sink for the rows of the older archive.
    #[must_use]
    pub fn older(self) -> Foreseen {
        let Self { revive, believed, .. } = self;
        let unknown = revive.clone();
        Foreseen { revive, taken: believed, unknown, ..Foreseen::default() }
    }

    fn take(&mut self, row: &Row) -> Result<(), ArchiveError> {
        if row.table == Key::TABLE && deleted(row)?.is_some() {
            self.heard.keys.extend(row.key.as_slice().try_into().map(KeyId));
        } else if row.table == KeyVersion::TABLE && self.is_to_be_revived(&row.key) {
            let bad = badness_there(read::<KeyVersion>(row)?.as_ref());
            self.heard.versions.insert(row.key.clone(), bad);
        }
        Ok(())
    }

    /// A version's row key begins with its key's id.
    fn is_to_be_revived(&self, row_key: &[u8]) -> bool {
        let id = row_key.first_chunk::<16>().map(|id| KeyId(*id));
        id.is_some_and(|id| self.revive.contains(&id))
    }
}

impl RowSink for Foresight {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        self.take(row).map_err(|error| SinkError::Failed(error.to_string()))
    }
}

/// What would be taken away of the older archive, once all of its rows came.
#[derive(Default)]
pub struct Foreseen {
    revive: BTreeSet<KeyId>,
    taken: Taken,
    /// Keys that would be deleted.
    pub keys: u64,
    /// The first of them, 10 000 at most.
    pub named: Vec<TakenKey>,
    /// Keys to be revived of which something would be taken away.
    pub revived: BTreeSet<KeyId>,
    /// Keys to be revived that are not in this archive.
    pub unknown: BTreeSet<KeyId>,
    /// Its enclaves.
    pub enclaves: BTreeMap<EnclaveId, Name>,
}

impl Foreseen {
    fn take(&mut self, row: &Row) -> Result<(), ArchiveError> {
        if row.table == Enclave::TABLE
            && let Some(enclave) = read::<Enclave>(row)?
        {
            self.enclaves.insert(enclave.enclave_id, enclave.name);
        } else if row.table == Key::TABLE
            && let Some(key) = read::<Key>(row)?
        {
            self.key(&key);
        } else if row.table == KeyVersion::TABLE
            && let Some(bad) = self.taken.versions.get(&row.key)
            && let Some(version) = read::<KeyVersion>(row)?
            && *bad > badness(version.state)
        {
            self.revived.insert(version.key_id);
        }
        Ok(())
    }

    fn key(&mut self, key: &Key) {
        self.unknown.remove(&key.key_id);
        if key.state != KeyState::Active || !self.taken.keys.contains(&key.key_id) {
            return;
        }
        if self.revive.contains(&key.key_id) {
            self.revived.insert(key.key_id);
        } else {
            self.keys += 1;
            TakenKey::name(key, &mut self.named);
        }
    }
}

impl RowSink for Foreseen {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        self.take(row).map_err(|error| SinkError::Failed(error.to_string()))
    }
}
