//! Who may do what, and that every call is recorded.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_fs::Disk;
use holdfast_machine::View as _;
use holdfast_records::{Enclave, EnclaveState, Record as _};
use holdfast_service::audit::{Audit, Limits, Outcome, Record, Resource, verify};
use holdfast_service::{
    Action, BackupTo, Caller, CreateIdentity, Encrypt, Error, IdentitySelector, KeyPage,
    KeySelector, Level, Privilege, SetPolicy, StartBackup, StoredReport, UndeleteKey,
};
use holdfast_types::{IdentityId, KeyId, Kind, Millis, Revision};

use crate::vault::{ADMIN, NODE, Vault, admin, caller, n, selector, soon};

fn kind<T>(result: Result<T, Error>) -> Kind {
    result.map(|_| ()).expect_err("refused").kind
}

#[tokio::test]
async fn the_default_is_no_and_deny_wins() {
    let vault = Vault::new();
    for key in ["orders-1", "orders-secret", "other"] {
        vault.key(key).await;
    }
    let user =
        vault.user(2, "anna", &["key.encrypt:orders-*", "key.list:*"], &["*:orders-secret"]).await;
    assert!(vault.encrypt(&user, "orders-1", "x").await.is_ok());
    for key in ["orders-secret", "other", "no-such-key"] {
        assert_eq!(kind(vault.encrypt(&user, key, "x").await), Kind::Refused, "{key}");
    }
    let service = &vault.service;
    assert_eq!(kind(service.create_key(&user, &selector("orders-2")).await), Kind::Refused);
    assert_eq!(kind(service.list_identities(&user).await), Kind::Refused);
    let listed = service.list_keys(&user, &n("default"), &KeyPage::default()).await.unwrap();
    let names: Vec<&str> = listed.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["orders-1", "other"], "a listing shows what each name allows");
}

#[tokio::test]
async fn status_and_sheet_are_for_whom_a_policy_lets_read_them() {
    let vault = Vault::new();
    let (service, none) = (&vault.service, vault.user(2, "anna", &["key.*:*"], &[]).await);
    assert_eq!(kind(service.status(&none).await), Kind::Refused);
    assert_eq!(kind(service.sheet(&none).await), Kind::Refused);
    let watch = vault.user(3, "ben", &["status.read:*"], &[]).await;
    assert!(service.status(&watch).await.is_ok());
    assert_eq!(kind(service.sheet(&watch).await), Kind::Refused);
}

#[tokio::test]
async fn a_refusal_says_whose_turn_it_is() {
    let vault = Vault::new();
    let user = vault.user(2, "anna", &["key.encrypt:a"], &[]).await;
    let next = |error: Error| error.next.expect("a next step");
    let service = &vault.service;
    let refused = service.create_key(&user, &selector("b")).await.unwrap_err();
    assert!(next(refused).contains("'key.create:b'"));
    let refused = service.list_identities(&user).await.unwrap_err();
    assert!(next(refused).contains("no policy can allow it"));
    let denied = vault.user(3, "ben", &["key.*:*"], &["key.create:b*"]).await;
    let refused = service.create_key(&denied, &selector("b")).await.unwrap_err();
    assert!(next(refused).contains("denies it"));
    service.remove_policy(&admin(), &n("default"), &n("ben")).await.unwrap();
    let refused = service.create_key(&denied, &selector("c")).await.unwrap_err();
    assert!(next(refused).contains("holdfast policy set ben"));
    // A rule that could never count is refused: it would only look like one.
    let rules = SetPolicy { allow: vec!["identity.list:*".to_owned()], deny: Vec::new() };
    let refused = service.set_policy(&admin(), &n("default"), &n("p"), &rules).await;
    assert_eq!(kind(refused), Kind::BadInput);
}

#[tokio::test]
async fn nobody_removes_who_they_are() {
    let vault = Vault::new();
    let own = IdentitySelector::Id(ADMIN);
    let second = CreateIdentity {
        name: n("ben"),
        identity: IdentityId([3; 32]),
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
    };
    vault.service.create_identity(&admin(), &second).await.unwrap();
    let refused = vault.service.remove_identity(&admin(), &own).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Refused);
    assert!(refused.next.expect("a next step").contains("another administrator"));
    assert!(vault.service.status(&admin()).await.is_ok());
}

