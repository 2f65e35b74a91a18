//! Keys: create, rotate, delete, undelete.

use holdfast_records::{
    Enclave, EnclaveState, Key, KeyKind, KeyName, KeyState, KeyVersion, Record as _, Stored,
    VersionState, put,
};
use holdfast_types::{Draft, Expect, KeyId, Millis, Name, Version};

use crate::RuleError;

/// A wrapped version, fresh from the keyring.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewVersion {
    /// Its check value.
    pub kcv: [u8; 8],
    /// The wrapped secret.
    pub wrapped: Vec<u8>,
}

/// What a new key is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKey {
    /// A fresh id.
    pub key_id: KeyId,
    /// Its name.
    pub name: Name,
    /// Its kind.
    pub kind: KeyKind,
    /// Version 1.
    pub first: NewVersion,
    /// Now.
    pub created: Millis,
}

/// A key with version 1, active, under a name that is free in its enclave.
pub fn create_key(
    enclave: &Stored<Enclave>,
    taken: Option<&Stored<KeyName>>,
    new: NewKey,
) -> Result<(Draft, Key), RuleError> {
    if taken.is_some() {
        return Err(exists(&enclave.record, &new.name));
    }
    let mut draft = in_open_enclave(enclave)?;
    let key = Key {
        key_id: new.key_id,
        enclave_id: enclave.record.enclave_id,
        name: new.name,
        kind: new.kind,
        state: KeyState::Active,
        primary: Version::FIRST,
        created: new.created,
    };
    put(&mut draft, Expect::Absent, &key);
    put(&mut draft, Expect::Absent, &name_of(&key, key.name.clone()));
    put(&mut draft, Expect::Absent, &version_of(&key, Version::FIRST, new.first));
    Ok((draft, key))
}

/// A new version, which encrypts from now on; the one before only decrypts.
pub fn rotate_key(
    key: &Stored<Key>,
    newest: &Stored<KeyVersion>,
    new: NewVersion,
) -> Result<(Draft, Key), RuleError> {
    refuse_deleted(&key.record)?;
    let mut rotated = key.record.clone();
    rotated.primary = newest.record.version.next().ok_or_else(|| {
        RuleError::refused(
            format!("key {} has no version number left", rotated.name),
            "make a new key",
        )
    })?;
    let mut draft = Draft::default();
    put(&mut draft, Expect::At(key.rev), &rotated);
    put(&mut draft, Expect::Absent, &version_of(&rotated, rotated.primary, new));
    if newest.record.state == VersionState::Active {
        let before = KeyVersion { state: VersionState::Deactivated, ..newest.record.clone() };
        put(&mut draft, Expect::At(newest.rev), &before);
    } else {
        draft.require(KeyVersion::TABLE, newest.record.key(), Expect::At(newest.rev));
    }
    Ok((draft, rotated))
}

/// Stops every use at once and frees the name. Nothing is destroyed: [`undelete_key`] takes it back.
pub fn delete_key(
    key: &Stored<Key>,
    name: &Stored<KeyName>,
    now: Millis,
) -> Result<(Draft, Key), RuleError> {
    refuse_deleted(&key.record)?;
    let mut deleted = key.record.clone();
    deleted.state = KeyState::Deleted { at: now };
    let mut draft = Draft::default();
    put(&mut draft, Expect::At(key.rev), &deleted);
    draft.delete(KeyName::TABLE, name.record.key(), name.rev);
    Ok((draft, deleted))
}

/// Brings a deleted key back, under its old name or another that is free.
pub fn undelete_key(
    enclave: &Stored<Enclave>,
    key: &Stored<Key>,
    name: Option<Name>,
    taken: Option<&Stored<KeyName>>,
) -> Result<(Draft, Key), RuleError> {
    if key.record.state == KeyState::Active {
        return Err(RuleError::refused(
            format!("key {} ({}) is not deleted", key.record.name, key.record.key_id),
            "nothing needs to be done",
        ));
    }
    let mut back = key.record.clone();
    back.state = KeyState::Active;
    back.name = name.unwrap_or(back.name);
    if taken.is_some() {
        return Err(exists(&enclave.record, &back.name));
    }
    let mut draft = in_open_enclave(enclave)?;
    put(&mut draft, Expect::At(key.rev), &back);
    put(&mut draft, Expect::Absent, &name_of(&back, back.name.clone()));
    Ok((draft, back))
}

/// A draft that holds only while the enclave takes new things.
pub(crate) fn in_open_enclave(enclave: &Stored<Enclave>) -> Result<Draft, RuleError> {
    if enclave.record.state == EnclaveState::Closing {
        return Err(RuleError::refused(
            format!("enclave {} is being removed", enclave.record.name),
            "use another enclave",
        ));
    }
    let mut draft = Draft::default();
    draft.require(Enclave::TABLE, enclave.record.key(), Expect::At(enclave.rev));
    Ok(draft)
}

