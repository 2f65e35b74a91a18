//! Job records: what becomes of a backup whose server ended, and of one that is somebody else's by now.

use holdfast_machine::ViewExt as _;
use holdfast_records::{Job, JobState, Record as _};
use holdfast_service::{BackupProgress, BackupTo, StartBackup};
use holdfast_types::{JobId, Kind, Revision};

use crate::vault::{Vault, admin, soon};

const TO_CLIENT: StartBackup = StartBackup { to: BackupTo::Client, custodians: None };

fn job(vault: &Vault, id: JobId) -> (Revision, Job) {
    let row = vault.cluster.view().live(Job::TABLE, id.as_bytes()).unwrap().unwrap();
    (row.rev, Job::decode(row.schema, id.as_bytes(), &row.body).unwrap())
}

#[tokio::test]
async fn a_backup_that_ended_with_its_server_is_not_under_way_for_ever() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let lost = vault.service.start_backup(&admin(), &TO_CLIENT).await.unwrap().job;
    assert_eq!(vault.service.lost_jobs().await.unwrap(), 0, "it is under way");
    assert_eq!(job(&vault, lost).1.state, JobState::Running);

    let vault = vault.restart().await;
    let begun = vault.service.start_backup(&admin(), &TO_CLIENT).await.unwrap().job;
    assert_eq!(vault.service.lost_jobs().await.unwrap(), 1);
    let (_, record) = job(&vault, lost);
    assert_eq!(record.state, JobState::Failed);
    assert!(record.ended.is_some() && record.note.contains("the server ended"), "{record:?}");
    assert_eq!(job(&vault, begun).1.state, JobState::Running);
    assert_eq!(vault.service.lost_jobs().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_longer_ones_own_is_not_recorded() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let begun = vault.service.start_backup(&admin(), &TO_CLIENT).await.unwrap().job;
    let (rev, record) = job(&vault, begun);
    // As another node does that takes it over.
    vault.overwrite(rev, &Job { token: record.token + 1, ..record }).await;
    let mut stream = vault.service.backup_stream(&admin(), begun).await.unwrap();
    while stream.next().await.is_some_and(|piece| piece.is_ok()) {}
    let failed =
        soon(async || match vault.service.backup_progress(&admin(), begun).await.unwrap() {
            BackupProgress::Failed { kind, message, .. } => Some((kind, message)),
            _ => None,
        });
    let (kind, message) = failed.await.expect("it ends");
    assert_eq!(kind, Kind::Refused);
    assert!(message.contains("no longer this node's"), "{message}");
    assert_eq!(vault.service.list_archives(&admin()).await.unwrap(), Vec::new());
}
