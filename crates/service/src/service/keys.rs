//! Keys: make, list, show, rotate, delete, undelete.

use std::ops::ControlFlow;

use holdfast_crypto::random_array;
use holdfast_keys::{Wrapped, create_key, delete_key, rotate_key, undelete_key};
use holdfast_machine::View;
use holdfast_records::{
    Enclave, Key, KeyKind, KeyName, KeyState, KeyVersion, Stored, VersionState,
};
use holdfast_types::limits::{KEY_VERSIONS_SHOWN_MAX, KEYS_PER_PAGE_MAX};
use holdfast_types::{Draft, EnclaveId, KeyId, Kind, Millis, Name, Version};

use super::Service;
use super::caches::{FullName, version_row};
use super::enter::Actor;
use super::read::{aside, each, enclave, get};
use super::said::Used;
use crate::audit::Resource;
use crate::{
    Action, Caller, CreateKey, Error, KeyInfo, KeyList, KeyPage, KeySelector, UndeleteKey,
    VersionInfo,
};

/// So many versions are read on the spot: to go aside takes another thread, and its memory, for each caller.
const VERSIONS_AT_HAND: u32 = 64;

impl Service {
    /// Keys of an enclave that the caller may list, by name.
    pub async fn list_keys(
        &self,
        caller: &Caller,
        enclave: &Name,
        page: &KeyPage,
    ) -> Result<KeyList, Error> {
        let resource = Resource::Within(enclave.as_str(), "*");
        let call = self.enter(caller, Action::KeyList, resource).await?;
        let page = |view: &dyn View| aside(|| key_page(view, &call.actor, enclave, page));
        let result = self.read(page).await;
        call.end(result)
    }

    /// A key with its versions; of very many the newest.
    pub async fn show_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        let resource = Resource::Within(key.enclave.as_str(), key.name.as_str());
        let call = self.enter(caller, Action::KeyShow, resource).await?;
        let result = self.read(|view| key_info(view, &named(view, key)?)).await;
        call.end_with(result, said)
    }
}