fn exists(enclave: &Enclave, name: &Name) -> RuleError {
    RuleError::Exists(format!("key {}/{name}", enclave.name))
}

fn refuse_deleted(key: &Key) -> Result<(), RuleError> {
    match key.state {
        KeyState::Active => Ok(()),
        KeyState::Deleted { .. } => Err(RuleError::refused(
            format!("key {} ({}) is deleted", key.name, key.key_id),
            format!("holdfast key undelete {}", key.name),
        )),
    }
}

fn name_of(key: &Key, name: Name) -> KeyName {
    KeyName { enclave_id: key.enclave_id, name, key_id: key.key_id }
}

fn version_of(key: &Key, version: Version, new: NewVersion) -> KeyVersion {
    KeyVersion {
        key_id: key.key_id,
        version,
        enclave_id: key.enclave_id,
        kind: key.kind,
        state: VersionState::Active,
        kcv: new.kcv,
        wrapped: new.wrapped,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::{EnclaveId, Revision};

    use super::*;

    fn stored<R>(rev: u64, record: R) -> Stored<R> {
        Stored { rev: Revision(rev), at: Millis(rev), record }
    }

    fn enclave(state: EnclaveState) -> Stored<Enclave> {
        let name = "default".parse().unwrap();
        stored(1, Enclave { enclave_id: EnclaveId([2; 16]), name, state })
    }

    fn version(byte: u8) -> NewVersion {
        NewVersion { kcv: [byte; 8], wrapped: vec![byte; 85] }
    }

    fn new_key() -> NewKey {
        NewKey {
            key_id: KeyId([1; 16]),
            name: "orders".parse().unwrap(),
            kind: KeyKind::Aes256,
            first: version(1),
            created: Millis(5),
        }
    }

    fn created() -> Key {
        create_key(&enclave(EnclaveState::Open), None, new_key()).unwrap().1
    }

    #[test]
    fn a_name_is_taken_once_and_a_closing_enclave_takes_none() {
        let (draft, key) = create_key(&enclave(EnclaveState::Open), None, new_key()).unwrap();
        assert_eq!(draft.write.len(), 3);
        let held =
            draft.expect.iter().any(|e| e.0 == Enclave::TABLE && e.2 == Expect::At(Revision(1)));
        assert!(held, "the enclave must stand as it was seen");
        let taken = stored(3, name_of(&key, key.name.clone()));
        let again = create_key(&enclave(EnclaveState::Open), Some(&taken), new_key());
        assert_eq!(again.unwrap_err(), RuleError::Exists("key default/orders".to_owned()));
        assert!(create_key(&enclave(EnclaveState::Closing), None, new_key()).is_err());
    }

    #[test]
    fn rotation_leaves_the_old_version_to_decrypt() {
        let key = stored(4, created());
        let newest = stored(4, version_of(&key.record, Version::FIRST, version(1)));
        let (draft, rotated) = rotate_key(&key, &newest, version(2)).unwrap();
        assert_eq!(rotated.primary, Version(2));
        let versions: Vec<KeyVersion> = draft
            .write
            .iter()
            .filter(|write| write.0 == KeyVersion::TABLE)
            .map(|(_, key, body)| {
                let body = body.as_ref().unwrap();
                KeyVersion::decode(body.schema, key, &body.bytes).unwrap()
            })
            .collect();
        let states: Vec<_> = versions.iter().map(|v| (v.version.0, v.state)).collect();
        assert!(states.contains(&(1, VersionState::Deactivated)));
        assert!(states.contains(&(2, VersionState::Active)));
    }

    #[test]
    fn a_deleted_key_stops_and_comes_back_under_a_free_name() {
        let key = stored(4, created());
        let name = stored(4, name_of(&key.record, key.record.name.clone()));
        let (draft, deleted) = delete_key(&key, &name, Millis(9)).unwrap();
        assert!(draft.write.contains(&(KeyName::TABLE, name.record.key(), None)));
        let deleted = stored(5, deleted);
        assert!(delete_key(&deleted, &name, Millis(9)).is_err());
        let newest = stored(4, version_of(&key.record, Version::FIRST, version(1)));
        assert!(rotate_key(&deleted, &newest, version(2)).is_err());

        let open = enclave(EnclaveState::Open);
        assert!(undelete_key(&open, &key, None, None).is_err(), "it is not deleted");
        let taken = undelete_key(&open, &deleted, None, Some(&name));
        assert!(matches!(taken, Err(RuleError::Exists(_))));
        let other: Name = "orders-2".parse().unwrap();
        let (_, back) = undelete_key(&open, &deleted, Some(other.clone()), None).unwrap();
        assert_eq!((back.name, back.state), (other, KeyState::Active));
    }
}