#[tokio::test]
async fn an_unknown_caller_may_nothing() {
    let vault = Vault::new();
    vault.key("k").await;
    let nobody = Caller { identity: None, ..admin() };
    assert_eq!(kind(vault.encrypt(&nobody, "k", "x").await), Kind::Refused);
    let stranger = caller(IdentityId([9; 32]));
    assert_eq!(kind(vault.encrypt(&stranger, "k", "x").await), Kind::Refused);
    assert_eq!(kind(vault.service.status(&stranger).await), Kind::Refused);
    assert!(!vault.service.knows(&IdentityId([9; 32])).await);
    assert!(vault.service.knows(&ADMIN).await);
}

#[tokio::test]
async fn a_user_never_reaches_another_enclave() {
    let vault = Vault::new();
    let user = vault.user(2, "anna", &["*:*"], &[]).await;
    vault.service.create_enclave(&admin(), &n("second")).await.unwrap();
    let key = KeySelector { enclave: n("second"), name: n("k") };
    vault.service.create_key(&admin(), &key).await.unwrap();
    assert_eq!(kind(vault.service.show_key(&user, &key).await), Kind::Refused);
    let request = holdfast_service::Encrypt {
        enclave: &key.enclave,
        key: &key.name,
        context: b"",
        plaintext: b"x",
    };
    assert_eq!(kind(vault.service.encrypt(&user, request).await), Kind::Refused);
    let sealed = vault.service.encrypt(&admin(), request).await.unwrap();
    let error = vault.decrypt(&user, &sealed.ciphertext).await.unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.message.contains(&sealed.key_id.to_string()), "{error}");
    assert!(!error.message.contains("second"), "{error}");
}

#[tokio::test]
async fn a_new_name_is_no_way_around_a_denial() {
    let vault = Vault::new();
    vault.key("payroll").await;
    let user = vault.user(2, "anna", &["key.*:*"], &["key.decrypt:payroll"]).await;
    let secret = vault.encrypt(&user, "payroll", "salaries").await.unwrap();
    assert_eq!(kind(vault.decrypt(&user, &secret).await), Kind::Refused);
    let service = &vault.service;
    // Deleted, it keeps its name; another key of that name changes nothing for what is of the first.
    service.delete_key(&user, &selector("payroll")).await.unwrap();
    assert_eq!(kind(vault.decrypt(&user, &secret).await), Kind::Refused);
    vault.key("payroll").await;
    assert_eq!(kind(vault.decrypt(&user, &secret).await), Kind::Refused);
    let (key, name) = (selector("payroll"), Some(n("x1")));
    let mut undelete = UndeleteKey { key, name, key_id: None };
    let refused = service.undelete_key(&user, &undelete).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Refused);
    assert!(refused.message.contains("under another name"), "{refused}");
    assert!(refused.next.expect("a next step").contains("administrator"));
    service.delete_key(&user, &selector("payroll")).await.unwrap();
    assert_eq!(kind(service.undelete_key(&user, &undelete).await), Kind::Refused);
    // Under its own name it comes back by policy, and what it was denied stays so.
    for name in [None, Some(n("payroll"))] {
        undelete.name = name;
        service.undelete_key(&user, &undelete).await.unwrap();
        assert_eq!(kind(vault.decrypt(&user, &secret).await), Kind::Refused);
        service.delete_key(&user, &selector("payroll")).await.unwrap();
    }
    undelete.name = Some(n("x1"));
    assert_eq!(service.undelete_key(&admin(), &undelete).await.unwrap().name, n("x1"));
}

#[tokio::test]
async fn who_may_decrypt_nothing_does_not_learn_which_keys_there_are() {
    let vault = Vault::new();
    vault.key("k").await;
    let second = KeySelector { enclave: n("second"), name: n("k") };
    vault.service.create_enclave(&admin(), &second.enclave).await.unwrap();
    vault.service.create_key(&admin(), &second).await.unwrap();
    let sealed = vault.encrypt(&admin(), "k", "x").await.unwrap();
    let (enclave, key) = (&second.enclave, &second.name);
    let request = Encrypt { enclave, key, context: b"", plaintext: b"x" };
    let foreign = vault.service.encrypt(&admin(), request).await.unwrap().ciphertext;
    let mut unknown = sealed.clone();
    unknown[1] ^= 1;
    assert_eq!(kind(vault.decrypt(&admin(), &unknown).await), Kind::NotFound);
    let nothing = vault.user(2, "anna", &["key.encrypt:*"], &[]).await;
    let something = vault.user(3, "ben", &["key.decrypt:*"], &[]).await;
    let id = |ciphertext: &[u8]| KeyId(*ciphertext[1..].first_chunk().unwrap()).to_string();
    let told = async |who, ciphertext: &[u8]| {
        let error = vault.decrypt(who, ciphertext).await.unwrap_err();
        let message = error.message.replace(&id(ciphertext), "ID");
        (error.kind, message, error.next)
    };
    let first = told(&nothing, &unknown).await;
    assert_eq!(first.0, Kind::Refused, "{first:?}");
    for ciphertext in [&sealed, &foreign] {
        assert_eq!(told(&nothing, ciphertext).await, first);
    }
    // Who may use keys of one enclave learns nothing of the others.
    assert_eq!(told(&something, &unknown).await, told(&something, &foreign).await);
    assert_eq!(vault.decrypt(&something, &sealed).await.unwrap(), "x");
}

