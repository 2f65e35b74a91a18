//! The caches of this service, how they are filled, and what of the feed empties them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_keyring::Keyring;
use holdfast_keys::policy;
use holdfast_machine::{Changes, View};
use holdfast_records::{
    Enclave, Identity, Key, KeyName, KeyVersion, Policy, Privilege, Record as _,
};
use holdfast_types::limits::NAME_BYTES_MAX;
use holdfast_types::{EnclaveId, IdentityId, KeyId, Name, Table, Version};
use tokio::sync::watch;

use super::Service;
use super::enter::Actor;
use super::read::get;
use crate::Error;
use crate::cache::{Cache, Generation};

/// Keys whose records stay at hand; about 500 bytes each. As many besides, at worst, that left and are still named.
const KEYS_MAX: usize = 65_536;
const ENCLAVES_MAX: usize = 4_096;
const ACTORS_MAX: usize = 16_384;

/// A key and its newest version.
pub(crate) struct KeyEntry {
    /// The name of its enclave.
    pub enclave: Name,
    /// Its record.
    pub key: Key,
    /// The version that encrypts.
    pub newest: Arc<KeyVersion>,
    /// It has left the cache of keys by id, perhaps because it was changed: it must not be found by its name.
    left: AtomicBool,
}

impl KeyEntry {
    fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    fn is_current(&self) -> bool {
        !self.left.load(Ordering::Acquire)
    }
}

/// The caches.
pub(crate) struct Caches {
    generation: Generation,
    pub(super) actors: Cache<IdentityId, Actor>,
    enclaves: Cache<Name, EnclaveId>,
    keys: Cache<KeyId, KeyEntry>,
    /// Of the same entries, those that were asked for by name: one look for what is asked for most.
    named: Cache<Box<[u8]>, KeyEntry>,
    versions: Cache<(KeyId, Version), KeyVersion>,
    /// Tells listeners that an identity was made, changed or removed, when the caches know.
    pub(super) identities: watch::Sender<()>,
}

impl Caches {
    pub(super) fn new() -> Self {
        Self {
            generation: Generation::default(),
            actors: Cache::new(ACTORS_MAX),
            enclaves: Cache::new(ENCLAVES_MAX),
            keys: Cache::telling(KEYS_MAX, KeyEntry::leave),
            named: Cache::new(KEYS_MAX),
            versions: Cache::new(KEYS_MAX),
            identities: watch::Sender::new(()),
        }
    }

    /// Called by the cluster in revision order, after each commit and before its answer.
    pub(super) fn changed(&self, changes: &Changes, keyring: &Keyring) {
        if !changes.rows.iter().any(|row| is_cached(row.table)) {
            return;
        }
        self.generation.raise();
        for (at, row) in changes.rows.iter().enumerate() {
            match row.table {
                Table::KEYS | Table::KEY_VERSIONS => {
                    // Both keys begin with the key id.
                    if let Some(id) = row.key.first_chunk::<16>() {
                        let id = KeyId(*id);
                        self.keys.remove(&id);
                        if let Some(version) = row.key[16..].first_chunk::<4>() {
                            self.versions.remove(&(id, Version(u32::from_be_bytes(*version))));
                        }
                        keyring.forget(id);
                    }
                }
                Table::KEY_NAMES => {
                    // The key that was called so, if one was, is found by its name no more.
                    let old = changes.old.get(at).and_then(Option::as_ref);
                    let old = old.filter(|old| !old.is_tombstone());
                    let named = old.map(|old| KeyName::decode(old.schema, &row.key, &old.body));
                    match named {
                        None => {}
                        Some(Ok(named)) => self.keys.remove(&named.key_id),
                        Some(Err(_)) => self.named.clear(),
                    }
                }
                Table::IDENTITIES => {
                    if let Ok(identity) = <[u8; 32]>::try_from(row.key.as_slice()) {
                        self.actors.remove(&IdentityId(identity));
                    }
                }
                Table::POLICIES => self.actors.clear(),
                Table::ENCLAVES | Table::ENCLAVE_NAMES => {
                    self.enclaves.clear();
                    self.keys.clear();
                    self.named.clear();
                    self.actors.clear();
                }
                _ => {}
            }
        }
        if changes.rows.iter().any(|row| row.table == Table::IDENTITIES) {
            self.identities.send_replace(());
        }
    }
}

fn is_cached(table: Table) -> bool {
    matches!(
        table,
        Table::KEYS
            | Table::KEY_VERSIONS
            | Table::KEY_NAMES
            | Table::IDENTITIES
            | Table::POLICIES
            | Table::ENCLAVES
            | Table::ENCLAVE_NAMES
    )
}

