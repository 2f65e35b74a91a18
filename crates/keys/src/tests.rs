//! Each rule with each state it can meet, and the exact shape of its draft.

use holdfast_records::{
    Custodian, Enclave, EnclaveName, EnclaveState, Identity, KeyKind, KeyName, KeyState,
    KeyVersion, Policy, Privilege, Record as _, RootGeneration, Slot, SlotKind, Stored,
    VersionState,
};
use holdfast_types::limits::{KEY_VERSIONS_MAX, POLICY_RULES_MAX, RECIPIENTS_MAX};
use holdfast_types::{
    CustodianId, EnclaveId, Generation, IdentityId, KeyId, Kind, Millis, Name, SlotId, Table,
    Version,
};

use super::*;
use crate::testing::*;

const ACTIONS: &[&str] = &["key.encrypt", "key.decrypt", "key.list"];

fn secret() -> Wrapped {
    Wrapped { kcv: [9; 8], wrapped: vec![9; 3] }
}

fn open() -> Stored<Enclave> {
    enclave(EnclaveState::Open)
}

fn closing() -> Stored<Enclave> {
    enclave(EnclaveState::Closing)
}

fn refusal<R: std::fmt::Debug>(decision: Decision<R>, kind: Kind, text: &str) {
    let error = decision.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
    let says_next = matches!(
        error,
        RuleError::Refused { .. }
            | RuleError::Unchanged { .. }
            | RuleError::KeyTaken { .. }
            | RuleError::NoPolicy(_)
    );
    assert_eq!(error.next().is_some(), says_next, "{error:?}");
}

#[test]
fn a_key_is_created_in_an_open_enclave_under_a_free_name() {
    let create = |enclave: &Stored<Enclave>, taken: Option<&Stored<KeyName>>| {
        create_key(enclave, &name("orders"), taken, KeyId([3; 16]), KeyKind::Aes256, secret(), NOW)
    };
    let (draft, key) = create(&open(), None).unwrap();
    assert_eq!((key.primary, key.created, key.state), (Version(1), NOW, KeyState::Active));
    let expected = [
        (Table::ENCLAVES, Some(2), 'R'),
        (Table::KEYS, None, 'W'),
        (Table::KEY_NAMES, None, 'W'),
        (Table::KEY_VERSIONS, None, 'W'),
    ];
    assert_eq!(shape(&draft), expected);
    refusal(create(&open(), Some(&key_name("orders", 9))), Kind::Exists, "key default/orders");
    refusal(create(&closing(), None), Kind::Refused, "being removed");
}

#[test]
fn rotation_leaves_one_active_version() {
    let versions = [
        version(1, VersionState::Compromised),
        version(2, VersionState::Active),
        version(3, VersionState::Suspended),
        // A fault left a second active one: it, too, stops.
        version(4, VersionState::Active),
    ];
    let (draft, rotated) = rotate_key(&key(), &versions, secret()).unwrap();
    assert_eq!(rotated.primary, Version(3));
    let rotate_shape = [
        (Table::KEYS, Some(3), 'W'),
        (Table::KEY_VERSIONS, None, 'W'),
        (Table::KEY_VERSIONS, Some(12), 'W'),
        (Table::KEY_VERSIONS, Some(14), 'W'),
    ];
    assert_eq!(shape(&draft), rotate_shape);
    let mut states: Vec<(u32, VersionState, Vec<u8>)> = draft
        .write
        .iter()
        .filter(|write| write.0 == Table::KEY_VERSIONS)
        .map(|(_, key, body)| {
            let body = body.as_ref().unwrap();
            let version = KeyVersion::decode(body.schema, key, &body.bytes).unwrap();
            (version.version.0, version.state, version.wrapped)
        })
        .collect();
    states.sort();
    assert_eq!(
        states,
        [
            (2, VersionState::Deactivated, vec![2; 4]),
            (3, VersionState::Active, vec![9; 3]),
            (4, VersionState::Deactivated, vec![4; 4]),
        ]
    );

    refusal(rotate_key(&deleted(), &versions, secret()), Kind::Refused, "is deleted");
    let mut full = key();
    full.record.primary = Version(KEY_VERSIONS_MAX - 1);
    assert!(rotate_key(&full, &versions, secret()).is_ok());
    for most in [KEY_VERSIONS_MAX, u32::MAX] {
        full.record.primary = Version(most);
        let text = "has as many versions as a key may have: 10000";
        refusal(rotate_key(&full, &versions, secret()), Kind::Refused, text);
    }
}