#[tokio::test]
async fn a_changed_policy_and_a_removed_identity_count_at_once() {
    let vault = Vault::new();
    vault.key("k").await;
    let user = vault.user(2, "anna", &["key.*:k"], &[]).await;
    assert!(vault.encrypt(&user, "k", "x").await.is_ok());
    let none = SetPolicy::default();
    vault.service.set_policy(&admin(), &n("default"), &n("anna"), &none).await.unwrap();
    assert_eq!(kind(vault.encrypt(&user, "k", "x").await), Kind::Refused);
    let which = IdentitySelector::Name(n("anna"));
    vault.service.remove_identity(&admin(), &which).await.unwrap();
    assert!(!vault.service.knows(&IdentityId([2; 32])).await);
    let last = IdentitySelector::Id(ADMIN);
    assert_eq!(kind(vault.service.remove_identity(&admin(), &last).await), Kind::Refused);
    let second = CreateIdentity {
        name: n("ben"),
        identity: IdentityId([3; 32]),
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
    };
    vault.service.create_identity(&admin(), &second).await.unwrap();
    assert_eq!(kind(vault.service.create_identity(&admin(), &second).await), Kind::Exists);
    assert_eq!(kind(vault.service.remove_identity(&admin(), &last).await), Kind::Refused);
    vault.service.remove_identity(&caller(IdentityId([3; 32])), &last).await.unwrap();
    assert_eq!(kind(vault.service.list_enclaves(&admin()).await), Kind::Refused);
}

#[tokio::test]
async fn only_an_empty_enclave_goes() {
    let vault = Vault::new();
    vault.key("k").await;
    assert_eq!(kind(vault.service.remove_enclave(&admin(), &n("default")).await), Kind::Refused);
    vault.key("still-open").await;
    vault.service.create_enclave(&admin(), &n("second")).await.unwrap();
    assert_eq!(kind(vault.service.create_enclave(&admin(), &n("second")).await), Kind::Exists);
    vault.service.remove_enclave(&admin(), &n("second")).await.unwrap();
    let names = vault.service.list_enclaves(&admin()).await.unwrap();
    assert_eq!(names.len(), 1);
}

#[tokio::test]
async fn every_call_is_a_line_and_administration_has_two() {
    let vault = Vault::new();
    vault.key("k").await;
    let stranger = caller(IdentityId([9; 32]));
    let _ = vault.encrypt(&stranger, "k", "x").await;
    vault.encrypt(&admin(), "k", "a secret text").await.unwrap();
    let bad = Error::new(Kind::BadInput, "a name is empty");
    vault.service.reject(&admin(), Action::KeyShow, "default/", bad);
    vault.user(2, "anna", &[], &[]).await;
    let lines = vault.audit_lines();
    let got: Vec<String> = lines
        .iter()
        .filter(|line| line.get("identity").is_some())
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            format!("{} {} {}", text("action"), text("resource"), text("result"))
        })
        .collect();
    assert_eq!(
        got,
        [
            "key.create default/k ok",
            "key.encrypt default/k refused",
            "key.encrypt default/k ok",
            "key.show default/ bad_input",
            "policy.set default/anna begun",
            "policy.set default/anna ok",
            "identity.create anna begun",
            "identity.create anna ok",
        ]
    );
    assert!(lines.iter().all(|line| !line.to_string().contains("a secret text")));
}

#[tokio::test]
async fn the_audit_head_reaches_the_state_when_it_moved() {
    let vault = Vault::new();
    vault.user(2, "anna", &[], &[]).await;
    // The start, and two lines for each of two; the last one follows its answer.
    soon(async || (vault.audit.head().count == 5).then_some(())).await.expect("five lines");
    assert!(vault.service.record_audit_head().await.unwrap());
    assert!(!vault.service.record_audit_head().await.unwrap(), "nothing happened since");
}

/// A second administrator, ben.
async fn late_admin(vault: &Vault, id: u8) -> Caller {
    let identity = IdentityId([id; 32]);
    let second = CreateIdentity {
        name: n("ben"),
        identity,
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
    };
    vault.service.create_identity(&admin(), &second).await.unwrap();
    caller(identity)
}

