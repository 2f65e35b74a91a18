//! Reports of drills: what the state keeps of them, and what cannot be one.

use holdfast_machine::ViewExt as _;
use holdfast_records::{ArchiveState, Record as _};
use holdfast_recovery::{Nowhere, check_archive};
use holdfast_service::{
    BackupTo, DrillMode, DrillReport, Level, StartBackup, StoredReport, Warning,
};
use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{ArchiveId, CustodianId, Kind};

use crate::vault::{Vault, admin};

/// A backup that a client has taken and opened, but not stored yet.
async fn taken(vault: &Vault) -> (holdfast_types::JobId, StoredReport, DrillReport) {
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    let mut stream = vault.service.backup_stream(&admin(), started.job).await.unwrap();
    let mut tar = Vec::new();
    while let Some(piece) = stream.next().await {
        tar.extend_from_slice(&piece.unwrap());
    }
    let sidecars = vault.service.backup_sidecars(&admin(), started.job).await.unwrap();
    let (sha256, size) = (sidecars.sha256, sidecars.size);
    let archive = vault.service.show_archive(&admin(), &sidecars.name).await.unwrap();
    let archive_id = archive.archive_id;
    let unseal = vault.service.kept_sessions(archive_id).unwrap().unwrap();
    let opened = check_archive(tar.as_slice(), None, &unseal, &mut Nowhere).unwrap();
    let drill = DrillReport {
        archive_id,
        mode: DrillMode::Byte,
        elapsed_ms: 5,
        versions: opened.versions,
        digest: opened.digest.to_string(),
        sha256,
        custodian: None,
    };
    (started.job, StoredReport { sha256, size, place: "client:/mnt/usb".to_owned() }, drill)
}

fn state(vault: &Vault, archive: ArchiveId) -> ArchiveState {
    let view = vault.cluster.view();
    let row = view.live(ArchiveState::TABLE, &archive.0).unwrap().unwrap();
    ArchiveState::decode(row.schema, &archive.0, &row.body).unwrap()
}

#[tokio::test]
async fn a_copy_that_is_stored_takes_no_proof_away() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let (job, stored, drill) = taken(&vault).await;
    vault.service.record_drill(&admin(), &drill).await.unwrap();
    let before = state(&vault, drill.archive_id);
    assert!(before.verified.is_some() && before.drilled.is_some() && before.stored.is_none());
    vault.service.backup_stored(&admin(), job, &stored).await.unwrap();
    let after = state(&vault, drill.archive_id);
    assert!(after.stored.is_some());
    assert_eq!((after.verified, after.drilled), (before.verified, before.drilled));
}

#[tokio::test]
async fn numbers_that_json_does_not_hold_are_no_drill() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let (_, _, drill) = taken(&vault).await;
    for odd in [
        DrillReport { elapsed_ms: JSON_INTEGER_MAX + 1, ..drill.clone() },
        DrillReport { versions: u64::MAX, ..drill.clone() },
    ] {
        let error = vault.service.record_drill(&admin(), &odd).await.unwrap_err();
        assert_eq!(error.kind, Kind::BadInput, "{error}");
    }
    let most = DrillReport { elapsed_ms: JSON_INTEGER_MAX, versions: JSON_INTEGER_MAX, ..drill };
    vault.service.record_drill(&admin(), &most).await.unwrap();
}

#[tokio::test]
async fn one_custodians_drill_is_not_that_of_the_others() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    vault.custodian("Ben").await;
    let (job, stored, drill) = taken(&vault).await;
    vault.service.backup_stored(&admin(), job, &stored).await.unwrap();
    let custodians = vault.service.list_custodians(&admin()).await.unwrap();
    let told = async || {
        let warnings = vault.service.status(&admin()).await.unwrap().warnings;
        let about = |found: &&Warning| found.what.contains("full drill");
        warnings.iter().find(about).map(|found| (found.level, found.what.clone()))
    };
    let (level, what) = told().await.unwrap();
    assert_eq!(level, Level::Warning, "{what}");
    assert!(what.contains("no full drill yet"), "{what}");
    let by = |custodian| DrillReport { mode: DrillMode::Full, custodian, ..drill.clone() };
    let anna = by(Some(custodians[0].custodian_id));
    vault.service.record_drill(&admin(), &anna).await.unwrap();
    let (level, what) = told().await.unwrap();
    assert_eq!(level, Level::Info, "{what}");
    assert!(what.contains("Ben") && !what.contains("Anna"), "{what}");
    // Without a name, or by somebody who is none, it is nobody's.
    vault.service.record_drill(&admin(), &by(None)).await.unwrap();
    assert!(told().await.is_some());
    let nobody = by(Some(CustodianId([9; 16])));
    let error = vault.service.record_drill(&admin(), &nobody).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadInput, "{error}");
    let ben = by(Some(custodians[1].custodian_id));
    vault.service.record_drill(&admin(), &ben).await.unwrap();
    assert_eq!(told().await, None);
}