impl Service {
    /// Makes a key of kind `aes256`, with version 1.
    pub async fn create_key(&self, caller: &Caller, key: &CreateKey) -> Result<KeyInfo, Error> {
        let resource = Resource::Within(key.enclave.as_str(), key.name.as_str());
        let call = self.enter(caller, Action::KeyCreate, resource).await?;
        let key_id = KeyId(random_array());
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let enclave = enclave(view, &key.enclave)?;
            let id = enclave.record.enclave_id;
            let taken = get::<KeyName>(view, FullName::new(&id, &key.name).as_row())?;
            let kind = KeyKind::Aes256;
            // Wrapped for this enclave: a decision over another state draws anew.
            let secret = self.wrapped(id, key_id, Version::FIRST, kind)?;
            let at = now.max(view.head().at);
            Ok(create_key(&enclave, &key.name, taken.as_ref(), key_id, kind, secret, at)?)
        };
        let result = self.change_key(&call.actor, Action::KeyCreate, rule).await;
        call.end_with(result, said)
    }

    /// Makes the next version; older ones then only decrypt.
    pub async fn rotate_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        let resource = Resource::Within(key.enclave.as_str(), key.name.as_str());
        let call = self.enter(caller, Action::KeyRotate, resource).await?;
        let rule = |view: &dyn View| {
            let id = named(view, key)?;
            let found = with_id(view, &id)?;
            // Whatever number there are: only the newest is active.
            let newest = get::<KeyVersion>(view, &version_row(&id, found.record.primary))?;
            let (enclave, kind) = (found.record.enclave_id, found.record.kind);
            let next = found.record.primary.next().unwrap_or(found.record.primary);
            Ok(rotate_key(&found, newest.as_slice(), self.wrapped(enclave, id, next, kind)?)?)
        };
        let result = self.change_key(&call.actor, Action::KeyRotate, rule).await;
        call.end_with(result, said)
    }

    /// Stops every use at once and frees the name.
    pub async fn delete_key(&self, caller: &Caller, key: &KeySelector) -> Result<KeyInfo, Error> {
        let resource = Resource::Within(key.enclave.as_str(), key.name.as_str());
        let call = self.enter(caller, Action::KeyDelete, resource).await?;
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let found = with_id(view, &named(view, key)?)?;
            let row = FullName::new(&found.record.enclave_id, &key.name);
            let name = get::<KeyName>(view, row.as_row())?;
            Ok(delete_key(&found, name.as_ref(), now.max(view.head().at))?)
        };
        let result = self.change_key(&call.actor, Action::KeyDelete, rule).await;
        call.end_with(result, said)
    }

    /// Brings a deleted key back. Rights go by name: under another one the key would be another key to whoever
    /// has rules, and no rule could keep anybody from it. So that is for administrators.
    pub async fn undelete_key(
        &self,
        caller: &Caller,
        undelete: &UndeleteKey,
    ) -> Result<KeyInfo, Error> {
        let UndeleteKey { key, name, key_id } = undelete;
        let resource = Resource::Within(key.enclave.as_str(), key.name.as_str());
        let call = self.enter(caller, Action::KeyUndelete, resource).await?;
        let new_name = name.as_ref().unwrap_or(&key.name);
        let renamed = *new_name != key.name;
        if renamed && !call.actor.admin {
            let error = no_other_name(&call.actor, key);
            return call.end(Err(error));
        }
        let rule = |view: &dyn View| {
            let enclave = enclave(view, &key.enclave)?;
            let id = enclave.record.enclave_id;
            let found = aside(|| deleted(view, &enclave, &key.name, *key_id))?;
            let taken = get::<KeyName>(view, FullName::new(&id, new_name).as_row())?;
            Ok(undelete_key(&enclave, &found, new_name, taken.as_ref())?)
        };
        let result = self.change_key(&call.actor, Action::KeyUndelete, rule).await;
        let now = if renamed { format!(" now {new_name}") } else { String::new() };
        call.end_with(result, |key| said(key) + &now)
    }

    async fn change_key(
        &self,
        actor: &Actor,
        action: Action,
        rule: impl FnMut(&dyn View) -> Result<(Draft, Key), Error> + Send,
    ) -> Result<KeyInfo, Error> {
        let (_, key) = self.decide(actor.identity, action.verb(), rule).await?;
        self.read(|view| key_as(view, key.clone())).await
    }

    /// A new secret, wrapped for the version it is for.
    fn wrapped(
        &self,
        enclave: EnclaveId,
        key: KeyId,
        version: Version,
        kind: KeyKind,
    ) -> Result<Wrapped, Error> {
        let new = self.keyring.new_version(enclave, key, version, kind)?;
        Ok(Wrapped { kcv: new.kcv, wrapped: new.wrapped })
    }
}

/// What the audit log says of a key besides its name.
fn said(key: &KeyInfo) -> String {
    Used::new(key.key_id, key.version).as_str().to_owned()
}

fn no_other_name(actor: &Actor, key: &KeySelector) -> Error {
    let KeySelector { enclave, name } = key;
    let who = &actor.name;
    let message = format!("{who} may not bring key {enclave}/{name} back under another name");
    Error::new(Kind::Refused, message).next(format!(
        "ask an administrator, since rights go by name; under its own, where that is free: holdfast key undelete {name} -e {enclave}"
    ))
}

fn with_id(view: &dyn View, id: &KeyId) -> Result<Stored<Key>, Error> {
    let found = get::<Key>(view, id.as_bytes())?;
    found.ok_or_else(|| Error::missing(format!("there is no key {id}")))
}

/// The deleted key that last had `name`: the one of `key_id`, or the one deleted last. There is no index
/// of deleted keys: undeleting walks them all, and happens after a mistake.
fn deleted(
    view: &dyn View,
    enclave: &Stored<Enclave>,
    name: &Name,
    key_id: Option<KeyId>,
) -> Result<Stored<Key>, Error> {
    let mut best: Option<(Millis, Stored<Key>)> = None;
    let mut living = false;
    each::<Key>(view, &[], &[], |key| {
        let record = &key.record;
        let ours = record.enclave_id == enclave.record.enclave_id && record.name == *name;
        if ours && key_id.is_none_or(|id| id == record.key_id) {
            match record.state {
                KeyState::Deleted { at } if best.as_ref().is_none_or(|(best, _)| *best <= at) => {
                    best = Some((at, key));
                }
                KeyState::Deleted { .. } => {}
                KeyState::Active => living = true,
            }
        }
        ControlFlow::Continue(())
    })?;
    let enclave = &enclave.record.name;
    let with = key_id.map(|id| format!(" with id {id}")).unwrap_or_default();
    match best {
        Some((_, key)) => Ok(key),
        None if living => {
            Err(Error::new(Kind::Refused, format!("key {enclave}/{name}{with} is not deleted"))
                .next(format!("it can be used: holdfast key show {name} -e {enclave}")))
        }
        None => Err(Error::missing(format!("there is no deleted key {enclave}/{name}{with}"))
            .next(format!(
                "holdfast key ls --deleted -e {enclave} shows those that can come back"
            ))),
    }
}

