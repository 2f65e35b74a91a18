//! What becomes of an audit log that lost lines, or has others in their place.

use holdfast_service::{Level, Warning};
use holdfast_types::Kind;

use crate::vault::{Vault, admin, n};

/// Stops a vault, changes the text of its audit log, starts it again, as a node does.
async fn restarted(vault: Vault, change: impl FnOnce(&str) -> String) -> Vault {
    vault.service.record_audit_head().await.unwrap();
    let vault = restarted_only(vault, change).await;
    vault.service.record_audit_head().await.unwrap();
    vault
}

/// As [`restarted`], and what it found is not recorded yet.
async fn restarted_only(vault: Vault, change: impl FnOnce(&str) -> String) -> Vault {
    vault.audit.close();
    vault.service.record_audit_head().await.unwrap();
    let path = vault.dir.path().join("audit/00000001.ndjson");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(&text)).unwrap();
    vault.restart().await
}

fn without_the_last(lines: usize) -> impl FnOnce(&str) -> String {
    move |text| {
        let all: Vec<&str> = text.split_inclusive('\n').collect();
        all[..all.len() - lines].concat()
    }
}

async fn gaps(vault: &Vault) -> Vec<Warning> {
    let warnings = vault.service.status(&admin()).await.unwrap().warnings;
    warnings.into_iter().filter(|found| found.what.contains("the audit log of")).collect()
}

async fn busy(vault: &Vault, calls: u8) {
    for _ in 0..calls {
        vault.service.list_enclaves(&admin()).await.unwrap();
    }
}

#[tokio::test]
async fn a_gap_is_told_at_every_start_though_more_lines_came() {
    let vault = Vault::new();
    for name in ["a", "b", "c"] {
        vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
    }
    let vault = restarted(vault, without_the_last(5)).await;
    let first = gaps(&vault).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0].level, Level::Critical);
    // More lines than there ever were; then nothing is changed any more.
    busy(&vault, 20).await;
    for _ in 0..2 {
        assert!(vault.service.record_audit_head().await.is_ok());
    }
    let vault = restarted(vault, str::to_owned).await;
    assert_eq!(gaps(&vault).await.len(), 1, "as long as nobody acknowledged it");
}

#[tokio::test]
async fn to_put_the_lines_back_hides_neither_the_gap_nor_what_came_instead() {
    let vault = Vault::new();
    for name in ["a", "b", "c"] {
        vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
    }
    let mut whole = String::new();
    let keep = |text: &str| {
        text.clone_into(&mut whole);
        without_the_last(5)(text)
    };
    let vault = restarted(vault, keep).await;
    busy(&vault, 2).await;
    let vault = restarted(vault, |_| whole).await;
    assert_eq!(gaps(&vault).await.len(), 2, "what came instead is missing now");
}

#[tokio::test]
async fn an_administrator_acknowledges_a_gap_and_the_log_says_so() {
    let vault = Vault::new();
    let user = vault.user(2, "anna", &["*:*"], &[]).await;
    for name in ["a", "b", "c"] {
        vault.service.create_enclave(&admin(), &n(name)).await.unwrap();
    }
    let none = vault.service.acknowledge_audit_gaps(&admin()).await.unwrap_err();
    assert_eq!(none.kind, Kind::NotFound, "{none}");
    let vault = restarted(vault, without_the_last(5)).await;
    let refused = vault.service.acknowledge_audit_gaps(&user).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Refused, "{refused}");
    assert_eq!(vault.service.acknowledge_audit_gaps(&admin()).await.unwrap(), 1);
    assert_eq!(gaps(&vault).await, Vec::new());
    let vault = restarted(vault, str::to_owned).await;
    assert_eq!(gaps(&vault).await, Vec::new());
    let lines = vault.audit_lines();
    let of = lines.iter().filter(|line| line["action"] == "audit.acknowledge");
    let said: Vec<String> =
        of.map(|line| format!("{} {}", line["result"], line["detail"]).replace('"', "")).collect();
    let at = said.iter().position(|line| line.starts_with("begun ")).unwrap();
    assert!(said[at].contains("begun node 0000000000000007: "), "{said:?}");
    assert!(said[at].ends_with(" recorded") && said[at + 1].starts_with("ok node"), "{said:?}");
    // A further one is told again.
    let vault = restarted(vault.restart().await, without_the_last(3)).await;
    assert_eq!(gaps(&vault).await.len(), 1);
}

#[tokio::test]
async fn a_gap_that_is_not_in_the_ledger_yet_is_told_and_acknowledged_all_the_same() {
    let vault = Vault::new();
    busy(&vault, 5).await;
    let vault = restarted_only(vault, without_the_last(3)).await;
    let told = gaps(&vault).await;
    assert!(told.len() == 1 && told[0].what.contains("at this start"), "{told:?}");
    assert_eq!(vault.service.acknowledge_audit_gaps(&admin()).await.unwrap(), 1);
    assert_eq!(gaps(&vault).await, Vec::new());
}

#[tokio::test]
async fn a_gap_that_several_find_is_recorded_once() {
    let vault = Vault::new();
    busy(&vault, 5).await;
    let vault = restarted_only(vault, without_the_last(3)).await;
    let service = &vault.service;
    let (first, second, third) = tokio::join!(
        service.record_audit_head(),
        service.record_audit_head(),
        service.record_audit_head()
    );
    first.and(second).and(third).unwrap();
    assert_eq!(service.acknowledge_audit_gaps(&admin()).await.unwrap(), 1);
}
