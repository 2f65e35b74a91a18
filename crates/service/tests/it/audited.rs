//! That the audit log says what was done, to what.

use holdfast_service::{
    AddCustodian, CreateIdentity, CustodianSelector, IdentitySelector, Privilege, SetPolicy,
    UndeleteKey,
};
use holdfast_types::IdentityId;

use crate::vault::{Vault, admin, n, selector};

/// `detail` of each line of an action, with its result in front.
fn details(lines: &[serde_json::Value], action: &str) -> Vec<String> {
    let of = lines.iter().filter(|line| line["action"] == action);
    of.map(|line| {
        let text = |field: &str| line[field].as_str().unwrap_or("").to_owned();
        format!("{} {}", text("result"), text("detail"))
    })
    .collect()
}

#[tokio::test]
async fn every_use_of_a_key_names_its_id_and_version() {
    let vault = Vault::new();
    let made = vault.service.create_key(&admin(), &selector("k")).await.unwrap();
    let old = vault.encrypt(&admin(), "k", "x").await.unwrap();
    vault.service.rotate_key(&admin(), &selector("k")).await.unwrap();
    vault.encrypt(&admin(), "k", "x").await.unwrap();
    vault.decrypt(&admin(), &old).await.unwrap();
    let mut flipped = old.clone();
    *flipped.last_mut().unwrap() ^= 1;
    vault.decrypt(&admin(), &flipped).await.unwrap_err();
    vault.service.delete_key(&admin(), &selector("k")).await.unwrap();
    vault.decrypt(&admin(), &old).await.unwrap_err();
    let name = Some(n("other"));
    let undelete = UndeleteKey { key: selector("k"), name, key_id: None };
    vault.service.undelete_key(&admin(), &undelete).await.unwrap();
    let lines = vault.audit_lines();
    let id = made.key_id;
    let is = |action: &str, want: &[String]| assert_eq!(details(&lines, action), want, "{action}");
    let version = |n: u32| format!("ok key {id} version {n}");
    is("key.create", &[version(1)]);
    is("key.encrypt", &[version(1), version(2)]);
    is("key.rotate", &[version(2)]);
    is("key.delete", &[version(2)]);
    is("key.undelete", &[format!("{} now other", version(2))]);
    let decrypts = details(&lines, "key.decrypt");
    assert_eq!(decrypts[0], version(1));
    assert!(
        decrypts[1].starts_with(&format!("not_authentic key {id} version 1: ")),
        "{decrypts:?}"
    );
    assert!(decrypts[2].starts_with(&format!("refused key {id} version 1: ")), "{decrypts:?}");
}

#[tokio::test]
async fn who_may_do_what_from_now_on_is_in_the_line_that_is_on_disk_before() {
    let vault = Vault::new();
    let user = vault.user(2, "anna", &["key.encrypt:a", "key.list:*"], &["*:b"]).await;
    let id = user.identity.unwrap();
    let ben = CreateIdentity {
        name: n("ben"),
        identity: IdentityId([3; 32]),
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
    };
    vault.service.create_identity(&admin(), &ben).await.unwrap();
    let by_name = IdentitySelector::Name(n("ben"));
    vault.service.remove_identity(&admin(), &by_name).await.unwrap();
    let lines = vault.audit_lines();
    let sets = details(&lines, "policy.set");
    assert_eq!(sets.len(), 2);
    for (line, result) in sets.iter().zip(["begun", "ok"]) {
        let want = format!("{result} 2 allowed, 1 denied, sha256 ");
        assert!(line.starts_with(&want), "{line}");
        assert!(line.ends_with(": deny *:b; allow key.encrypt:a, key.list:*"), "{line}");
    }
    let identities = details(&lines, "identity.create");
    assert_eq!(identities[0], format!("begun {id}, user of default with policy anna"));
    assert_eq!(identities[1], identities[0].replace("begun", "ok"));
    assert_eq!(identities[2], format!("begun {}, admin", ben.identity));
    let removed = details(&lines, "identity.remove");
    assert_eq!(removed[1], format!("ok {}, admin ben", ben.identity));
}

#[tokio::test]
async fn many_rules_are_counted_and_hashed_where_they_do_not_fit() {
    let vault = Vault::new();
    let allow = |last: &str| {
        let names = (0..200).map(|i| format!("key.encrypt:a-rather-long-name-{i}"));
        names.chain([last.to_owned()]).collect::<Vec<String>>()
    };
    for last in ["key.decrypt:a", "key.decrypt:b"] {
        let rules = SetPolicy { allow: allow(last), deny: Vec::new() };
        vault.service.set_policy(&admin(), &n("default"), &n("p"), &rules).await.unwrap();
    }
    let bad = SetPolicy { allow: vec!["no rule".to_owned()], deny: Vec::new() };
    vault.service.set_policy(&admin(), &n("default"), &n("p"), &bad).await.unwrap_err();
    let sets = details(&vault.audit_lines(), "policy.set");
    assert!(sets[0].starts_with("begun 201 allowed, 0 denied, sha256 "), "{sets:?}");
    assert!(sets[0].contains(": allow key.encrypt:a-rather-long-name-0, "), "{sets:?}");
    assert!(sets[0].ends_with(" more"), "{sets:?}");
    assert!(sets[0].len() < 1024, "{sets:?}");
    let digest = |line: &str| line.split("sha256 ").nth(1).unwrap()[..64].to_owned();
    assert_eq!(digest(&sets[0]), digest(&sets[1]));
    assert_ne!(digest(&sets[0]), digest(&sets[2]), "the last rule counts, too");
    assert_eq!(sets.len(), 5, "what is no rule does not begin");
    assert!(sets[4].starts_with("bad_input "), "{sets:?}");
}

#[tokio::test]
async fn a_custodian_is_named_by_the_fingerprint() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    vault.custodian("Ben").await;
    let bad = AddCustodian { name: None, certificate: b"none".to_vec() };
    vault.service.add_custodian(&admin(), &bad).await.unwrap_err();
    let which = CustodianSelector::Name(n("Anna"));
    let anna = vault.service.show_custodian(&admin(), &which).await.unwrap();
    vault.service.remove_custodian(&admin(), &which).await.unwrap();
    let lines = vault.audit_lines();
    let added = details(&lines, "custodian.add");
    let fingerprint = &anna.fingerprint;
    assert_eq!(added[0], format!("begun fingerprint {fingerprint}"));
    assert_eq!(
        added[1],
        format!("ok fingerprint {fingerprint}, custodian {} Anna", anna.custodian_id)
    );
    assert_eq!(added.len(), 5, "what is no certificate does not begin: {added:?}");
    assert!(added[4].starts_with("bad_input "), "{added:?}");
    let removed = details(&lines, "custodian.remove");
    assert_eq!(
        removed[1],
        format!("ok fingerprint {fingerprint}, custodian {} Anna", anna.custodian_id)
    );
}