/// What becomes of a call of ben's that was let in, and waits for its line to be on disk, while ben is removed.
async fn though_removed<T: std::fmt::Debug>(
    vault: &Vault,
    late: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut late = std::pin::pin!(late);
    tokio::select! {
        biased;
        done = &mut late => panic!("{done:?}"),
        () = std::future::ready(()) => {}
    }
    let which = IdentitySelector::Name(n("ben"));
    vault.service.remove_identity(&admin(), &which).await.unwrap();
    late.await
}

#[tokio::test]
async fn what_a_removed_identity_had_begun_is_not_done_any_more() {
    let vault = Vault::new();
    // A call whose line is on disk at once is faster than its removal: tried again.
    for round in 2..50 {
        let (ben, name) = (late_admin(&vault, round).await, n(&format!("late-{round}")));
        let late = vault.service.create_enclave(&ben, &name);
        let Err(refused) = though_removed(&vault, late).await else { continue };
        assert_eq!(refused.kind, Kind::Refused);
        let enclaves = vault.service.list_enclaves(&admin()).await.unwrap();
        assert!(enclaves.iter().all(|enclave| enclave.name != name));
        return;
    }
    panic!("it was always done");
}

#[tokio::test]
async fn a_removed_identity_is_not_believed_that_it_stored_a_backup() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    let mut stream = vault.service.backup_stream(&admin(), started.job).await.unwrap();
    while let Some(piece) = stream.next().await {
        piece.unwrap();
    }
    let sealed = vault.service.backup_sidecars(&admin(), started.job).await.unwrap();
    let place = "client:/mnt/usb".to_owned();
    let report = StoredReport { sha256: sealed.sha256, size: sealed.size, place };
    // A call whose line is on disk at once is faster than its removal: tried again.
    for round in 2..50 {
        let ben = late_admin(&vault, round).await;
        let before = vault.service.show_archive(&admin(), &started.name).await.unwrap().stored;
        let late = vault.service.backup_stored(&ben, started.job, &report);
        let Err(refused) = though_removed(&vault, late).await else { continue };
        assert_eq!(refused.kind, Kind::Refused);
        let archive = vault.service.show_archive(&admin(), &started.name).await.unwrap();
        assert_eq!(archive.stored, before);
        return;
    }
    panic!("it was always believed");
}

#[tokio::test]
async fn administration_has_a_last_line_though_its_caller_went_away() {
    let vault = Vault::new();
    let (who, name) = (admin(), n("second"));
    tokio::select! {
        biased;
        done = vault.service.create_enclave(&who, &name) => panic!("{done:?}"),
        () = std::future::ready(()) => {}
    }
    let lines = vault.audit_lines();
    let of = lines.iter().filter(|line| line["action"] == "enclave.create");
    let results: Vec<_> = of.map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["begun", "other"]);
}

#[tokio::test]
async fn metrics_for_whoever_is_here_are_recorded_as_theirs() {
    let vault = Vault::new();
    let nobody = Caller { identity: None, ..admin() };
    vault.service.metrics(&nobody).await.unwrap();
    let stranger = Caller { identity: Some(IdentityId([9; 32])), ..nobody.clone() };
    vault.service.metrics(&stranger).await.unwrap();
    assert_eq!(kind(vault.service.status(&stranger).await), Kind::Refused);
    let far = Caller { local: false, ..nobody };
    assert_eq!(kind(vault.service.metrics(&far).await), Kind::Refused);
    let lines = vault.audit_lines();
    let of: Vec<_> = lines.iter().filter(|line| line["action"] == "metrics.read").collect();
    let who: Vec<_> = of.iter().map(|line| line["identity"].as_str()).collect();
    let id = IdentityId([9; 32]).to_string();
    assert_eq!(who, [None, Some(id.as_str()), None]);
}

#[tokio::test]
async fn an_api_key_given_for_something_else_is_not_in_the_log() {
    let vault = Vault::new();
    let key = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let shown = vault.service.show_archive(&admin(), key).await;
    assert_eq!(kind(shown), Kind::NotFound);
    let path = format!("GET /api/v2/{}", key.replace(':', "%3A"));
    let error = Error::new(Kind::NotFound, "no such resource");
    vault.service.reject(&admin(), Action::Request, &path, error);
    let lines = vault.audit_lines();
    assert!(lines.iter().any(|line| line["resource"] == "GET /api/v2/k1:..."));
    assert!(lines.iter().all(|line| !line.to_string().contains("AAEC")), "{lines:?}");
}

