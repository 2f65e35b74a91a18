//! Those whom the vault does not know: what they ask costs nobody else a line of the audit log.

use std::time::{Duration, Instant};

use holdfast_service::audit::verify;
use holdfast_service::{Action, Caller, Error, Level};
use holdfast_types::{IdentityId, Kind};

use crate::vault::{Vault, admin, caller, n, selector};

/// How often each kind of stranger asks.
const ASKED: usize = 2000;

#[tokio::test]
async fn a_flood_of_strangers_is_counted_and_every_other_call_has_its_lines() {
    let vault = Vault::new();
    let service = &vault.service;
    let user = vault.user(2, "anna", &["key.encrypt:a"], &[]).await;
    let nobody =
        Caller { identity: None, local: false, known: false, remote: "198.51.100.1:1".to_owned() };
    let unknown = Caller { identity: Some(IdentityId([9; 32])), ..nobody.clone() };
    let here = Caller { local: true, ..nobody.clone() };
    let path = format!("GET /{}", "n".repeat(1000));
    let reject = |who: &Caller| {
        let error = Error::new(Kind::NotFound, "no such resource");
        service.reject(who, Action::Request, &path, error);
    };
    let begun = Instant::now();
    for round in 0..ASKED {
        reject(&nobody);
        reject(&unknown);
        service.show_key(&nobody, &selector("a")).await.unwrap_err();
        service.show_key(&unknown, &selector("a")).await.unwrap_err();
        if round % 50 == 0 {
            service.metrics(&here).await.unwrap();
            // Known, and refused: in a use case and before one.
            service.show_key(&user, &selector("a")).await.unwrap_err();
            service.create_enclave(&user, &n("e")).await.unwrap_err();
            reject(&user);
            service.create_enclave(&admin(), &n(&format!("e{round}"))).await.unwrap();
        }
    }
    let status = service.status(&admin()).await.unwrap();
    let metrics = service.metrics(&admin()).await.unwrap().text;
    let lines = vault.audit_lines();
    // At most what the bucket gave meanwhile.
    let may_have = 100 + begun.elapsed().as_millis() / 100 + 1;

    let rounds = ASKED / 50;
    let of = |who: &Caller, action: &str, result: &str| {
        let identity = who.identity.map(|identity| identity.to_string());
        let is = |line: &&serde_json::Value| {
            line["identity"].as_str() == identity.as_deref()
                && line["action"] == action
                && line["result"] == result
        };
        lines.iter().filter(is).count()
    };
    assert_eq!(of(&user, "key.show", "refused"), rounds);
    assert_eq!(of(&user, "enclave.create", "refused"), rounds);
    assert_eq!(of(&user, "request", "not_found"), rounds);
    assert_eq!(of(&admin(), "enclave.create", "begun"), rounds);
    assert_eq!(of(&admin(), "enclave.create", "ok"), rounds);

    let strangers = lines.iter().filter(|line| {
        let own = line.get("remote").is_none();
        let identity = unknown.identity.map(|identity| identity.to_string());
        !own && (line["identity"].is_null() || line["identity"].as_str() == identity.as_deref())
    });
    let written = strangers.count();
    let counts = lines.iter().filter(|line| line["action"] == "audit.counted");
    let counted = counts.map(|line| line["count"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(written as u64 + counted, (4 * ASKED + rounds) as u64);
    assert!((100..=may_have).contains(&(written as u128)), "{written}, {may_have} may be");
    assert!(lines.iter().all(|line| line["action"] != "audit.dropped"));
    for line in lines.iter().filter(|line| line["action"] == "request") {
        let known = line["identity"] == user.identity.unwrap().to_string();
        let long = line["resource"].as_str().unwrap().len();
        assert_eq!(long, if known { path.len() } else { 256 }, "{line}");
    }

    let told = status.warnings.iter().find(|found| found.what.contains("calls of strangers"));
    assert_eq!(told.expect("status tells").level, Level::Info);
    assert!(status.warnings.iter().all(|found| !found.what.contains("dropped")));
    assert_eq!((status.node.audit_dropped, status.node.audit_counted), (0, counted));
    assert!(metrics.contains(&format!("holdfast_audit_counted {counted}\n")), "{metrics}");
    let dir = vault.dir.path().join("audit");
    assert_eq!(verify(&holdfast_fs::Disk, &dir).unwrap(), Ok(vault.audit.head()));
}

#[tokio::test]
async fn whoever_becomes_known_has_every_line_from_then_on() {
    let vault = Vault::new();
    let nobody = Caller { identity: None, ..admin() };
    let later = caller(IdentityId([2; 32]));
    let reject = |who: &Caller| {
        let error = Error::new(Kind::NotFound, "no such resource");
        vault.service.reject(who, Action::Request, "GET /later", error);
    };
    (0..1000).for_each(|_| reject(&nobody));
    reject(&later);
    vault.user(2, "anna", &[], &[]).await;
    (0..300).for_each(|_| reject(&later));
    // On a connection that was made before, too: what it was then is not asked.
    let here = Caller { local: true, known: false, ..later.clone() };
    for _ in 0..300 {
        _ = vault.service.metrics(&here).await;
    }
    let lines = vault.audit_lines();
    let identity = later.identity.unwrap().to_string();
    let of = |line: &&serde_json::Value| {
        line["identity"] == identity.as_str() && line["action"] == "request"
    };
    let had = lines.iter().filter(of).count();
    assert!((300..=301).contains(&had), "{had}");
    let of: Vec<_> = lines.iter().filter(|line| line["action"] == "metrics.read").collect();
    assert_eq!(of.len(), 300, "{:?}", of.first());
}

#[tokio::test]
async fn metrics_are_found_out_once_a_second_and_a_status_is_of_now() {
    let vault = Vault::new();
    let revision = async || {
        let text = vault.service.metrics(&admin()).await.unwrap().text;
        text.lines().find(|line| line.starts_with("holdfast_revision ")).unwrap().to_owned()
    };
    for round in 0..20 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let begun = Instant::now();
        let first = revision().await;
        vault.key(&format!("k{round}")).await;
        let second = revision().await;
        if begun.elapsed() > Duration::from_millis(900) {
            continue;
        }
        assert_eq!(first, second);
        let status = vault.service.status(&admin()).await.unwrap();
        assert_eq!(format!("holdfast_revision {}", status.revision.0), revision().await);
        assert_ne!(first, revision().await);
        return;
    }
    panic!("the machine is too slow for this test");
}

#[tokio::test]
async fn what_is_lent_before_a_call_is_judged_as_the_call_will_be() {
    let vault = Vault::new();
    let anna = vault.user(2, "anna", &["key.encrypt:a*"], &["key.encrypt:ab"]).await;
    let ben = vault.user(3, "ben", &[], &[]).await;
    let stranger = Caller { known: true, ..caller(IdentityId([9; 32])) };
    let check = async |who: &Caller, action, on, fits: bool| {
        let admitted = vault.service.admit(who, action, on).await;
        assert_eq!(admitted.is_ok(), fits, "{action:?} {on:?}: {admitted:?}");
    };
    check(&anna, Action::KeyEncrypt, Some(("default", "a")), true).await;
    check(&anna, Action::KeyEncrypt, Some(("default", "ab")), false).await;
    check(&anna, Action::KeyEncrypt, Some(("default", "b")), false).await;
    check(&anna, Action::KeyEncrypt, Some(("other", "a")), false).await;
    check(&anna, Action::KeyEncrypt, Some(("default", "*")), true).await;
    check(&anna, Action::KeyEncrypt, None, true).await;
    check(&anna, Action::KeyDecrypt, None, false).await;
    check(&anna, Action::CustodianAdd, None, false).await;
    check(&ben, Action::KeyEncrypt, Some(("default", "a")), false).await;
    check(&ben, Action::KeyDecrypt, None, false).await;
    check(&stranger, Action::KeyDecrypt, None, false).await;
    check(&admin(), Action::KeyDecrypt, None, true).await;
    check(&admin(), Action::CustodianAdd, None, true).await;
}