#[test]
fn deletion_stops_the_key_and_frees_its_own_name() {
    let (draft, gone) = delete_key(&key(), Some(&key_name("orders", 3)), NOW).unwrap();
    assert_eq!(gone.state, KeyState::Deleted { at: NOW });
    assert_eq!(shape(&draft), [(Table::KEYS, Some(3), 'W'), (Table::KEY_NAMES, Some(6), 'D')]);
    // Without a row of its name, or with another key's, only the key changes.
    for row in [None, Some(&key_name("orders", 9))] {
        let (draft, _) = delete_key(&key(), row, NOW).unwrap();
        assert_eq!(shape(&draft), [(Table::KEYS, Some(3), 'W')]);
    }
    refusal(delete_key(&deleted(), None, NOW), Kind::Refused, "is deleted");
}

#[test]
fn undeletion_takes_a_free_name() {
    for text in ["orders", "orders-old"] {
        let (draft, back) = undelete_key(&open(), &deleted(), &name(text), None).unwrap();
        assert_eq!((back.state, back.name.as_str()), (KeyState::Active, text));
        assert_eq!(back.primary, key().record.primary);
        let expected = [
            (Table::ENCLAVES, Some(2), 'R'),
            (Table::KEYS, Some(4), 'W'),
            (Table::KEY_NAMES, None, 'W'),
        ];
        assert_eq!(shape(&draft), expected);
    }
    let orders = name("orders");
    let taken = key_name("orders", 9);
    refusal(undelete_key(&open(), &deleted(), &orders, Some(&taken)), Kind::Exists, "orders");
    refusal(undelete_key(&open(), &key(), &orders, None), Kind::Refused, "not deleted");
    refusal(undelete_key(&closing(), &deleted(), &orders, None), Kind::Refused, "being removed");
    let mut other = open();
    other.record.enclave_id = EnclaveId([8; 16]);
    refusal(undelete_key(&other, &deleted(), &orders, None), Kind::NotFound, "key 0303");
}

#[test]
fn an_enclave_is_removed_in_two_steps() {
    let id = EnclaveId([2; 16]);
    let row = at(7, EnclaveName { name: name("default"), enclave_id: id });
    let (draft, made) = create_enclave(&name("default"), None, id).unwrap();
    assert_eq!(made, open().record);
    assert_eq!(shape(&draft), [(Table::ENCLAVES, None, 'W'), (Table::ENCLAVE_NAMES, None, 'W')]);
    refusal(create_enclave(&name("default"), Some(&row), id), Kind::Exists, "enclave default");

    let nothing = Contents::default();
    let (draft, closed) = close_enclave(&open(), nothing).unwrap();
    assert_eq!(
        (closed.state, shape(&draft)),
        (EnclaveState::Closing, vec![(Table::ENCLAVES, Some(2), 'W')])
    );
    assert!(close_enclave(&closing(), nothing).unwrap().0.write.is_empty());
    assert!(open_enclave(&open()).unwrap().0.write.is_empty());
    assert_eq!(open_enclave(&closing()).unwrap().1.state, EnclaveState::Open);

    let (draft, _) = remove_enclave(&closing(), Some(&row), nothing).unwrap();
    let removed = [(Table::ENCLAVES, Some(2), 'D'), (Table::ENCLAVE_NAMES, Some(7), 'D')];
    assert_eq!(shape(&draft), removed);
    refusal(remove_enclave(&open(), Some(&row), nothing), Kind::Refused, "opened again");
    for contents in [
        Contents { keys: 1, ..nothing },
        Contents { policies: 1, ..nothing },
        Contents { identities: 1, ..nothing },
    ] {
        refusal(close_enclave(&open(), contents), Kind::Refused, "not empty");
        refusal(remove_enclave(&closing(), Some(&row), contents), Kind::Refused, "not empty");
    }
}

fn person(rev: u64, id: u8, text: &str, privilege: Privilege) -> Stored<Identity> {
    let identity = IdentityId([id; 32]);
    let (enclave, policy) = (None, None);
    at(rev, Identity { identity, name: name(text), privilege, enclave, policy, created: NOW })
}