fn key_page(
    view: &dyn View,
    actor: &Actor,
    enclave_name: &Name,
    page: &KeyPage,
) -> Result<KeyList, Error> {
    let id = enclave(view, enclave_name)?.record.enclave_id;
    let limit = page.limit.unwrap_or(KEYS_PER_PAGE_MAX).clamp(1, KEYS_PER_PAGE_MAX) as usize;
    if page.deleted {
        return deleted_page(view, actor, enclave_name, &id, page.after.as_ref(), limit);
    }
    let mut from = id.as_bytes().to_vec();
    if let Some(after) = &page.after {
        // The smallest key behind it: no name contains a zero.
        from.extend_from_slice(after.as_str().as_bytes());
        from.push(0);
    }
    let mut found = Vec::new();
    each::<KeyName>(view, id.as_bytes(), &from, |entry| {
        let name = entry.record.name;
        if actor.may(Action::KeyList, enclave_name.as_str(), name.as_str()) {
            found.push((name, entry.record.key_id));
        }
        if found.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(name, _)| name.clone());
    let mut keys = Vec::with_capacity(found.len());
    for (_, key_id) in found {
        if let Some(key) = get::<Key>(view, key_id.as_bytes())? {
            keys.push(info(enclave_name, key.record, Vec::new()));
        }
    }
    Ok(KeyList { keys, next })
}

/// As [`key_page`], of the deleted keys. They have no index: all keys are walked.
fn deleted_page(
    view: &dyn View,
    actor: &Actor,
    enclave: &Name,
    id: &EnclaveId,
    after: Option<&Name>,
    limit: usize,
) -> Result<KeyList, Error> {
    let mut found = Vec::new();
    each::<Key>(view, &[], &[], |key| {
        let key = key.record;
        let listed = key.enclave_id == *id
            && after.is_none_or(|after| key.name > *after)
            && matches!(key.state, KeyState::Deleted { .. })
            && actor.may(Action::KeyList, enclave.as_str(), key.name.as_str());
        if listed {
            found.push(info(enclave, key, Vec::new()));
        }
        ControlFlow::Continue(())
    })?;
    // Of one name and one time as [`deleted`] chooses.
    found.sort_by(|a, b| {
        a.name.cmp(&b.name).then((b.deleted, b.key_id).cmp(&(a.deleted, a.key_id)))
    });
    let last = found.get(limit - 1).map(|key| key.name.clone());
    let more = last.filter(|last| found.last().is_some_and(|key| key.name > *last));
    if let Some(last) = &more {
        found.retain(|key| key.name <= *last);
    }
    Ok(KeyList { keys: found, next: more })
}

/// A key as it stands in `view`, with its newest versions.
fn key_info(view: &dyn View, id: &KeyId) -> Result<KeyInfo, Error> {
    key_as(view, with_id(view, id)?.record)
}

/// A key as a change left it, though others may have changed it again: who rotates is told of the own version.
fn key_as(view: &dyn View, key: Key) -> Result<KeyInfo, Error> {
    let missing = || Error::missing(format!("there is no key {}", key.key_id));
    let enclave = get::<Enclave>(view, key.enclave_id.as_bytes())?;
    let enclave = enclave.ok_or_else(missing)?.record.name;
    let first = Version(key.primary.0.saturating_sub(KEY_VERSIONS_SHOWN_MAX - 1));
    let read = || versions(view, &key.key_id, first);
    let few = key.primary.0 - first.0 < VERSIONS_AT_HAND;
    let mut versions = if few { read()? } else { aside(read)? };
    let own = versions.partition_point(|version| version.record.version <= key.primary);
    let overtaken = own < versions.len();
    versions.truncate(own);
    if let Some(newest) = versions.last_mut().filter(|_| overtaken) {
        newest.record.state = VersionState::Active;
    }
    Ok(info(&enclave, key, versions))
}

/// A key's versions from `first` on.
fn versions(view: &dyn View, id: &KeyId, first: Version) -> Result<Vec<Stored<KeyVersion>>, Error> {
    let mut versions = Vec::new();
    each::<KeyVersion>(view, id.as_bytes(), &version_row(id, first), |version| {
        versions.push(version);
        ControlFlow::Continue(())
    })?;
    Ok(versions)
}

/// The id of a key by its names.
fn named(view: &dyn View, key: &KeySelector) -> Result<KeyId, Error> {
    let enclave = enclave(view, &key.enclave)?.record.enclave_id;
    let row = FullName::new(&enclave, &key.name);
    let found = get::<KeyName>(view, row.as_row())?;
    let found = found.ok_or_else(|| no_key(&key.enclave, &key.name))?;
    Ok(found.record.key_id)
}

/// Whoever misses a key may be one who may not list keys.
pub(super) fn no_key(enclave: &Name, name: &Name) -> Error {
    Error::missing(format!("there is no key {enclave}/{name}")).next(format!(
        "holdfast key ls -e {enclave} shows those there are; or ask an administrator"
    ))
}

fn info(enclave: &Name, key: Key, versions: Vec<Stored<KeyVersion>>) -> KeyInfo {
    KeyInfo {
        name: key.name,
        enclave: enclave.clone(),
        key_id: key.key_id,
        kind: key.kind.as_str(),
        state: key.state.as_str(),
        version: key.primary,
        created: key.created,
        deleted: match key.state {
            KeyState::Deleted { at } => Some(at),
            KeyState::Active => None,
        },
        versions: versions
            .into_iter()
            .map(|version| VersionInfo {
                version: version.record.version,
                state: version.record.state.as_str(),
                changed: version.at,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_machine::{Model, RowSink as _};
    use holdfast_records::{EnclaveState, Record};
    use holdfast_types::{Epoch, EpochId, Revision, Row, Value};

    use super::*;

    fn put<R: Record>(model: &mut Model, record: &R) {
        let encoded = record.encode();
        let value =
            Value { schema: encoded.schema, rev: Revision(1), at: Millis(1), body: encoded.bytes };
        model.put(&Row { table: R::TABLE, key: record.key(), value }).unwrap();
    }

    #[test]
    fn who_rotates_is_told_of_the_own_version_though_others_were_quick() {
        let epoch =
            Epoch { n: 1, id: EpochId([1; 16]), parent: EpochId::default(), base: Revision(0) };
        let mut model = Model::new(epoch);
        let (enclave_id, key_id) = (EnclaveId([2; 16]), KeyId([3; 16]));
        let created = Millis(1);
        let state = EnclaveState::Open;
        put(&mut model, &Enclave { enclave_id, name: "e".parse().unwrap(), state });
        let key = |primary| Key {
            key_id,
            enclave_id,
            name: "k".parse().unwrap(),
            kind: KeyKind::Aes256,
            state: KeyState::Active,
            primary: Version(primary),
            created,
        };
        put(&mut model, &key(3));
        for number in 1..=3 {
            let state = if number == 3 { VersionState::Active } else { VersionState::Deactivated };
            let (version, kind) = (Version(number), KeyKind::Aes256);
            let (wrapped, kcv) = (vec![1], [0; 8]);
            put(&mut model, &KeyVersion { enclave_id, key_id, version, kind, state, wrapped, kcv });
        }
        let shown = |info: KeyInfo| {
            let states: Vec<_> =
                info.versions.iter().map(|one| (one.version.0, one.state)).collect();
            (info.version.0, states)
        };
        let (old, new) = ("deactivated", "active");
        let own = shown(key_as(&model, key(2)).unwrap());
        assert_eq!(own, (2, vec![(1, old), (2, new)]));
        let now = shown(key_info(&model, &key_id).unwrap());
        assert_eq!(now, (3, vec![(1, old), (2, old), (3, new)]));
    }
}
