//! A restore does not bring back what a newer archive took away.

use std::ops::ControlFlow;

use holdfast_machine::{
    Command, Head, Model, Outcome, ReadError, RowSink as _, SinkError, Txn, View, ViewExt as _,
};
use holdfast_records::{
    Custodian, Identity, Key, KeyName, KeyState, KeyVersion, Privilege, Record, Slot, VersionState,
};
use holdfast_recovery::{ArchiveError, Carried, Carry, Foreseen, Foresight};
use holdfast_types::{
    CustodianId, Draft, EnclaveId, IdentityId, KeyId, Millis, Row, Table, TxnId, Value,
};

use crate::scene::{NOW, Scene, changed, open, row};

const DELETED: KeyState = KeyState::Deleted { at: NOW };

fn tombstone(row: &Row) -> Row {
    let value = Value { schema: 0, body: Vec::new(), ..row.value.clone() };
    Row { value, ..row.clone() }
}

fn find<R: Record>(model: &Model, key: &[u8]) -> Option<R> {
    let value = model.live(R::TABLE, key).unwrap()?;
    Some(R::decode(value.schema, key, &value.body).unwrap())
}

fn identity(n: u8) -> Identity {
    Identity {
        identity: IdentityId([n; 32]),
        name: format!("user-{n}").parse().unwrap(),
        privilege: Privilege::User,
        enclave: None,
        policy: None,
        created: NOW,
    }
}

fn key(scene: &Scene, id: KeyId) -> Key {
    find(&scene.model, &id.0).unwrap()
}

fn name_of(key: &Key) -> KeyName {
    KeyName { enclave_id: key.enclave_id, name: key.name.clone(), key_id: key.key_id }
}

/// An older state, and a newer archive of it where a key is deleted, another gone, a version worse, another
/// better, an identity removed, and one added.
struct Story {
    older: Scene,
    newer: Scene,
    ids: [KeyId; 2],
}

fn story() -> Story {
    let mut older = Scene::new();
    let ids = [older.versions[0].key_id, older.versions[7].key_id];
    assert_ne!(ids[0], ids[1]);
    let worse = KeyVersion { state: VersionState::Compromised, ..older.versions[2].clone() };
    let suspended = KeyVersion { state: VersionState::Suspended, ..older.versions[3].clone() };
    let deleted = Key { state: DELETED, ..key(&older, ids[0]) };
    let name = name_of(&key(&older, ids[0]));
    let before = [row(&identity(1)), row(&identity(2)), row(&suspended), row(&name)];
    let model = changed(&older, &before);
    older.model = model;
    let mut newer = Scene { model: older.model.clone(), ..copy(&older) };
    let better = KeyVersion { state: VersionState::Active, ..suspended };
    let after = [
        tombstone(&row(&identity(1))),
        row(&identity(3)),
        row(&worse),
        row(&better),
        row(&deleted),
        tombstone(&row(&name)),
        tombstone(&row(&key(&older, ids[1]))),
    ];
    newer.model = changed(&newer, &after);
    Story { older, newer, ids }
}

/// The same vault, signer and custodians: everything but the keyring's roots is plain data.
fn copy(scene: &Scene) -> Scene {
    let fresh = Scene::new();
    Scene {
        custodians: scene.custodians.clone(),
        secrets: scene.secrets.clone(),
        versions: scene.versions.clone(),
        ..fresh
    }
}

/// Through a sealed archive, as a restore does it.
fn carry(story: &Story, revive: &[KeyId]) -> (Carried, Model) {
    let (tar, sealed) = story.newer.write();
    let mut drafts = Vec::new();
    let mut apply = |draft| {
        drafts.push(draft);
        Ok(())
    };
    let mut carry = Carry::new(&story.older.model, revive, &mut apply);
    open(&tar, Some(&sealed.public), &story.older.unseal(0), &mut carry).unwrap();
    let carried = carry.finish().unwrap();
    (carried, applied(story, &drafts))
}

