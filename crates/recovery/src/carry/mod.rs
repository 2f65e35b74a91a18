//! What a newer archive took away, carried into the restore of an older one.
//!
//! A restore must not bring back what was taken away: whoever was removed stays removed, a deleted key
//! stays deleted, a version's state never gets better, and whoever was made anew with other rights does not
//! get the old ones back. [`Carry`] is a sink for the rows of a newer
//! archive of the same vault; it compares them with the restored state and keeps only what differs in
//! that direction. Added or changed things of the newer archive are not carried: who wants those
//! restores that archive.
//!
//! Custodians who were removed go last, and all at once: only where somebody who was not removed holds a
//! slot of the current root. Else the restored vault could never seal an archive again. Those who stay have their
//! certificates with what the newer archive adds: a key that was revoked there is not sealed to again.

mod foresight;
mod renewed;

pub use foresight::{Foreseen, Foresight};

use std::collections::{BTreeMap, BTreeSet};

use holdfast_keyring::Keyring;
use holdfast_machine::{RowSink, SinkError, View, ViewExt as _};
use holdfast_records::{
    Custodian, Identity, Key, KeyName, KeyState, KeyVersion, Policy, Record, RootGeneration, Slot,
    Stored, VersionState, put,
};
use holdfast_types::{CustodianId, Draft, EnclaveId, Expect, KeyId, Millis, Name, Row, Value};

use crate::ArchiveError;
use crate::walk::stored;
use renewed::{Renewed, renewed};

/// Writes of one draft: well below what a transaction may hold.
const WRITES: usize = 1000;

/// Keys that are named; what is beyond is counted, so that memory stays constant.
pub const NAMED_MAX: usize = 10_000;

/// What makes a change in the restored state.
pub type ApplyDraft<'a> = &'a mut dyn FnMut(Draft) -> Result<(), SinkError>;

/// Custodians' certificates as they are by a newer archive, and those that are of no use by then.
type Newer = (BTreeMap<CustodianId, Renewed>, BTreeSet<CustodianId>);

/// Takes the rows of a newer archive and makes the changes as it goes, so that memory is constant however
/// much was taken away. As with every sink, what it changed may not be used before
/// [`open_archive`](crate::open_archive) answered `Ok` and [`Carry::finish`] made the last change.
pub struct Carry<'a, V: View> {
    restored: &'a V,
    revive: &'a [KeyId],
    apply: ApplyDraft<'a>,
    draft: Draft,
    /// Custodians whom the newer archive knows as removed.
    removed: BTreeSet<CustodianId>,
    /// Certificates of those it has, by fingerprint.
    holders: BTreeMap<String, Vec<u8>>,
    /// What opens the current root, and when; without it certificates stay as they are.
    root: Option<(&'a Keyring, Millis)>,
    carried: Carried,
}

/// What was taken away again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Carried {
    /// Custodians who were removed, with their slots.
    pub custodians: Vec<Custodian>,
    /// Those who were removed and stay all the same: nobody else opens the current root here.
    pub kept: Vec<Custodian>,
    /// Those whose certificates say more there: they have these now, and new slots.
    pub renewed: Vec<Custodian>,
    /// Identities that were removed, those in `anew` among them.
    pub identities: u64,
    /// Those who were made again since, with rights that are not those of before.
    pub anew: u64,
    /// Policies that were removed.
    pub policies: u64,
    /// Keys that were deleted.
    pub keys: u64,
    /// The first of them, 10 000 at most.
    pub named: Vec<TakenKey>,
    /// Keys to be revived of which something would have been taken away.
    pub revived: BTreeSet<KeyId>,
    /// Versions that were removed, or whose state was worse.
    pub versions: u64,
}

/// A key that is taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenKey {
    /// Its id.
    pub key_id: KeyId,
    /// Its enclave.
    pub enclave_id: EnclaveId,
    /// Its name, which becomes free.
    pub name: Name,
}

impl TakenKey {
    /// Names it, where there is room.
    fn name(of: &Key, named: &mut Vec<Self>) {
        if named.len() < NAMED_MAX {
            let (key_id, enclave_id, name) = (of.key_id, of.enclave_id, of.name.clone());
            named.push(Self { key_id, enclave_id, name });
        }
    }
}

impl<'a, V: View> Carry<'a, V> {
    /// Compares with `restored`; the keys in `revive` are left as they were restored. Each draft that `apply`
    /// gets is of a size that one transaction holds, and independent of the others.
    #[must_use]
    pub fn new(restored: &'a V, revive: &'a [KeyId], apply: ApplyDraft<'a>) -> Self {
        Self {
            restored,
            revive,
            apply,
            draft: Draft::default(),
            removed: BTreeSet::new(),
            holders: BTreeMap::new(),
            root: None,
            carried: Carried::default(),
        }
    }

