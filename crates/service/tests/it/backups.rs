//! Custodians, backups, drills, and what status says about them.

use std::io::BufReader;

use holdfast_crypto::Sha256;
use holdfast_ledger::Entry;
use holdfast_machine::{RowSink, SinkError, View as _};
use holdfast_records::{LedgerRow, Record as _};
use holdfast_recovery::{ArchiveFiles, Nowhere, Trust, Unseal, check_sidecars, open_archive};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{
    BackupInfo, BackupProgress, BackupTo, CustodianSelector, DrillMode, DrillReport, Error, Level,
    StartBackup, StoredReport,
};
use holdfast_types::{ArchiveId, Kind, Millis, Row, Table, TableClass};

use crate::vault::{Vault, admin, n, soon};

struct Count(u64);

impl RowSink for Count {
    fn put(&mut self, _: &Row) -> Result<(), SinkError> {
        self.0 += 1;
        Ok(())
    }
}

fn kind<T>(result: Result<T, Error>) -> Kind {
    result.map(|_| ()).expect_err("refused").kind
}

fn has(status: &holdfast_service::Status, level: Level, text: &str) -> bool {
    status.warnings.iter().any(|found| found.level == level && found.what.contains(text))
}

#[tokio::test]
async fn without_a_custodian_nothing_is_sealed_and_status_says_so() {
    let vault = Vault::new();
    assert_eq!(kind(vault.service.backup_to_vault(&admin(), None).await), Kind::Refused);
    let status = vault.service.status(&admin()).await.unwrap();
    assert!(has(&status, Level::Critical, "no custodian"), "{:?}", status.warnings);
    let secret_key = holdfast_seal::generate_custodian("x", Millis(1)).unwrap().0;
    let request =
        holdfast_service::AddCustodian { name: None, certificate: secret_key.as_bytes().to_vec() };
    assert_eq!(kind(vault.service.add_custodian(&admin(), &request).await), Kind::BadInput);
}

#[tokio::test]
async fn a_backup_to_the_vault_is_stored_opens_and_can_be_drilled() {
    let vault = Vault::new();
    vault.key("orders").await;
    let secret = vault.custodian("Anna Example <anna@example.org>").await;
    let info = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    let archive = vault.service.show_archive(&admin(), &info.file).await.unwrap();
    // Read back and opened, with the session keys that were kept.
    assert!(archive.stored.is_some() && archive.verified.is_some());
    assert!(archive.drilled.is_none());
    let status = vault.service.status(&admin()).await.unwrap();
    assert!(has(&status, Level::Warning, "the vault opened an archive itself"), "{status:?}");
    assert_eq!(archive.sha256, info.sha256);
    for name in ["RECOVER.txt", "recover.py", "cluster.pgp"] {
        assert!(vault.archives().join(name).is_file(), "{name}");
    }

    let sheet = vault.service.sheet(&admin()).await.unwrap();
    let files = ArchiveFiles::of(&vault.archives().join(&info.file));
    let trust = Trust::Fingerprint(sheet.fingerprint.clone());
    let now = vault.service.status(&admin()).await.unwrap().at;
    let signed = check_sidecars(&holdfast_fs::Disk, &files, &trust, now).unwrap();
    let identity = Identity::read(secret.as_bytes(), None).unwrap();
    let unseal = Unseal::Custodian(Opener::Identity(identity));
    let sealed = BufReader::new(std::fs::File::open(&files.tar).unwrap());
    let mut rows = Count(0);
    let opened =
        open_archive(sealed, Some(&signed.public), &unseal, &mut rows, &mut |_| {}).unwrap();
    assert_eq!(opened.versions, 1);
    assert!(rows.0 > 5);

    let mut report = DrillReport {
        archive_id: info.archive_id,
        mode: DrillMode::Full,
        elapsed_ms: 5,
        versions: opened.versions,
        digest: "00".repeat(32),
        sha256: info.sha256,
        custodian: None,
    };
    assert_eq!(kind(vault.service.record_drill(&admin(), &report).await), Kind::NotAuthentic);
    report.digest = opened.digest.to_string();
    let record = vault.service.record_drill(&admin(), &report).await.unwrap();
    assert_eq!(record.archive.drilled_full, record.archive.drilled);

    let status = vault.service.status(&admin()).await.unwrap();
    assert!(has(&status, Level::Warning, "one custodian"), "{:?}", status.warnings);
    assert!(has(&status, Level::Warning, "own disk"), "{:?}", status.warnings);
    assert!(!status.warnings.iter().any(|found| found.level == Level::Critical));
    assert!(!has(&status, Level::Warning, "drill"), "{:?}", status.warnings);
}