#[tokio::test]
async fn lines_that_follow_do_not_hide_that_others_were_taken_away() {
    let vault = Vault::new();
    for name in ["a", "b", "c"] {
        vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
    }
    assert!(vault.service.record_audit_head().await.unwrap());
    vault.audit.close();
    let path = vault.dir.path().join("audit/00000001.ndjson");
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, kept.concat()).unwrap();
    let vault = vault.restart().await;
    for name in ["d", "e", "f", "g"] {
        vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
    }
    assert!(vault.service.record_audit_head().await.unwrap(), "there are more lines than before");
    let warnings = vault.service.status(&admin()).await.unwrap().warnings;
    assert!(warnings.iter().any(|found| found.what.contains("had 2 lines")), "{warnings:?}");
}

/// How a row of an enclave stands now, while there is one.
fn enclave(vault: &Vault, name: &str) -> Option<(Revision, Enclave)> {
    let mut found = None;
    let view = vault.cluster.view();
    view.scan(Enclave::TABLE, &[], &mut |key, value| {
        if !value.is_tombstone() {
            let record = Enclave::decode(value.schema, key, &value.body).unwrap();
            if record.name.as_str() == name {
                found = Some((value.rev, record));
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

fn is_closing(vault: &Vault, name: &str) -> bool {
    enclave(vault, name).is_some_and(|(_, enclave)| enclave.state == EnclaveState::Closing)
}

#[tokio::test]
async fn a_removal_that_broke_off_is_undone_by_the_next_one() {
    let vault = Vault::new();
    vault.key("k").await;
    // It was closed while a key came in, and then the server died.
    let (rev, open) = enclave(&vault, "default").unwrap();
    vault.overwrite(rev, &Enclave { state: EnclaveState::Closing, ..open }).await;
    assert_eq!(kind(vault.service.create_key(&admin(), &selector("l")).await), Kind::Refused);
    let refused = vault.service.remove_enclave(&admin(), &n("default")).await.unwrap_err();
    assert!(refused.message.contains("is not empty: 1 keys"), "{refused}");
    vault.key("l").await;
}

#[tokio::test]
async fn a_removal_goes_on_though_its_caller_went_away() {
    let vault = Vault::new();
    vault.service.create_enclave(&admin(), &n("second")).await.unwrap();
    let (who, name) = (admin(), n("second"));
    let half_way = async {
        while enclave(&vault, "second").is_some_and(|(_, it)| it.state == EnclaveState::Open) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = half_way => {}
        done = vault.service.remove_enclave(&who, &name) => panic!("{done:?}"),
    }
    let give_up = Instant::now() + Duration::from_secs(120);
    while is_closing(&vault, "second") {
        assert!(Instant::now() < give_up, "it stays closed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(enclave(&vault, "second").is_none());
}

#[tokio::test]
async fn other_lines_in_the_place_of_those_taken_away_are_noticed() {
    // All of it replaced; cut and continued; as it should be.
    for (kept, same) in [(0, false), (3, false), (usize::MAX, true)] {
        let vault = Vault::new();
        for name in ["a", "b", "c"] {
            vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
        }
        vault.audit.close();
        assert!(vault.service.record_audit_head().await.unwrap());
        let dir = vault.dir.path().join("audit");
        let path = dir.join("00000001.ndjson");
        let text = std::fs::read_to_string(&path).unwrap();
        let before = text.lines().count();
        let kept: Vec<&str> = text.split_inclusive('\n').take(kept).collect();
        std::fs::write(&path, kept.concat()).unwrap();
        let forged = Audit::open(Arc::new(Disk), &dir, NODE, Millis(5), Limits::default()).unwrap();
        while usize::try_from(forged.head().count).unwrap() < before {
            let (remote, action) = ("192.0.2.66:6", Action::StatusRead);
            let (resource, outcome) = (Resource::Text("status"), Outcome::Ok);
            let (at, identity, detail) = (Millis(6), None, "");
            let line = Record { at, identity, remote, action, resource, outcome, detail };
            forged.record_durable(&line).await.unwrap();
        }
        forged.close();
        assert_eq!(verify(&Disk, &dir).unwrap(), Ok(forged.head()), "its chain is whole");
        let vault = vault.restart().await;
        let warnings = vault.service.status(&admin()).await.unwrap().warnings;
        let told = warnings.iter().find(|found| found.what.contains("not the one that the state"));
        assert_eq!(told.is_none(), same, "{warnings:?}");
        assert!(told.is_none_or(|found| found.level == Level::Critical));
    }
}