fn applied(story: &Story, drafts: &[Draft]) -> Model {
    let mut model = story.older.model.clone();
    for (n, draft) in drafts.iter().enumerate() {
        let txn = Txn {
            id: TxnId([u8::try_from(n).unwrap(); 16]),
            epoch: model.head().epoch.id,
            at: Millis(NOW.0 + 1),
            actor: IdentityId::SYSTEM,
            verb: 1,
            expect: draft.expect.clone(),
            write: draft.write.clone(),
        };
        let (outcome, _) = model.apply(&Command::Txn(txn));
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    model
}

#[test]
fn deletions_removals_and_worse_states_are_carried_and_nothing_else() {
    let story = story();
    let (carried, model) = carry(&story, &[]);
    let counts = (carried.identities, carried.policies, carried.keys, carried.versions);
    assert_eq!(counts, (1, 0, 2, 1));
    for id in story.ids {
        let key: Key = find(&model, &id.0).unwrap();
        assert!(matches!(key.state, KeyState::Deleted { .. }));
        assert_eq!(find::<KeyName>(&model, &name_of(&key).key()), None);
    }
    let state = |at: usize| {
        let version = &story.older.versions[at];
        find::<KeyVersion>(&model, &version.key()).unwrap().state
    };
    assert_eq!(state(2), VersionState::Compromised);
    assert_eq!(state(3), VersionState::Suspended, "better is not carried");
    assert_eq!(find::<Identity>(&model, &[1; 32]), None);
    assert!(find::<Identity>(&model, &[2; 32]).is_some());
    assert_eq!(find::<Identity>(&model, &[3; 32]), None, "added is not carried");
    // Every other row is as it was restored.
    let changed = model.rows().zip(story.older.model.rows()).filter(|(new, old)| new != old);
    let tables: Vec<Table> = changed.map(|(new, _)| new.table).collect();
    let expected =
        [Table::KEYS, Table::KEYS, Table::KEY_NAMES, Table::KEY_VERSIONS, Table::IDENTITIES];
    assert_eq!(tables, expected);
}

/// A state on a disk that fails.
struct Unreadable<'a>(&'a Model);

impl View for Unreadable<'_> {
    fn head(&self) -> &Head {
        self.0.head()
    }

    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Value>, ReadError> {
        Err(ReadError::Io("input/output error".to_owned()))
    }

    fn scan(
        &self,
        _: Table,
        _: &[u8],
        _: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        Err(ReadError::Io("input/output error".to_owned()))
    }
}

#[test]
fn a_restored_state_that_cannot_be_read_is_no_fault_of_the_newer_archive() {
    let story = story();
    let (tar, sealed) = story.newer.write();
    let unreadable = Unreadable(&story.older.model);
    let mut apply = |_| panic!("nothing is known to change");
    let mut carry = Carry::new(&unreadable, &[], &mut apply);
    let opened = open(&tar, Some(&sealed.public), &story.older.unseal(0), &mut carry);
    let Err(ArchiveError::Sink(SinkError::Failed(why))) = opened.map(drop) else {
        panic!("whoever restores takes it for the archive's")
    };
    assert!(why.contains("input/output error"), "{why}");
}

/// A custodian of the scene, and their slot.
fn custodian(scene: &Scene, n: usize) -> (Custodian, Slot) {
    let who = scene.custodians[n].clone();
    let slots = scene.model.rows().filter(|row| row.table == Slot::TABLE);
    let mut slots = slots.map(|row| find::<Slot>(&scene.model, &row.key).unwrap());
    let slot = slots.find(|slot| slot.custodian == Some(who.custodian_id)).unwrap();
    (who, slot)
}

/// A newer archive without these custodians, and with `more`.
fn without(gone: &[usize], more: &[Row]) -> Story {
    let mut story = story();
    story.newer.model = story.older.model.clone();
    let removed = gone.iter().flat_map(|n| {
        let (who, slot) = custodian(&story.older, *n);
        [tombstone(&row(&who)), tombstone(&row(&slot))]
    });
    let rows: Vec<Row> = removed.chain(more.iter().cloned()).collect();
    story.newer.model = changed(&story.newer, &rows);
    // Whoever restores opens it still, and it is of no account here how.
    story
}