#[test]
fn identities_are_made_whole_or_not_at_all() {
    let all = [person(20, 1, "admin", Privilege::Admin)];
    let eve = name("eve");
    let make = |id: u8, name: &Name, privilege, user_of: Option<UserOf<'_>>| {
        let new = NewIdentity { name, identity: IdentityId([id; 32]), privilege, user_of };
        create_identity(&vault(), new, &all, NOW)
    };
    let (open, closing) = (open(), closing());
    let bare = UserOf { enclave: &open, policy: None };
    let policy = at(
        8,
        Policy { enclave_id: EnclaveId([2; 16]), name: name("p"), allow: vec![], deny: vec![] },
    );

    let (draft, admin) = make(2, &eve, Privilege::Admin, None).unwrap();
    assert_eq!((admin.enclave, admin.policy), (None, None));
    assert_eq!(shape(&draft), [(Table::VAULT, Some(1), 'W'), (Table::IDENTITIES, None, 'W')]);

    let (draft, user) = make(2, &eve, Privilege::User, Some(bare)).unwrap();
    assert_eq!((user.enclave, user.policy), (Some(EnclaveId([2; 16])), None));
    let expected = [
        (Table::VAULT, Some(1), 'W'),
        (Table::ENCLAVES, Some(2), 'R'),
        (Table::IDENTITIES, None, 'W'),
    ];
    assert_eq!(shape(&draft), expected);
    let p = name("p");
    let with = UserOf { policy: Some((&p, Some(&policy))), ..bare };
    assert_eq!(make(2, &eve, Privilege::User, Some(with)).unwrap().1.policy, Some(name("p")));

    let without = UserOf { policy: Some((&p, None)), ..bare };
    refusal(make(2, &eve, Privilege::User, Some(without)), Kind::NotFound, "policy default/p");
    let gone = UserOf { enclave: &closing, policy: None };
    refusal(make(2, &eve, Privilege::User, Some(gone)), Kind::Refused, "being removed");
    refusal(make(2, &eve, Privilege::User, None), Kind::BadInput, "say which");
    refusal(make(2, &eve, Privilege::Admin, Some(bare)), Kind::BadInput, "no enclave");
    refusal(make(0, &eve, Privilege::Admin, None), Kind::BadInput, "vault's own");
    refusal(make(1, &eve, Privilege::Admin, None), Kind::Exists, "that of identity admin already");
    refusal(make(2, &name("admin"), Privilege::Admin, None), Kind::Exists, "identity admin");
}

#[test]
fn the_last_administrator_stays() {
    let first = person(20, 1, "a", Privilege::Admin);
    let second = person(21, 2, "b", Privilege::Admin);
    let user = person(22, 3, "u", Privilege::User);
    let both = [first.clone(), user.clone(), second];
    let (draft, _) = remove_identity(&first, &both).unwrap();
    // Rests on the other administrator, so that two who remove each other do not both succeed.
    assert_eq!(
        shape(&draft),
        [(Table::IDENTITIES, Some(20), 'D'), (Table::IDENTITIES, Some(21), 'R')]
    );
    let one = [first.clone(), user.clone()];
    refusal(remove_identity(&first, &one), Kind::Refused, "last administrator");
    assert_eq!(
        shape(&remove_identity(&user, &one).unwrap().0),
        [(Table::IDENTITIES, Some(22), 'D')]
    );
}

fn custodian(rev: u64, id: u8) -> Stored<Custodian> {
    let record = Custodian {
        custodian_id: CustodianId([id; 16]),
        name: name(&format!("c{id}")),
        fingerprint: format!("AB{id:02}"),
        certificate: vec![1],
        added: Millis(1),
        expires: None,
    };
    at(rev, record)
}

fn slot(rev: u64, generation: u32, id: u8) -> Stored<Slot> {
    let record = Slot {
        generation: Generation(generation),
        slot_id: SlotId([id; 16]),
        kind: SlotKind::OpenPgp,
        custodian: Some(CustodianId([id; 16])),
        recipient: String::new(),
        sealed: vec![],
    };
    at(rev, record)
}