impl Service {
    /// A key by its names, from the caches or from this node's view.
    pub(super) fn key_named(&self, enclave: &Name, name: &Name) -> Result<Arc<KeyEntry>, Error> {
        let spelt = Spelt::new(enclave, name);
        let named = &self.caches.named;
        if let Some(entry) = named.get(spelt.as_bytes()).filter(|entry| entry.is_current()) {
            return Ok(entry);
        }
        let missing = || super::keys::no_key(enclave, name);
        let seen = self.caches.generation.now();
        let full = FullName::new(&self.enclave_id(enclave)?, name);
        let found = get::<KeyName>(&self.cluster.view(), full.as_row())?.ok_or_else(missing)?;
        let entry = self.key_with_id(&found.record.key_id)?.ok_or_else(missing)?;
        named.insert(spelt.as_bytes().into(), entry.clone(), &self.caches.generation, seen);
        Ok(entry)
    }

    fn enclave_id(&self, name: &Name) -> Result<EnclaveId, Error> {
        if let Some(id) = self.caches.enclaves.get(name.as_str()) {
            return Ok(*id);
        }
        let seen = self.caches.generation.now();
        let found = super::read::enclave(&self.cluster.view(), name)?;
        let id = found.record.enclave_id;
        self.caches.enclaves.insert(name.clone(), Arc::new(id), &self.caches.generation, seen);
        Ok(id)
    }

    /// A key by its id, deleted ones too.
    pub(super) fn key_with_id(&self, id: &KeyId) -> Result<Option<Arc<KeyEntry>>, Error> {
        if let Some(entry) = self.caches.keys.get(id) {
            return Ok(Some(entry));
        }
        let seen = self.caches.generation.now();
        let view = self.cluster.view();
        let Some(key) = get::<Key>(&view, id.as_bytes())? else { return Ok(None) };
        let key = key.record;
        let Some(enclave) = get::<Enclave>(&view, key.enclave_id.as_bytes())? else {
            return Ok(None);
        };
        let Some(newest) = version(&view, id, key.primary)? else { return Ok(None) };
        let enclave = enclave.record.name;
        let (newest, left) = (Arc::new(newest), AtomicBool::new(false));
        let entry = Arc::new(KeyEntry { enclave, key, newest, left });
        self.caches.keys.insert(*id, entry.clone(), &self.caches.generation, seen);
        Ok(Some(entry))
    }

    /// One version of a key.
    pub(super) fn key_version(
        &self,
        entry: &KeyEntry,
        number: Version,
    ) -> Result<Arc<KeyVersion>, Error> {
        if entry.newest.version == number {
            return Ok(entry.newest.clone());
        }
        let id = entry.key.key_id;
        if let Some(found) = self.caches.versions.get(&(id, number)) {
            return Ok(found);
        }
        let seen = self.caches.generation.now();
        let found = version(&self.cluster.view(), &id, number)?.ok_or_else(|| {
            Error::missing(format!("key {id} has no version {number}")).next(
                "give the ciphertext as it was made; one made after the newest archive is lost \
                           with that version",
            )
        })?;
        let found = Arc::new(found);
        self.caches.versions.insert((id, number), found.clone(), &self.caches.generation, seen);
        Ok(found)
    }

    pub(super) fn load_actor(&self, id: &IdentityId) -> Result<Option<Arc<Actor>>, Error> {
        let seen = self.caches.generation.now();
        let view = self.cluster.view();
        let Some(found) = get::<Identity>(&view, id.as_bytes())? else { return Ok(None) };
        let record = found.record;
        let enclave = match record.enclave {
            Some(id) => get::<Enclave>(&view, id.as_bytes())?.map(|found| (id, found.record.name)),
            None => None,
        };
        let policy = match (record.enclave, &record.policy) {
            (Some(enclave), Some(name)) => {
                let key = FullName::new(&enclave, name);
                get::<Policy>(&view, key.as_row())?.map(|found| policy::compile(&found.record))
            }
            _ => None,
        };
        let admin = record.privilege == Privilege::Admin;
        let (name, policy_name) = (record.name, record.policy);
        let actor = Actor { identity: *id, name, admin, enclave, policy, policy_name };
        let actor = Arc::new(actor);
        self.caches.actors.insert(*id, actor.clone(), &self.caches.generation, seen);
        Ok(Some(actor))
    }
}

fn version(view: &impl View, id: &KeyId, number: Version) -> Result<Option<KeyVersion>, Error> {
    Ok(get::<KeyVersion>(view, &version_row(id, number))?.map(|found| found.record))
}

/// The row key of one version of a key.
pub(super) fn version_row(id: &KeyId, number: Version) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(id.as_bytes());
    key[16..].copy_from_slice(&number.0.to_be_bytes());
    key
}