/// As [`carry`], without a seal.
fn heard(story: &Story) -> (Carried, Model) {
    let mut drafts = Vec::new();
    let mut apply = |draft| {
        drafts.push(draft);
        Ok(())
    };
    let mut carry = Carry::new(&story.older.model, &[], &mut apply);
    story.newer.model.rows().for_each(|row| carry.put(&row).unwrap());
    let carried = carry.finish().unwrap();
    (carried, applied(story, &drafts))
}

#[test]
fn a_removed_custodian_stays_removed_and_so_does_their_slot() {
    let story = without(&[1], &[]);
    let ((anna, first), (bob, second)) = (custodian(&story.older, 0), custodian(&story.older, 1));
    // Through the seal: the newer archive is Anna's.
    let mut one = story;
    one.newer.custodians.truncate(1);
    let (carried, model) = carry(&one, &[]);
    assert_eq!((carried.custodians, carried.kept), (vec![bob.clone()], vec![]));
    assert_eq!(find::<Custodian>(&model, &bob.key()), None);
    assert_eq!(find::<Slot>(&model, &second.key()), None);
    assert_eq!(find::<Custodian>(&model, &anna.key()), Some(anna));
    assert_eq!(find::<Slot>(&model, &first.key()), Some(first));
}

#[test]
fn custodians_stay_where_nobody_else_would_open_the_current_root() {
    let story = without(&[0, 1], &[]);
    let (carried, model) = heard(&story);
    let kept = story.older.custodians.clone();
    assert_eq!(carried, Carried { kept, ..Carried::default() });
    assert!(model.rows().eq(story.older.model.rows()));

    // Bob is a custodian still, but the root of today is not sealed to him.
    let mut story = without(&[0], &[]);
    let (_, slot) = custodian(&story.older, 1);
    story.older.model = changed(&story.older, &[tombstone(&row(&slot))]);
    let (carried, _) = heard(&story);
    assert_eq!((carried.custodians.len(), carried.kept.len()), (0, 1));
}

#[test]
fn who_was_removed_and_added_again_with_the_same_key_stays() {
    let scene = Scene::new();
    let again = |scene: &Scene| {
        let (who, _) = custodian(scene, 1);
        Custodian { custodian_id: CustodianId([9; 16]), ..who }
    };
    let mut story = without(&[1], &[]);
    story.newer.model = changed(&story.newer, &[row(&again(&story.older))]);
    assert_eq!(heard(&story).0, Carried::default());
    // Another's key does not count for theirs.
    let mut story = without(&[1], &[]);
    let other =
        Custodian { fingerprint: scene.custodians[0].fingerprint.clone(), ..again(&story.older) };
    story.newer.model = changed(&story.newer, &[row(&other)]);
    assert_eq!(heard(&story).0.custodians.len(), 1);
}

#[test]
fn who_was_removed_and_made_anew_with_other_rights_does_not_get_the_old_ones_back() {
    let admin = Identity { privilege: Privilege::Admin, ..identity(1) };
    let anew = Identity { created: Millis(NOW.0 + 5), ..admin.clone() };
    let enclave = Some(EnclaveId([0xe1; 16]));
    let policy = Some("p".parse().unwrap());
    for (anew, removed) in [
        (Identity { privilege: Privilege::User, ..anew.clone() }, true),
        (Identity { enclave, ..anew.clone() }, true),
        (Identity { policy, ..anew.clone() }, true),
        // With the rights of before nothing was taken away.
        (anew, false),
    ] {
        let mut story = story();
        story.older.model = changed(&story.older, &[row(&admin)]);
        story.newer.model = changed(&story.older, &[row(&anew)]);
        let (carried, model) = carry(&story, &[]);
        assert_eq!(
            (carried.identities, carried.anew),
            (removed.into(), removed.into()),
            "{anew:?}"
        );
        assert_eq!(find::<Identity>(&model, &[1; 32]).is_none(), removed, "{anew:?}");
        assert!(find::<Identity>(&model, &[2; 32]).is_some());
    }
}