#[test]
fn a_custodian_comes_with_a_slot() {
    let root = |current| {
        at(9, RootGeneration { generation: Generation(1), kcv: [1; 8], current, canary: vec![] })
    };
    let new = |text: &str, fingerprint: &str| NewCustodian {
        custodian_id: CustodianId([7; 16]),
        slot_id: SlotId([8; 16]),
        name: name(text),
        fingerprint: fingerprint.to_owned(),
        certificate: vec![1],
        expires: Some(NOW),
        sealed: vec![2],
    };
    let all = [custodian(30, 1)];
    let add = |root: &Stored<RootGeneration>, new, all: &[Stored<Custodian>]| {
        add_custodian(&vault(), root, new, all, NOW)
    };
    let (draft, record) = add(&root(true), new("dora", "FF"), &all[..]).unwrap();
    assert_eq!((record.added, record.expires), (NOW, Some(NOW)));
    let expected = [
        (Table::VAULT, Some(1), 'W'),
        (Table::ROOT_GENERATIONS, Some(9), 'R'),
        (Table::SLOTS, None, 'W'),
        (Table::CUSTODIANS, None, 'W'),
    ];
    assert_eq!(shape(&draft), expected);
    refusal(add(&root(false), new("dora", "FF"), &all), Kind::Refused, "rotated");
    refusal(add(&root(true), new("c1", "FF"), &all), Kind::Exists, "custodian c1");
    refusal(add(&root(true), new("dora", "ab01"), &all), Kind::Exists, "certificate ab01");
    let large = NewCustodian { sealed: vec![0; 16 * 1024 + 1], ..new("dora", "FF") };
    refusal(add(&root(true), large, &all), Kind::BadInput, "16384");
    let many: Vec<_> = (1..=RECIPIENTS_MAX as u8).map(|id| custodian(30, id)).collect();
    refusal(add(&root(true), new("dora", "FF"), &many), Kind::Refused, "at most");
    assert!(add(&root(true), new("dora", "FF"), &many[1..]).is_ok());
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_old_one_with_a_slot_of_its_own() {
    let root = |current| {
        at(9, RootGeneration { generation: Generation(2), kcv: [1; 8], current, canary: vec![] })
    };
    let renewal = |certificate: u8| Renewal {
        name: None,
        slot_id: SlotId([8; 16]),
        certificate: vec![certificate],
        expires: Some(NOW),
        sealed: vec![2],
    };
    let which = custodian(30, 1);
    // Another one's slot, one of an older root, and theirs.
    let slots = [slot(40, 2, 2), slot(41, 1, 1), slot(42, 2, 1)];
    let renew = |slots: &[Stored<Slot>], new| renew_custodian(&root(true), &which, slots, new);
    let (draft, record) = renew(&slots, renewal(9)).unwrap();
    let expected = Custodian { certificate: vec![9], expires: Some(NOW), ..which.record.clone() };
    assert_eq!(record, expected, "id, name, fingerprint and time stay");
    let expected = [
        (Table::ROOT_GENERATIONS, Some(9), 'R'),
        (Table::SLOTS, None, 'W'),
        (Table::SLOTS, Some(42), 'D'),
        (Table::CUSTODIANS, Some(30), 'W'),
    ];
    assert_eq!(shape(&draft), expected);
    refusal(renew(&slots, renewal(1)), Kind::Exists, "custodian c1 has already: nothing to do");
    assert!(renew(&slots[..2], renewal(1)).is_ok(), "they had no slot of this root");
    let named = |text: &str| Renewal { name: Some(name(text)), ..renewal(9) };
    assert!(renew(&slots, named("c1")).is_ok());
    refusal(renew(&slots, named("dora")), Kind::Refused, "custodian c1, who cannot become dora");
    let large = Renewal { sealed: vec![0; 16 * 1024 + 1], ..renewal(9) };
    refusal(renew(&slots, large), Kind::BadInput, "16384");
    let rotated = renew_custodian(&root(false), &which, &slots, renewal(9));
    refusal(rotated, Kind::Refused, "rotated");
}

#[test]
fn a_removed_custodian_takes_their_slots_along_and_the_last_one_stays() {
    let (one, two) = (custodian(30, 1), custodian(31, 2));
    let slots = [slot(40, 1, 1), slot(41, 1, 2), slot(42, 2, 1)];
    let (draft, _) = remove_custodian(&one, &[one.clone(), two], &slots).unwrap();
    let expected = [
        (Table::SLOTS, Some(40), 'D'),
        (Table::SLOTS, Some(42), 'D'),
        (Table::CUSTODIANS, Some(30), 'D'),
        (Table::CUSTODIANS, Some(31), 'R'),
    ];
    assert_eq!(shape(&draft), expected);
    refusal(
        remove_custodian(&one, std::slice::from_ref(&one), &slots),
        Kind::Refused,
        "last custodian",
    );
    let error = remove_custodian(&one, std::slice::from_ref(&one), &slots).unwrap_err();
    assert!(format!("{error:?}").contains("custodian add"), "it says what to do first: {error:?}");
}

#[test]
fn policies_deny_by_default_and_a_deny_wins() {
    let evaluate = |allow: &[&str], deny: &[&str], action: &str, thing: &str| {
        let set = policy::set(&open(), &name("p"), None, (allow, deny), ACTIONS);
        policy::compile(&set.unwrap().1).allows(action, thing)
    };
    for (allow, deny, action, thing, expected) in [
        (&[][..], &[][..], "key.encrypt", "orders", false),
        (&["key.encrypt:orders"], &[], "key.encrypt", "orders", true),
        (&["key.encrypt:orders"], &[], "key.encrypt", "orders-1", false),
        (&["key.encrypt:orders"], &[], "key.decrypt", "orders", false),
        (&["key.encrypt:orders-*"], &[], "key.encrypt", "orders-1", true),
        (&["key.encrypt:orders-*"], &[], "key.encrypt", "orders-", true),
        (&["key.encrypt:orders-*"], &[], "key.encrypt", "orders", false),
        (&["key.*:orders"], &[], "key.decrypt", "orders", true),
        (&["key.*:orders"], &[], "policy.set", "orders", false),
        (&["*:*"], &[], "policy.set", "anything", true),
        (&["*:*"], &["key.decrypt:orders"], "key.decrypt", "orders", false),
        (&["*:*"], &["key.decrypt:orders"], "key.encrypt", "orders", true),
        (&["*:*"], &["key.decrypt:orders"], "key.decrypt", "bills", true),
        (&["key.decrypt:orders"], &["*:*"], "key.decrypt", "orders", false),
        (&[], &["key.decrypt:orders"], "key.encrypt", "orders", false),
        (&["key.encrypt:a", "key.decrypt:b"], &[], "key.decrypt", "a", false),
    ] {
        assert_eq!(
            evaluate(allow, deny, action, thing),
            expected,
            "{allow:?} {deny:?} {action}:{thing}"
        );
    }
}

#[test]
fn a_listing_is_mentioned_unless_all_of_it_is_denied() {
    for (allow, deny, expected) in [
        (&["key.list:a-*"][..], &[][..], true),
        (&["key.list:a-*"], &["key.list:a-1"], true),
        (&["key.list:a-*"], &["key.*:*"], false),
        (&["key.encrypt:a-*"], &[], false),
    ] {
        let (_, policy) = policy::set(&open(), &name("p"), None, (allow, deny), ACTIONS).unwrap();
        assert_eq!(policy::compile(&policy).mentions("key.list"), expected, "{allow:?} {deny:?}");
    }
}

#[test]
fn rules_are_read_strictly() {
    for good in ["key.encrypt:orders-*", "key.*:a", "*:*", "key.list:*"] {
        assert_eq!(policy::parse_rule(good, ACTIONS).unwrap().to_string(), good);
    }
    for bad in [
        "key.encrypt",
        "key.encrpyt:a",
        "key.en*:a",
        "k*:a",
        "user.*:a",
        "key.encrypt:",
        ":a",
        "key.encrypt:a*b",
        "key.encrypt:**",
        "key.encrypt:a:b",
        "key:a",
        "",
    ] {
        let error = policy::parse_rule(bad, ACTIONS).unwrap_err();
        assert_eq!(error.kind(), Kind::BadInput, "{bad:?}");
    }
}

#[test]
fn a_policy_is_set_replaced_and_removed() {
    let set = |enclave: &Stored<Enclave>, found: Option<&Stored<Policy>>, rules: &[&str]| {
        policy::set(enclave, &name("p"), found, (rules, &[]), ACTIONS)
    };
    let (draft, record) = set(&open(), None, &["*:*"]).unwrap();
    assert_eq!(shape(&draft), [(Table::ENCLAVES, Some(2), 'R'), (Table::POLICIES, None, 'W')]);
    let found = at(50, record);
    let (draft, replaced) = set(&open(), Some(&found), &["key.list:*"]).unwrap();
    assert_eq!(replaced.allow.len(), 1);
    assert_eq!(shape(&draft), [(Table::ENCLAVES, Some(2), 'R'), (Table::POLICIES, Some(50), 'W')]);
    assert_eq!(shape(&policy::remove(&found).unwrap().0), [(Table::POLICIES, Some(50), 'D')]);
    refusal(set(&closing(), None, &["*:*"]), Kind::Refused, "being removed");
    refusal(set(&open(), None, &["x"]), Kind::BadInput, "ACTION:NAME");
    let many = vec!["*:*"; POLICY_RULES_MAX + 1];
    refusal(set(&open(), None, &many), Kind::BadInput, "more than");
    assert!(set(&open(), None, &many[1..]).is_ok());
}