#[tokio::test]
async fn a_byte_drill_opens_with_what_the_vault_kept_and_only_its_own_archive() {
    let vault = Vault::new();
    vault.key("orders").await;
    vault.custodian("Anna").await;
    vault.custodian("Ben").await;
    let first = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    // The slot of a custodian who went lies in the older archive still, and its session key is kept.
    let which = CustodianSelector::Name(n("Anna"));
    vault.service.remove_custodian(&admin(), &which).await.unwrap();
    let second = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    let open = |info: &holdfast_service::BackupInfo, with: ArchiveId| {
        let unseal = vault.service.kept_sessions(with).unwrap().unwrap();
        let file = std::fs::File::open(vault.archives().join(&info.file)).unwrap();
        open_archive(BufReader::new(file), None, &unseal, &mut Nowhere, &mut |_| {})
    };
    let opened = open(&first, first.archive_id).unwrap();
    assert_eq!((opened.versions, opened.manifest.slots.len()), (1, 2));
    let opened = open(&second, second.archive_id).unwrap();
    assert_eq!((opened.versions, opened.manifest.slots.len()), (1, 1));
    assert!(open(&second, first.archive_id).is_err(), "the session key of another archive");
    assert!(vault.service.kept_sessions(ArchiveId([0; 16])).unwrap().is_none());

    // They survive a restart, wrapped in the state, and are in no archive.
    let vault = vault.restart().await;
    assert!(vault.service.kept_sessions(first.archive_id).unwrap().is_some());
    let tables: Vec<u8> = vault.cluster.view().head().tables.keys().map(|table| table.0).collect();
    assert!(tables.contains(&Table::SESSION_KEYS.0));
    assert_eq!(Table::SESSION_KEYS.class(), TableClass::Cluster);
}

#[tokio::test]
async fn a_key_that_does_not_unwrap_is_found_by_the_backup_and_not_by_the_restore() {
    let vault = Vault::new();
    vault.key("orders").await;
    vault.custodian("Anna").await;
    vault.damage_a_version().await;
    let error = vault.service.backup_to_vault(&admin(), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Damaged);
    assert!(error.message.contains("does not unwrap"), "{}", error.message);
    let left: Vec<_> = std::fs::read_dir(vault.archives()).unwrap().flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name().to_string_lossy().contains(".tar"));
    assert_eq!(left.count(), 0, "nothing stays under a name, final or not");
}

#[tokio::test]
async fn a_ledger_that_is_no_chain_is_found_by_the_backup_and_not_by_the_restore() {
    let vault = Vault::new();
    vault.key("orders").await;
    vault.custodian("Anna").await;
    vault.service.backup_to_vault(&admin(), None).await.unwrap();
    let key = 0_u64.to_be_bytes();
    let found = vault.cluster.view().get(LedgerRow::TABLE, &key).unwrap().unwrap();
    let mut row = LedgerRow::decode(found.schema, &key, &found.body).unwrap();
    let mut entry = Entry::decode(&row.entry).unwrap();
    entry.at = Millis(entry.at.0 + 1);
    row.entry = entry.encode();
    vault.overwrite(found.rev, &row).await;
    let error = vault.service.backup_to_vault(&admin(), None).await.unwrap_err();
    assert_eq!(error.kind, Kind::Damaged, "{error}");
    assert!(error.message.contains("ledger breaks at entry 1"), "{error}");
    assert!(error.next.unwrap().contains("holdfast verify"));
    let archives = vault.service.list_archives(&admin()).await.unwrap();
    assert_eq!(archives.len(), 1, "what could not be restored is none");
}

#[tokio::test]
async fn a_backup_to_a_client_streams_and_is_stored_as_reported() {
    let vault = Vault::new();
    vault.key("orders").await;
    vault.custodian("Anna").await;
    let request = StartBackup {
        to: BackupTo::Client,
        custodians: Some(vec![CustodianSelector::Name(n("Anna"))]),
    };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    let waiting = vault.service.backup_progress(&admin(), started.job).await.unwrap();
    assert_eq!(waiting, BackupProgress::Waiting);
    assert_eq!(kind(vault.service.backup_sidecars(&admin(), started.job).await), Kind::Refused);
    let mut stream = vault.service.backup_stream(&admin(), started.job).await.unwrap();
    assert_eq!(kind(vault.service.backup_stream(&admin(), started.job).await), Kind::Refused);
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        hash.update(&piece);
        size += piece.len() as u64;
    }
    let sidecars = vault.service.backup_sidecars(&admin(), started.job).await.unwrap();
    assert_eq!(sidecars.name, started.name);
    let sha256 = hash.finish();
    assert_eq!((sidecars.sha256, sidecars.size), (sha256, size));

    let place = "client:/mnt/usb".to_owned();
    let wrong = StoredReport { sha256: [0; 32], size, place: place.clone() };
    assert_eq!(
        kind(vault.service.backup_stored(&admin(), started.job, &wrong).await),
        Kind::NotAuthentic
    );
    let report = StoredReport { sha256, size, place: place.clone() };
    let archive = vault.service.backup_stored(&admin(), started.job, &report).await.unwrap();
    assert!(archive.stored.is_some());
    assert_eq!(archive.place, place);
    let progress = vault.service.backup_progress(&admin(), started.job).await.unwrap();
    assert!(matches!(progress, BackupProgress::Stored(_)));

    // Heard twice, it is written once; and nothing is moved by saying so.
    let entries = || vault.cluster.view().head().tables[&LedgerRow::TABLE].live;
    let before = entries();
    let again = vault.service.backup_stored(&admin(), started.job, &report).await.unwrap();
    assert_eq!(again.stored, archive.stored);
    let moved = StoredReport { place: "client:/dev/null".to_owned(), ..report.clone() };
    let refused = vault.service.backup_stored(&admin(), started.job, &moved).await;
    assert_eq!(kind(refused), Kind::Exists);
    assert_eq!(entries(), before);
}