#[test]
fn a_revived_key_stays_as_restored() {
    let story = story();
    let (carried, model) = carry(&story, &story.ids[..1]);
    assert_eq!(carried.keys, 1);
    let key: Key = find(&model, &story.ids[0].0).unwrap();
    assert_eq!(key.state, KeyState::Active);
    assert_eq!(find::<KeyName>(&model, &name_of(&key).key()), Some(name_of(&key)));
}

/// What is known before a restore.
fn foreseen(story: &Story, revive: &[KeyId]) -> Foreseen {
    let mut foresight = Foresight::new(revive);
    let mut hear = |rows: &mut dyn Iterator<Item = Row>| {
        rows.for_each(|row| foresight.put(&row).unwrap());
    };
    hear(&mut story.newer.model.rows());
    foresight.believe();
    // One that is of no use says nothing, whatever it says.
    let every = story.older.model.rows().filter(|row| row.table == Key::TABLE);
    every.for_each(|row| foresight.put(&tombstone(&row)).unwrap());
    foresight.forget();
    let mut older = foresight.older();
    story.older.model.rows().for_each(|row| older.put(&row).unwrap());
    older
}

#[test]
fn what_will_be_taken_away_of_the_keys_is_named_before_as_it_is_carried() {
    let story = story();
    let unknown = KeyId([0xee; 16]);
    for revive in [&[][..], &story.ids[..1], &story.ids, &[story.ids[1], unknown]] {
        let (carried, _) = carry(&story, revive);
        let seen = foreseen(&story, revive);
        assert_eq!((seen.keys, &seen.named), (carried.keys, &carried.named));
        assert_eq!(seen.revived, carried.revived);
        assert_eq!(seen.unknown.contains(&unknown), revive.contains(&unknown));
        let named: Vec<KeyId> = seen.named.iter().map(|key| key.key_id).collect();
        let mut left = story.ids.to_vec();
        left.retain(|id| !revive.contains(id));
        left.sort_unstable();
        assert_eq!(named, left);
        assert!(seen.named.iter().all(|of| key(&story.older, of.key_id).name == of.name));
    }
}

#[test]
fn a_key_is_revived_where_only_a_version_got_worse_and_not_where_nothing_did() {
    let mut story = story();
    let version = story.older.versions[2].clone();
    let worse = KeyVersion { state: VersionState::Deactivated, ..version.clone() };
    story.newer.model = changed(&story.older, &[row(&worse)]);
    let other = story.ids.into_iter().find(|id| *id != version.key_id).unwrap();
    let revive = [version.key_id, other];
    let (carried, model) = carry(&story, &revive);
    let seen = foreseen(&story, &revive);
    assert_eq!((seen.keys, carried.keys, carried.versions), (0, 0, 0));
    assert_eq!(carried.revived, [version.key_id].into());
    assert_eq!((seen.revived, seen.unknown), (carried.revived, [].into()));
    assert_eq!(find::<KeyVersion>(&model, &version.key()), Some(version));
}

#[test]
fn an_equal_archive_carries_nothing() {
    let mut story = story();
    story.newer.model = story.older.model.clone();
    assert_eq!(carry(&story, &[]).0, Carried::default());
}

#[test]
fn changes_are_made_as_they_come_a_transaction_at_a_time_and_a_failure_is_told() {
    let story = story();
    let mut sizes = Vec::new();
    let mut apply = |draft: Draft| {
        sizes.push(draft.write.len());
        Ok(())
    };
    let mut carry = Carry::new(&story.older.model, &[], &mut apply);
    let gone = tombstone(&row(&identity(1)));
    for _ in 0..2500 {
        carry.put(&gone).unwrap();
    }
    assert_eq!(carry.finish().unwrap().identities, 2500);
    assert_eq!(sizes, [1000, 1000, 500]);
    let mut full = |_| Err(SinkError::NoSpace("full".to_owned()));
    let mut carry = Carry::new(&story.older.model, &[], &mut full);
    carry.put(&gone).unwrap();
    assert!(matches!(carry.finish(), Err(SinkError::NoSpace(_))));
}