    /// Certificates that were renewed are carried, too, and the root is sealed to them.
    #[must_use]
    pub fn sealing(self, keyring: &'a Keyring, now: Millis) -> Self {
        Self { root: Some((keyring, now)), ..self }
    }

    /// Makes the last change; answers with what all of them were.
    ///
    /// Errors: what `apply` says.
    pub fn finish(mut self) -> Result<Carried, SinkError> {
        self.custodians().map_err(|error| SinkError::Failed(error.to_string()))?;
        self.flush()?;
        Ok(self.carried)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if self.draft.write.is_empty() {
            return Ok(());
        }
        (self.apply)(std::mem::take(&mut self.draft))
    }

    fn take(&mut self, row: &Row) -> Result<(), ArchiveError> {
        let gone = row.value.is_tombstone();
        if row.table == Custodian::TABLE {
            return self.custodian(row);
        }
        let Some(old) = self.restored.live(row.table, &row.key)? else { return Ok(()) };
        if row.table == Key::TABLE {
            self.key(row, &old)
        } else if row.table == KeyVersion::TABLE {
            self.version(row, &old)
        } else if row.table == Identity::TABLE {
            self.identity(row, &old)
        } else if row.table == Policy::TABLE && gone {
            self.draft.delete(row.table, row.key.clone(), old.rev);
            self.carried.policies += 1;
            Ok(())
        } else {
            Ok(())
        }
    }

    /// An identity that is gone there, or has other rights. Rights never change in place: whoever has others was
    /// removed and made anew. Here they are removed, since neither the old rights may come back nor new ones be
    /// added: the policy that those name may not be here.
    fn identity(&mut self, row: &Row, old: &Value) -> Result<(), ArchiveError> {
        if let Some(there) = read::<Identity>(row)? {
            let here = Identity::decode(old.schema, &row.key, &old.body)?;
            let rights = |of: Identity| (of.privilege, of.enclave, of.policy);
            if rights(there) == rights(here) {
                return Ok(());
            }
            self.carried.anew += 1;
        }
        self.draft.delete(row.table, row.key.clone(), old.rev);
        self.carried.identities += 1;
        Ok(())
    }

    /// Remembers who was removed, and who is there: they are few.
    fn custodian(&mut self, row: &Row) -> Result<(), ArchiveError> {
        if let Some(there) = read::<Custodian>(row)? {
            self.holders.insert(there.fingerprint, there.certificate);
        } else if let Some(old) = self.restored.live(row.table, &row.key)? {
            let old = Custodian::decode(old.schema, &row.key, &old.body)?;
            self.removed.insert(old.custodian_id);
        }
        Ok(())
    }

    /// Those whose certificates say more there, and those to whom nothing can be sealed any more by then.
    fn newer_certificates(&self, all: &[Stored<Custodian>]) -> Result<Newer, ArchiveError> {
        let (mut newer, mut unusable) = (BTreeMap::new(), BTreeSet::new());
        let Some((keyring, now)) = self.root else { return Ok((newer, unusable)) };
        for who in all.iter().map(|found| &found.record) {
            let Some(there) = self.holders.get(&who.fingerprint) else { continue };
            match renewed(who, there, keyring, now) {
                Ok(Some(renewed)) => _ = newer.insert(who.custodian_id, renewed),
                Ok(None) => {}
                Err(ArchiveError::Certificate(..)) => _ = unusable.insert(who.custodian_id),
                Err(error) => return Err(error),
            }
        }
        Ok((newer, unusable))
    }