#[tokio::test]
async fn what_the_vault_stored_itself_no_client_reports() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Vault, custodians: None };
    let job = vault.service.start_backup(&admin(), &request).await.unwrap().job;
    let done = loop {
        match vault.service.backup_progress(&admin(), job).await.unwrap() {
            BackupProgress::Stored(done) => break done,
            BackupProgress::Failed { message, .. } => panic!("{message}"),
            _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    let BackupInfo { sha256, size, .. } = done;
    let report = StoredReport { sha256, size, place: "client:/dev/null".to_owned() };
    assert_eq!(kind(vault.service.backup_stored(&admin(), job, &report).await), Kind::Refused);
    let archive = vault.service.show_archive(&admin(), &done.name).await.unwrap();
    assert_eq!(archive.stored_by.as_deref(), Some("vault"));
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_nobody_reads_lets_its_view_go() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    for _ in 0..10_000 {
        match vault.service.backup_progress(&admin(), started.job).await.unwrap() {
            BackupProgress::Failed { message, .. } => {
                assert!(message.contains("nobody read"), "{message}");
                assert!(vault.service.backup_stream(&admin(), started.job).await.is_err());
                return;
            }
            _ => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
        }
    }
    panic!("it waits for ever");
}

#[tokio::test]
async fn a_backup_that_is_given_up_is_in_nobodys_way() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    for _ in 0..5 {
        let job = vault.service.start_backup(&admin(), &request).await.unwrap().job;
        let state = vault.service.cancel_backup(&admin(), job).await.unwrap();
        assert!(matches!(state, BackupProgress::Failed { .. }), "{state:?}");
        let read = vault.service.backup_stream(&admin(), job).await.map(drop).unwrap_err();
        assert!(read.message.contains("given up"), "{read}");
    }
    let job = vault.service.start_backup(&admin(), &request).await.unwrap().job;
    let _reading = vault.service.backup_stream(&admin(), job).await.unwrap();
    assert_eq!(kind(vault.service.cancel_backup(&admin(), job).await), Kind::Refused);
    let request = StartBackup { to: BackupTo::Vault, custodians: None };
    let job = vault.service.start_backup(&admin(), &request).await.unwrap().job;
    assert_eq!(kind(vault.service.cancel_backup(&admin(), job).await), Kind::Refused);
}

#[tokio::test]
async fn backups_begun_at_once_share_the_places_there_are() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let mut begun = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let service = vault.service.clone();
        let request = StartBackup { to: BackupTo::Client, custodians: None };
        begun.spawn(async move { service.start_backup(&admin(), &request).await.map(drop) });
    }
    let all = begun.join_all().await;
    assert_eq!(all.iter().filter(|begun| begun.is_ok()).count(), 4);
    assert!(all.into_iter().filter(Result::is_err).all(|begun| kind(begun) == Kind::Refused));
}

#[tokio::test]
async fn those_whom_nobody_reads_make_room_for_who_comes() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let begin = async || vault.service.start_backup(&admin(), &request).await;
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(begin().await.unwrap().job);
    }
    assert_eq!(kind(begin().await), Kind::Refused, "they may be read any moment");
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    // The one that waits longest makes room; the others may still be read.
    begin().await.unwrap();
    let first = vault.service.backup_progress(&admin(), unread[0]).await.unwrap();
    assert!(matches!(first, BackupProgress::Failed { .. }), "{first:?}");
    drop(vault.service.backup_stream(&admin(), unread[1]).await.unwrap());
}

