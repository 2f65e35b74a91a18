//! What status says about disks: one that does not answer, such as that of an archive on a network whose server
//! is gone, and archives that no longer lie where they were stored.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_crypto::Sha256;
use holdfast_fs::{Disk, Fs, FsLayer};
use holdfast_service::{BackupTo, IdentitySelector, Level, StartBackup, StoredReport, Warning};

use crate::vault::{Vault, admin, n, selector};

/// Says how much room there is once somebody is gone, or after two minutes.
#[derive(Debug)]
struct Silent(Mutex<Receiver<()>>);

impl FsLayer for Silent {
    fn below(&self) -> &dyn Fs {
        &Disk
    }

    fn free_bytes(&self, _: &Path) -> Option<u64> {
        _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(120));
        None
    }
}

#[tokio::test]
async fn it_holds_neither_status_nor_anybody_else() {
    let (hold, held) = channel();
    let silent = Arc::new(Silent(Mutex::new(held)));
    let vault = Vault::with_archives_on(silent, Duration::from_millis(50));
    vault.key("k").await;
    let (asker, other) = (admin(), admin());
    let (status, sealed) =
        tokio::join!(vault.service.status(&asker), vault.encrypt(&other, "k", "x"));
    assert!(sealed.is_ok());
    let warnings = status.unwrap().warnings;
    let silent = warnings.iter().find(|found| found.what.contains("a disk does not answer"));
    assert_eq!(silent.expect("it is told").level, Level::Warning);
    assert!(hold.send(()).is_ok(), "it was not waited for");
}

/// A backup to a client that stores it at `place`.
async fn backup_to(vault: &Vault, place: &Path) {
    let request = StartBackup { to: BackupTo::Client, custodians: None };
    let started = vault.service.start_backup(&admin(), &request).await.unwrap();
    let mut stream = vault.service.backup_stream(&admin(), started.job).await.unwrap();
    let (mut hash, mut all) = (Sha256::new(), Vec::new());
    while let Some(piece) = stream.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    hash.update(&all);
    std::fs::write(place, &all).unwrap();
    vault.service.backup_sidecars(&admin(), started.job).await.unwrap();
    let (size, place) = (all.len() as u64, place.display().to_string());
    let report = StoredReport { sha256: hash.finish(), size, place };
    vault.service.backup_stored(&admin(), started.job, &report).await.unwrap();
}

async fn warnings(vault: &Vault) -> Vec<Warning> {
    vault.service.status(&admin()).await.unwrap().warnings
}

fn has(warnings: &[Warning], level: Level, text: &str) -> bool {
    warnings.iter().any(|found| found.level == level && found.what.contains(text))
}

#[tokio::test]
async fn an_archive_that_is_gone_makes_nothing_better() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    let first = vault.service.backup_to_vault(&admin(), None).await.unwrap();
    let first = vault.archives().join(first.file);
    vault.key("late").await;
    let out = vault.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let second = out.join("second.tar.gpg");
    backup_to(&vault, &second).await;
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Warning, "archives are on the data's own disk"), "{found:?}");
    assert!(!has(&found, Level::Warning, "no longer at"), "{found:?}");
    assert!(!has(&found, Level::Warning, "1 key was made"), "{found:?}");

    // Cut off is as good as gone, and what only it held is in no archive.
    let cut = |file: std::fs::File| file.set_len(100).unwrap();
    cut(std::fs::OpenOptions::new().write(true).open(&second).unwrap());
    let at = format!("is no longer at {}", second.display());
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Warning, &at), "{found:?}");
    std::fs::remove_file(&second).unwrap();
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Warning, &at), "{found:?}");
    assert!(has(&found, Level::Warning, "archives are on the data's own disk"), "{found:?}");
    assert!(has(&found, Level::Warning, "1 key was made"), "{found:?}");
    let list = vault.service.list_archives(&admin()).await.unwrap();
    assert_eq!((list[0].gone, list[1].gone), (true, false));
    assert!(vault.service.show_archive(&admin(), &list[0].name).await.unwrap().gone);

    let whole = std::fs::read(&first).unwrap();
    std::fs::remove_file(&first).unwrap();
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Critical, "no recent archive is left"), "{found:?}");
    std::fs::remove_dir_all(vault.archives()).unwrap();
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Critical, "no recent archive is left"), "{found:?}");

    // With its directory gone it is no better: it was seen here, on a disk that is here. After a restart, too.
    std::fs::remove_dir(&out).unwrap();
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Critical, "no recent archive is left"), "{found:?}");
    let vault = vault.restart().await;
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Critical, "no recent archive is left"), "{found:?}");

    // Of a place whose directory was never here nobody knows: another host, or a disk on a shelf.
    let shelf = vault.dir.path().join("shelf");
    std::fs::create_dir(&shelf).unwrap();
    let third = shelf.join("third.tar.gpg");
    backup_to(&vault, &third).await;
    std::fs::remove_dir_all(&shelf).unwrap();
    let found = warnings(&vault).await;
    assert!(!has(&found, Level::Warning, "no longer at"), "{found:?}");
    assert!(!has(&found, Level::Warning, "own disk"), "{found:?}");
    let unseen = format!("{}, cannot be seen from this host", third.display());
    assert!(has(&found, Level::Info, &unseen), "{found:?}");
    let at = format!("is no longer at {}", second.display());
    assert!(has(&found, Level::Info, &at), "an older one may have been cleared away: {found:?}");
    std::fs::create_dir(vault.archives()).unwrap();
    std::fs::write(&first, &whole).unwrap();
    let found = warnings(&vault).await;
    assert!(has(&found, Level::Info, &at), "{found:?}");
    let gone = |archive: &holdfast_service::ArchiveInfo| archive.gone;
    let list = vault.service.list_archives(&admin()).await.unwrap();
    assert_eq!(list.iter().map(gone).collect::<Vec<_>>(), [false, true, false]);
}

#[tokio::test]
async fn who_may_call_belongs_into_an_archive_as_keys_do() {
    let vault = Vault::new();
    vault.custodian("Anna").await;
    vault.key("k").await;
    let changed = "identities, policies or custodians were changed after the newest stored archive";
    vault.service.backup_to_vault(&admin(), None).await.unwrap();
    assert!(!has(&warnings(&vault).await, Level::Warning, changed));
    vault.user(2, "bob", &["key.list:*"], &[]).await;
    assert!(has(&warnings(&vault).await, Level::Warning, changed));
    vault.service.backup_to_vault(&admin(), None).await.unwrap();
    assert!(!has(&warnings(&vault).await, Level::Warning, changed));
    let bob = IdentitySelector::Name(n("bob"));
    vault.service.remove_identity(&admin(), &bob).await.unwrap();
    assert!(has(&warnings(&vault).await, Level::Warning, changed));
}

#[tokio::test]
async fn a_deleted_key_is_not_counted() {
    let vault = Vault::new();
    vault.key("k").await;
    vault.key("l").await;
    let keys = async || {
        let counts = vault.service.status(&admin()).await.unwrap().counts;
        counts.iter().find(|(name, _)| *name == "keys").unwrap().1
    };
    assert_eq!(keys().await, 2);
    vault.service.delete_key(&admin(), &selector("k")).await.unwrap();
    assert_eq!(keys().await, 1);
}
