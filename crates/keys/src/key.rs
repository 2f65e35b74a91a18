//! Keys: create, rotate, delete, undelete.

use holdfast_records::{
    Enclave, EnclaveState, Key, KeyKind, KeyName, KeyState, KeyVersion, Record as _, Stored,
    VersionState, put,
};
use holdfast_types::limits::KEY_VERSIONS_MAX;
use holdfast_types::{Draft, Expect, KeyId, Millis, Name, Table, Version};

use crate::{Decision, RuleError};

/// A new secret, wrapped for the version it becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrapped {
    /// Its check value.
    pub kcv: [u8; 8],
    /// The wrapped bytes.
    pub wrapped: Vec<u8>,
}

/// Makes a key with version 1. `taken` is the row of that name, `key_id` random, `secret` wrapped for
/// (`enclave`, `key_id`, version 1).
///
/// Errors: the name is taken; the enclave is closing.
pub fn create_key(
    enclave: &Stored<Enclave>,
    name: &Name,
    taken: Option<&Stored<KeyName>>,
    key_id: KeyId,
    kind: KeyKind,
    secret: Wrapped,
    now: Millis,
) -> Decision<Key> {
    let enclave_id = enclave.record.enclave_id;
    let mut draft = Draft::default();
    free_name(&mut draft, enclave, name, taken, key_id)?;
    let key = Key {
        key_id,
        enclave_id,
        name: name.clone(),
        kind,
        state: KeyState::Active,
        primary: Version::FIRST,
        created: now,
    };
    put(&mut draft, Expect::Absent, &key);
    put(&mut draft, Expect::Absent, &new_version(&key, Version::FIRST, secret));
    Ok((draft, key))
}

/// Makes the next version, which encrypts from now on; versions that did so only decrypt. `versions` are
/// those of the key's that may be active: the newest. `secret` is wrapped for version `primary + 1`.
///
/// Errors: the key is deleted; it has [`KEY_VERSIONS_MAX`] versions.
pub fn rotate_key(
    key: &Stored<Key>,
    versions: &[Stored<KeyVersion>],
    secret: Wrapped,
) -> Decision<Key> {
    live(&key.record)?;
    let next = key.record.primary.next().filter(|next| next.0 <= KEY_VERSIONS_MAX);
    let next = next.ok_or_else(|| {
        let name = &key.record.name;
        RuleError::refused(
            format!("key {name} has as many versions as a key may have: {KEY_VERSIONS_MAX}"),
            format!(
                "create another key and encrypt with that: holdfast key create; {name} still decrypts"
            ),
        )
    })?;
    let mut draft = Draft::default();
    let rotated = Key { primary: next, ..key.record.clone() };
    put(&mut draft, Expect::At(key.rev), &rotated);
    for old in versions.iter().filter(|old| old.record.state == VersionState::Active) {
        let old_version = KeyVersion { state: VersionState::Deactivated, ..old.record.clone() };
        put(&mut draft, Expect::At(old.rev), &old_version);
    }
    put(&mut draft, Expect::Absent, &new_version(&rotated, next, secret));
    Ok((draft, rotated))
}

/// Stops every use of a key at once and frees its name. `name_row` is the row of its name.
///
/// Errors: it is deleted already.
pub fn delete_key(
    key: &Stored<Key>,
    name_row: Option<&Stored<KeyName>>,
    now: Millis,
) -> Decision<Key> {
    live(&key.record)?;
    let mut draft = Draft::default();
    let deleted = Key { state: KeyState::Deleted { at: now }, ..key.record.clone() };
    put(&mut draft, Expect::At(key.rev), &deleted);
    // Only its own: were the name another key's by some fault, that key keeps it.
    if let Some(row) = name_row.filter(|row| row.record.key_id == key.record.key_id) {
        draft.delete(Table::KEY_NAMES, row.record.key(), row.rev);
    }
    Ok((draft, deleted))
}

/// Brings a deleted key back under `name`: its last one, or another. `taken` is the row of that name.
///
/// Errors: it is not deleted; the name is taken; the enclave is closing.
pub fn undelete_key(
    enclave: &Stored<Enclave>,
    key: &Stored<Key>,
    name: &Name,
    taken: Option<&Stored<KeyName>>,
) -> Decision<Key> {
    if key.record.state == KeyState::Active {
        let what = format!("key {} is not deleted", key.record.name);
        return Err(RuleError::refused(what, "nothing needs to be done"));
    }
    if enclave.record.enclave_id != key.record.enclave_id {
        return Err(RuleError::NotFound(format!(
            "key {} in enclave {}",
            key.record.key_id, enclave.record.name
        )));
    }
    let mut draft = Draft::default();
    free_name(&mut draft, enclave, name, taken, key.record.key_id)?;
    let back = Key { state: KeyState::Active, name: name.clone(), ..key.record.clone() };
    put(&mut draft, Expect::At(key.rev), &back);
    Ok((draft, back))
}

/// Takes a name that nobody has, in an enclave that stays.
fn free_name(
    draft: &mut Draft,
    enclave: &Stored<Enclave>,
    name: &Name,
    taken: Option<&Stored<KeyName>>,
    key_id: KeyId,
) -> Result<(), RuleError> {
    if taken.is_some() {
        return Err(RuleError::Exists(format!("key {}/{name}", enclave.record.name)));
    }
    stays(draft, enclave)?;
    let row = KeyName { enclave_id: enclave.record.enclave_id, name: name.clone(), key_id };
    put(draft, Expect::Absent, &row);
    Ok(())
}

/// The enclave is open, and the draft rests on that.
pub(crate) fn stays(draft: &mut Draft, enclave: &Stored<Enclave>) -> Result<(), RuleError> {
    if enclave.record.state != EnclaveState::Open {
        let name = &enclave.record.name;
        let next =
            format!("choose another enclave, or remove it to the end: holdfast enclave rm {name}");
        return Err(RuleError::refused(format!("enclave {name} is being removed"), next));
    }
    draft.require(Table::ENCLAVES, enclave.record.key(), Expect::At(enclave.rev));
    Ok(())
}

fn live(key: &Key) -> Result<(), RuleError> {
    if key.state == KeyState::Active {
        return Ok(());
    }
    let next = format!("bring it back: holdfast key undelete {} --key-id {}", key.name, key.key_id);
    Err(RuleError::refused(format!("key {} is deleted", key.name), next))
}

fn new_version(key: &Key, version: Version, secret: Wrapped) -> KeyVersion {
    KeyVersion {
        key_id: key.key_id,
        version,
        enclave_id: key.enclave_id,
        kind: key.kind,
        state: VersionState::Active,
        kcv: secret.kcv,
        wrapped: secret.wrapped,
    }
}