#[tokio::test]
async fn no_two_archives_have_one_name() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let mut begun = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let service = vault.service.clone();
            begun.spawn(async move { service.backup_to_vault(&admin(), None).await });
        }
        for info in begun.join_all().await {
            let info = info.unwrap();
            assert!(names.insert(info.name.clone()), "{} twice", info.name);
        }
    }
    let listed = vault.service.list_archives(&admin()).await.unwrap();
    let listed: std::collections::BTreeSet<_> =
        listed.into_iter().map(|found| found.name).collect();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn a_custodian_named_twice_and_in_any_way_is_one_recipient() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let anna = vault.service.list_custodians(&admin()).await.unwrap().remove(0);
    let twice = [
        CustodianSelector::Name(anna.name),
        CustodianSelector::Fingerprint(anna.fingerprint.to_lowercase()),
        CustodianSelector::Id(anna.custodian_id),
    ];
    let info = vault.service.backup_to_vault(&admin(), Some(&twice)).await.unwrap();
    let files = ArchiveFiles::of(&vault.archives().join(&info.file));
    let status = vault.service.status(&admin()).await.unwrap();
    let trust = Trust::Fingerprint(vault.service.sheet(&admin()).await.unwrap().fingerprint);
    let signed = check_sidecars(&holdfast_fs::Disk, &files, &trust, status.at).unwrap();
    assert_eq!(signed.public.recipients.len(), 1);
}

#[tokio::test]
async fn a_reader_that_goes_away_fails_the_backup() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    drop(vault.service.backup_stream(&admin(), started.job).await.unwrap());
    let failed =
        soon(async || match vault.service.backup_progress(&admin(), started.job).await.unwrap() {
            BackupProgress::Failed { kind, next, .. } => Some((kind, next)),
            BackupProgress::Running { .. } => None,
            other => panic!("{other:?}"),
        });
    let (kind, next) = failed.await.expect("it ends");
    assert_eq!(kind, Kind::Unavailable);
    assert!(next.is_some());
    assert!(vault.service.list_archives(&admin()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_custodian_comes_once_and_the_last_one_says_what_goes() {
    let vault = Vault::new();
    vault.custodian("Anna Example <anna@example.org>").await;
    vault.custodian("Ben").await;
    let all = vault.service.list_custodians(&admin()).await.unwrap();
    let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["Anna-Example", "Ben"]);
    assert!(all.iter().all(|found| found.slot.is_some()));
    let which = CustodianSelector::Fingerprint(all[0].fingerprint.to_lowercase());
    let removed = vault.service.remove_custodian(&admin(), &which).await.unwrap();
    assert!(removed.note.contains("still open"));
    assert_eq!(vault.service.list_slots(&admin()).await.unwrap().len(), 1);
    let last = CustodianSelector::Name(n("Ben"));
    let error = vault.service.remove_custodian(&admin(), &last).await.unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.next.unwrap().contains("custodian add"), "replaced first, then removed");
    vault.custodian("Carla").await;
    vault.service.remove_custodian(&admin(), &last).await.unwrap();
    vault.service.backup_to_vault(&admin(), None).await.unwrap();
}

#[tokio::test]
async fn a_clock_a_year_off_is_a_warning_and_time_never_goes_back() {
    let vault = Vault::new();
    let year = 365 * 24 * 60 * 60 * 1000;
    vault.set_clock(year);
    vault.key("a").await;
    let ahead = vault.service.status(&admin()).await.unwrap();
    assert!(has(&ahead, Level::Warning, "clock jumped by 36"), "{:?}", ahead.warnings);
    vault.set_clock(0);
    vault.key("b").await;
    let behind = vault.service.status(&admin()).await.unwrap();
    assert!(has(&behind, Level::Warning, "behind the state's time"), "{:?}", behind.warnings);
    assert!(behind.at >= ahead.at);
    let key = vault.service.show_key(&admin(), &crate::vault::selector("b")).await.unwrap();
    assert!(key.created >= ahead.at);
}

#[tokio::test]
async fn once_a_clock_that_was_ahead_is_mended_new_archives_hold() {
    const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
    let vault = Vault::new();
    let _secret = vault.custodian("Anna Example <anna@example.org>").await;
    vault.set_clock(YEAR);
    let ahead = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    vault.set_clock(0);
    let mended = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    let at = vault.service.status(&admin()).await.unwrap().at;
    let now = Millis(at.0 - YEAR);
    let trust = Trust::Fingerprint(vault.service.sheet(&admin()).await.unwrap().fingerprint);
    let check = |file: &str, now| {
        let files = ArchiveFiles::of(&vault.archives().join(file));
        check_sidecars(&holdfast_fs::Disk, &files, &trust, now)
    };
    let refused = check(&ahead.file, now).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotAuthentic);
    assert!(check(&ahead.file, at).is_ok(), "once that time is reached");
    // Its view is of the state's time, which never goes back; it was signed at the clock's.
    let signed = check(&mended.file, now).unwrap();
    assert!(signed.public.created >= at);
}