/// Parts one after another, on the stack: at most `MAX` bytes.
struct Joined<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> Joined<MAX> {
    fn new<const N: usize>(parts: [&[u8]; N]) -> Self {
        let (mut bytes, mut len) = ([0; MAX], 0);
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Self { bytes, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// `enclave/key`, as a caller spells it. Names have no `/`.
struct Spelt(Joined<{ 2 * NAME_BYTES_MAX + 1 }>);

impl Spelt {
    fn new(enclave: &Name, key: &Name) -> Self {
        let (enclave, key) = (enclave.as_str().as_bytes(), key.as_str().as_bytes());
        Self(Joined::new([enclave, b"/", key]))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// (enclave id, name): the row key of key names and policies.
pub(super) struct FullName(Joined<{ 16 + NAME_BYTES_MAX }>);

impl FullName {
    pub(super) fn new(enclave: &EnclaveId, name: &Name) -> Self {
        Self(Joined::new([enclave.as_bytes(), name.as_str().as_bytes()]))
    }

    pub(super) fn as_row(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_records::{KeyKind, KeyState, VersionState};
    use holdfast_types::{Millis, Revision, Row, TxnId, Value, VaultId};

    use super::*;

    fn cached(keyring: &Keyring, key: u8) -> KeyVersion {
        let (key_id, version, kind) = (KeyId([key; 16]), Version(1), KeyKind::Aes256);
        let enclave_id = EnclaveId([9; 16]);
        let new = keyring.new_version(enclave_id, key_id, version, kind).unwrap();
        let (state, kcv, wrapped) = (VersionState::Active, new.kcv, new.wrapped);
        let record = KeyVersion { key_id, version, enclave_id, kind, state, kcv, wrapped };
        keyring.encrypt(&record, b"", b"").unwrap();
        record
    }

    fn change(table: Table, key: Vec<u8>) -> Changes {
        let value = Value { schema: 0, rev: Revision(2), at: Millis(0), body: Vec::new() };
        Changes {
            revision: Revision(2),
            at: Millis(0),
            txn: TxnId([0; 16]),
            actor: IdentityId::SYSTEM,
            verb: 0,
            rows: vec![Row { table, key, value }],
            old: vec![None],
        }
    }

    #[test]
    fn a_key_that_changed_is_not_found_by_its_name() {
        let (caches, keyring) = (Caches::new(), Keyring::new(VaultId([1; 16])));
        keyring.generate_root().unwrap();
        let enclave_id = EnclaveId([9; 16]);
        let name: Name = "orders".parse().unwrap();
        let fill = |id: u8| {
            let newest = Arc::new(cached(&keyring, id));
            let key_id = newest.key_id;
            let key = Key {
                key_id,
                enclave_id,
                name: name.clone(),
                kind: KeyKind::Aes256,
                state: KeyState::Active,
                primary: Version(1),
                created: Millis(0),
            };
            let left = AtomicBool::new(false);
            let enclave = "default".parse().unwrap();
            let entry = Arc::new(KeyEntry { enclave, key, newest, left });
            let seen = caches.generation.now();
            caches.keys.insert(key_id, entry.clone(), &caches.generation, seen);
            entry
        };
        let names = |id: KeyId| KeyName { enclave_id, name: name.clone(), key_id: id };
        let row = names(KeyId([1; 16])).key();
        let value = |body: Vec<u8>, schema| Value { schema, rev: Revision(1), at: Millis(0), body };

        let [first, other] = [fill(1), fill(2)];
        caches.changed(&change(Table::KEYS, first.key.key_id.0.to_vec()), &keyring);
        assert_eq!((first.is_current(), other.is_current()), (false, true), "rotated or deleted");

        let second = fill(1);
        let created = change(Table::KEY_NAMES, row.clone());
        caches.changed(&created, &keyring);
        assert!(second.is_current(), "nothing was called so before");
        let mut freed = created.clone();
        freed.old = vec![Some(value(Vec::new(), 0))];
        caches.changed(&freed, &keyring);
        assert!(second.is_current(), "the name was free before");
        let body = names(second.key.key_id).encode();
        freed.old = vec![Some(value(body.bytes, body.schema))];
        caches.changed(&freed, &keyring);
        assert_eq!((second.is_current(), other.is_current()), (false, true), "it lost its name");

        caches.changed(&change(Table::ENCLAVES, enclave_id.0.to_vec()), &keyring);
        assert!(!other.is_current(), "its enclave changed");
    }

    #[test]
    fn the_feed_takes_unwrapped_versions_away() {
        let (caches, keyring) = (Caches::new(), Keyring::new(VaultId([1; 16])));
        keyring.generate_root().unwrap();
        let (first, second, third) =
            (cached(&keyring, 1), cached(&keyring, 2), cached(&keyring, 3));
        let after = |change: &Changes| {
            caches.changed(change, &keyring);
            keyring.cached_versions()
        };
        assert_eq!(after(&change(Table::LEDGER, first.key())), 3, "not its table");
        assert_eq!(after(&change(Table::KEYS, first.key_id.0.to_vec())), 2);
        assert_eq!(after(&change(Table::KEY_VERSIONS, second.key())), 1);
        assert_eq!(after(&change(Table::KEYS, second.key_id.0.to_vec())), 1, "gone already");
        keyring.encrypt(&third, b"", b"").unwrap();
        assert_eq!(keyring.cached_versions(), 1, "the third stays");
    }
}