    /// Takes those who were removed away, with their slots; all of them or, where nobody would be left to open
    /// the current root, none. Who was added again with the same key was not taken away.
    fn custodians(&mut self) -> Result<(), ArchiveError> {
        let all = stored::<Custodian>(self.restored)?;
        let (mut renewed, unusable) = self.newer_certificates(&all)?;
        let is_gone = |who: &Custodian| {
            unusable.contains(&who.custodian_id)
                || self.removed.contains(&who.custodian_id)
                    && !self.holders.contains_key(&who.fingerprint)
        };
        let (gone, stay): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|found| is_gone(&found.record));
        let slots = stored::<Slot>(self.restored)?;
        for which in &stay {
            if let Some(renewed) = renewed.remove(&which.record.custodian_id) {
                let custodian = renewed.replace(which, &slots, &mut self.draft);
                self.carried.renewed.push(custodian);
            }
        }
        let roots = stored::<RootGeneration>(self.restored)?;
        let is_current = |slot: &Slot| {
            roots
                .iter()
                .any(|root| root.record.current && root.record.generation == slot.generation)
        };
        let of = |who: &Custodian, slot: &Slot| slot.custodian == Some(who.custodian_id);
        let opens = |who: &Stored<Custodian>| {
            slots.iter().any(|slot| of(&who.record, &slot.record) && is_current(&slot.record))
        };
        if !stay.iter().any(opens) {
            self.carried.kept = gone.into_iter().map(|found| found.record).collect();
            return Ok(());
        }
        for Stored { record, rev, .. } in gone {
            self.draft.delete(Custodian::TABLE, record.key(), rev);
            for slot in slots.iter().filter(|slot| of(&record, &slot.record)) {
                self.draft.delete(Slot::TABLE, slot.record.key(), slot.rev);
            }
            self.carried.custodians.push(record);
        }
        Ok(())
    }

    /// A key that is deleted, or gone, there and active here. Its name becomes free, as in a deletion.
    fn key(&mut self, row: &Row, old: &Value) -> Result<(), ArchiveError> {
        let mut key = Key::decode(old.schema, &row.key, &old.body)?;
        let Some(at) = deleted(row)? else { return Ok(()) };
        if key.state != KeyState::Active {
            return Ok(());
        }
        if self.revive.contains(&key.key_id) {
            self.carried.revived.insert(key.key_id);
            return Ok(());
        }
        TakenKey::name(&key, &mut self.carried.named);
        let name =
            KeyName { enclave_id: key.enclave_id, name: key.name.clone(), key_id: key.key_id };
        let named = self.restored.live(KeyName::TABLE, &name.key())?;
        key.state = KeyState::Deleted { at };
        put(&mut self.draft, Expect::At(old.rev), &key);
        if let Some(named) = named.filter(|named| named.body == name.encode().bytes) {
            self.draft.delete(KeyName::TABLE, name.key(), named.rev);
        }
        self.carried.keys += 1;
        Ok(())
    }

    /// A version whose state is worse there, or that is gone.
    fn version(&mut self, row: &Row, old: &Value) -> Result<(), ArchiveError> {
        let here = KeyVersion::decode(old.schema, &row.key, &old.body)?;
        let there = read::<KeyVersion>(row)?;
        if badness_there(there.as_ref()) <= badness(here.state) {
            return Ok(());
        }
        if self.revive.contains(&here.key_id) {
            self.carried.revived.insert(here.key_id);
            return Ok(());
        }
        match there {
            None => self.draft.delete(row.table, row.key.clone(), old.rev),
            Some(there) => {
                // Of a destroyed one the secret goes, too; else it stays as it is wrapped here.
                let destroyed = there.state == VersionState::Destroyed;
                let wrapped = if destroyed { there.wrapped } else { here.wrapped.clone() };
                let worse = KeyVersion { state: there.state, wrapped, ..here };
                put(&mut self.draft, Expect::At(old.rev), &worse);
            }
        }
        self.carried.versions += 1;
        Ok(())
    }
}

impl<V: View> RowSink for Carry<'_, V> {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        self.take(row).map_err(|error| SinkError::Failed(error.to_string()))?;
        if self.draft.write.len() >= WRITES { self.flush() } else { Ok(()) }
    }
}

/// The record of a row; none of a tombstone.
fn read<R: Record>(row: &Row) -> Result<Option<R>, ArchiveError> {
    if row.value.is_tombstone() {
        return Ok(None);
    }
    Ok(Some(R::decode(row.value.schema, &row.key, &row.value.body)?))
}

/// When a newer archive's row of a key says that it was deleted; `None` where it is there.
fn deleted(row: &Row) -> Result<Option<Millis>, ArchiveError> {
    Ok(match read::<Key>(row)? {
        None => Some(row.value.at),
        Some(Key { state: KeyState::Deleted { at }, .. }) => Some(at),
        Some(_) => None,
    })
}

/// How bad a newer archive says that a version is; one that is gone is worse than any.
fn badness_there(version: Option<&KeyVersion>) -> u8 {
    version.map_or(u8::MAX, |version| badness(version.state))
}

/// A state may only be carried upwards here.
const fn badness(state: VersionState) -> u8 {
    match state {
        VersionState::PreActivation | VersionState::Active => 0,
        VersionState::Suspended => 1,
        VersionState::Deactivated => 2,
        VersionState::Compromised => 3,
        VersionState::Destroyed => 4,
    }
}
