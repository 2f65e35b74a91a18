//! Restores of restores: the same signer, a subkey of its own for each epoch, and stock gpg's word for it.

use std::path::PathBuf;
use std::process::Command;

use holdfast_cluster::{Cluster, Config, ManualClock};
use holdfast_ledger::{Entry, EntryKind};
use holdfast_machine::View as _;
use holdfast_records::Record as _;
use holdfast_recovery::{Trust, accept_unsigned, check_sidecars};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{Caller, CustodianSelector};

use super::*;
use crate::{InitOptions, init};

/// A vault in a directory, and a custodian's secret key.
struct Scene {
    dir: tempfile::TempDir,
    secret: String,
    signer: String,
}

impl Scene {
    /// A first vault, with its first archive.
    fn new() -> (Self, PathBuf) {
        Self::with(&[])
    }

    /// As [`Scene::new`], with more custodians than Anna.
    fn with(others: &[&str]) -> (Self, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let generate = |name| holdfast_seal::generate_custodian(name, SystemClock.now()).unwrap();
        let (secret, certificate) = generate("Anna");
        let others = others.iter().map(|name| ((*name).to_owned(), generate(name).1));
        let made = init(&InitOptions {
            data: dir.path().join("data-1"),
            custodians: [("anna.asc".to_owned(), certificate)].into_iter().chain(others).collect(),
            soft_key: Some(dir.path().join("1.key")),
            context: Some(dir.path().join("1.toml")),
            ..InitOptions::default()
        })
        .unwrap();
        let archive = made.first.expect("the first archive was taken").archive;
        (Self { dir, secret: secret.to_string(), signer: made.signer }, archive)
    }

    fn unseal(&self) -> Unseal {
        let identity = Identity::read(self.secret.as_bytes(), None).unwrap();
        Unseal::Custodian(Opener::Identity(identity))
    }

    fn options(&self, n: u32) -> RestoreOptions {
        RestoreOptions {
            data: self.dir.path().join(format!("data-{n}")),
            soft_key: Some(self.dir.path().join(format!("{n}.key"))),
            context: Some(self.dir.path().join(format!("{n}.toml"))),
            ..RestoreOptions::default()
        }
    }

    fn check(&self, archive: &std::path::Path) -> Signed {
        let trust = Trust::Fingerprint(self.signer.clone());
        check_sidecars(&Disk, &ArchiveFiles::of(archive), &trust, SystemClock.now()).unwrap()
    }

    fn restore(&self, archive: &std::path::Path, n: u32) -> Restored {
        let files = ArchiveFiles::of(archive);
        let signed = self.check(archive);
        restore(&files, &signed, &self.unseal(), &self.options(n), &mut |_| ()).unwrap()
    }

    /// Opens the vault of an epoch, and takes an archive in it.
    fn backup(&self, n: u32) -> PathBuf {
        self.backup_to(n, &[], None)
    }

    /// As [`Scene::backup`], once these custodians are removed.
    fn backup_without(&self, n: u32, removed: &[&str]) -> PathBuf {
        self.backup_to(n, removed, None)
    }

    /// As [`Scene::backup_without`], sealed to one of them.
    fn backup_to(&self, n: u32, removed: &[&str], to: Option<&str>) -> PathBuf {
        let to = to.map(|name| vec![name.parse().unwrap()]);
        let data = self.options(n).data;
        crate::serve::runtime().unwrap().block_on(async {
            let node = crate::open::open(&Disk::shared(), &data, None, None).unwrap();
            for name in removed {
                let which = CustodianSelector::Name(name.parse().unwrap());
                node.service.remove_custodian(&Caller::system(), &which).await.unwrap();
            }
            let caller = Caller::system();
            let info = node.service.backup_to_vault(&caller, to.as_deref()).await.unwrap();
            let archive = node.service.show_archive(&Caller::system(), &info.name).await.unwrap();
            assert!(archive.verified.is_some(), "by the slot that the restore opened");
            let sheet = node.service.sheet(&Caller::system()).await.unwrap();
            assert_eq!(sheet.fingerprint, self.signer);
            node.close().await.unwrap();
            data.join("archives").join(info.file)
        })
    }

    /// A write in the vault of an epoch, under a clock that is a year ahead.
    fn write_a_year_ahead(&self, n: u32) {
        let (fs, data) = (Disk::shared(), self.options(n).data);
        let data = DataDir::open(Arc::clone(&fs), &data).unwrap();
        let store = DiskStore::open(Arc::clone(&fs), &data.state(), 1 << 20).unwrap();
        let (log, _) = Log::open(fs, &data.log()).unwrap();
        let year = 365 * 24 * 60 * 60 * 1000;
        let clock = Arc::new(ManualClock::at(Millis(SystemClock.now().0 + year)));
        let config = Config::new(data.marker().node_id);
        let cluster = Cluster::start(config, store, log, clock).unwrap();
        let mut draft = Draft::default();
        let user = holdfast_records::Identity {
            identity: IdentityId([9; 32]),
            name: "later".parse().unwrap(),
            privilege: Privilege::User,
            enclave: None,
            policy: None,
            created: Millis::default(),
        };
        put(&mut draft, Expect::Absent, &user);
        let txn = Txn {
            id: TxnId(random_array()),
            epoch: cluster.view().head().epoch.id,
            at: Millis::default(),
            actor: IdentityId::SYSTEM,
            verb: VERB,
            expect: draft.expect,
            write: draft.write,
        };
        crate::serve::runtime().unwrap().block_on(async {
            assert!(matches!(cluster.propose(txn).await.unwrap(), Outcome::Done(_)));
            cluster.shutdown().await.unwrap();
        });
    }

    /// The ledger of a vault that is not running.
    fn ledger(&self, n: u32) -> Vec<EntryKind> {
        let state = self.options(n).data.join("state.1");
        let store = DiskStore::open(Disk::shared(), &state, 1 << 20).unwrap();
        let view = store.view();
        let mut found = Vec::new();
        view.scan(LedgerRow::TABLE, &[], &mut |key, value| {
            let row = LedgerRow::decode(value.schema, key, &value.body).unwrap();
            found.push(Entry::decode(&row.entry).unwrap().kind);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        found
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    String::from_utf8(output.stdout).unwrap() + &text
}

#[test]
fn each_epoch_signs_with_its_own_subkey_under_one_fingerprint() {
    let (scene, first) = Scene::new();
    assert_eq!(scene.restore(&first, 2).made.signer, scene.signer);
    let second = scene.backup(2);
    assert_eq!(scene.restore(&second, 3).epoch, 3);
    let third = scene.backup(3);
    // Another restore of the first archive: its subkey is not in the chain of the others.
    scene.restore(&first, 4);
    let branch = scene.backup(4);
    let archives = [&first, &second, &third, &branch];
    for archive in archives {
        assert_eq!(scene.check(archive).signer, scene.signer);
    }

    // Stock gpg, by the newest certificate at a target that both branches write to.
    let cluster = |archive: &PathBuf| archive.with_file_name("cluster.pgp");
    let there = std::fs::read(cluster(&third)).unwrap();
    let certificate = std::fs::read(cluster(&branch)).unwrap();
    let merged = holdfast_recovery::aids(certificate, Some(&there));
    let target = scene.dir.path().join("cluster.pgp");
    std::fs::write(&target, &merged[2].1).unwrap();
    let home = tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").unwrap();
    let mut signers = std::collections::BTreeSet::new();
    for (n, archive) in archives.into_iter().enumerate() {
        let files = ArchiveFiles::of(archive);
        // What an archive's own target has is enough for it, too.
        let own = if n < 3 { cluster(&third) } else { cluster(&branch) };
        for keyring in [&target, &own] {
            let mut gpgv = Command::new("gpgv");
            gpgv.arg("--homedir").arg(home.path()).arg("--keyring").arg(keyring);
            let said =
                output(gpgv.args(["--status-fd", "1"]).arg(&files.signature).arg(&files.json));
            let valid = said.lines().find(|line| line.contains(" VALIDSIG ")).unwrap();
            assert!(valid.ends_with(&scene.signer), "{valid}: the primary comes last");
            signers.insert(valid.split(' ').nth(2).unwrap().to_owned());
        }
    }
    assert_eq!(signers.len(), 4, "a subkey for each epoch");
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir").arg(home.path()).args(["--batch", "--with-colons", "--show-keys"]);
    let shown = output(gpg.arg(&target));
    assert_eq!(shown.lines().filter(|line| line.starts_with("pub:")).count(), 1, "{shown}");
    assert_eq!(shown.lines().filter(|line| line.starts_with("sub:")).count(), 4, "{shown}");
    assert!(shown.contains(&scene.signer));
}

#[test]
fn the_first_archive_is_byte_drilled_and_a_restore_remembers() {
    let (scene, first) = Scene::new();
    let kinds = scene.ledger(1);
    // By the vault's own word, and no custodian had a part in it.
    let byte = |kind: &EntryKind| matches!(kind, EntryKind::Drilled { by, custodian_id: None, mode: holdfast_ledger::DrillMode::Byte, .. } if by == "vault");
    assert!(kinds.iter().any(byte), "{kinds:?}");
    assert!(
        kinds.iter().any(|kind| matches!(kind, EntryKind::Verified { by, .. } if by == "vault"))
    );
    scene.restore(&first, 2);
    let last = scene.ledger(2);
    let epoch = last.iter().rev().find(|kind| matches!(kind, EntryKind::Epoch { .. })).unwrap();
    assert!(matches!(epoch, EntryKind::Epoch { n: 2, unsigned: false, .. }));
}

#[test]
fn an_unsigned_archive_is_restored_only_where_that_is_accepted_and_the_ledger_says_so() {
    let (scene, first) = Scene::new();
    let files = ArchiveFiles::of(&first);
    std::fs::remove_file(&files.signature).unwrap();
    std::fs::write(&files.json, b"{}\n").unwrap();
    let (unseal, now) = (scene.unseal(), SystemClock.now());
    assert!(check_sidecars(&Disk, &files, &Trust::Nobody, now).is_err());
    let signed = accept_unsigned(&Disk, &files, &Trust::Nobody, &unseal, now).unwrap();
    assert!(signed.unsigned);
    let tried =
        crate::drill(&files, &signed.public, &unseal, scene.dir.path(), &mut |_| ()).unwrap();
    let restored = restore(&files, &signed, &unseal, &scene.options(2), &mut |_| ()).unwrap();
    assert_eq!(restored.digest, tried.digest);
    let ledger = scene.ledger(2);
    let epoch = ledger.iter().rev().find(|kind| matches!(kind, EntryKind::Epoch { .. })).unwrap();
    assert!(matches!(epoch, EntryKind::Epoch { n: 2, unsigned: true, .. }), "{epoch:?}");
    // What the vault seals from then on is signed again, under the same fingerprint.
    assert!(!scene.check(&scene.backup(2)).unsigned);
}

#[test]
fn archives_of_a_state_that_is_ahead_of_the_clock_hold_before_and_after_a_restore() {
    let (scene, _) = Scene::new();
    scene.write_a_year_ahead(1);
    let before = scene.backup(1);
    let ahead = scene.check(&before).public.created;
    assert!(ahead > Millis(SystemClock.now().0 + 1_000_000_000), "{ahead:?}");
    scene.restore(&before, 2);
    let after = scene.backup(2);
    assert!(scene.check(&after).public.created >= ahead, "state time never goes back");
    for archive in [before, after] {
        let files = ArchiveFiles::of(&archive);
        let mut gpgv = Command::new("gpgv");
        gpgv.arg("--homedir").arg(scene.dir.path());
        gpgv.arg("--keyring").arg(archive.with_file_name("cluster.pgp"));
        output(gpgv.arg(&files.signature).arg(&files.json));
    }
}

#[test]
fn a_custodian_who_was_removed_is_none_after_the_restore_of_an_older_archive() {
    let (scene, older) = Scene::with(&["Bob", "Carl"]);
    let newer = scene.backup_without(1, &["Bob"]);
    let newest = (ArchiveFiles::of(&newer), scene.check(&newer));
    let signed = scene.check(&older);
    assert_eq!((signed.public.recipients.len(), newest.1.public.recipients.len()), (3, 2));
    let options = RestoreOptions { newer: vec![newest], ..scene.options(2) };
    let files = ArchiveFiles::of(&older);
    let restored = restore(&files, &signed, &scene.unseal(), &options, &mut |_| ()).unwrap();
    assert_eq!((restored.carried.custodians, restored.carried.kept.len()), (1, 0));
    // The ledger says so behind the epoch, once more than the newer archive did, and its chain holds.
    let ledger = scene.ledger(2);
    let removed = |kind: &EntryKind| matches!(kind, EntryKind::CustodianRemoved { .. });
    let epoch = |kind: &EntryKind| matches!(kind, EntryKind::Epoch { n: 2, .. });
    let born = ledger.iter().position(epoch).unwrap();
    assert_eq!(ledger[born..].iter().filter(|kind| removed(kind)).count(), 1, "{ledger:?}");
    // What is sealed from then on he does not open.
    let after = scene.check(&scene.backup(2)).public;
    assert_eq!(after.recipients, scene.check(&newer).public.recipients);
}

#[test]
fn a_newest_archive_that_is_of_no_use_does_not_hide_the_others() {
    let (scene, older) = Scene::with(&["Bob", "Carl"]);
    let newer = scene.backup_without(1, &["Carl"]);
    let damaged = scene.backup(1);
    let foreign = scene.backup_to(1, &[], Some("Bob"));
    // Another incarnation, with a removal of its own.
    scene.restore(&older, 2);
    let branch = scene.backup_without(2, &["Bob"]);
    let archives = [&branch, &foreign, &damaged, &newer];
    let newest_first = archives.map(|path| (ArchiveFiles::of(path), scene.check(path))).to_vec();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();

    let options = RestoreOptions { newer: newest_first, ..scene.options(3) };
    let (files, signed) = (ArchiveFiles::of(&older), scene.check(&older));
    let restored = restore(&files, &signed, &scene.unseal(), &options, &mut |_| ()).unwrap();
    let carried = restored.carried;
    assert_eq!(carried.custodians, 2, "one of each incarnation");
    let [(first, not_mine), (second, flipped)] = carried.passed_over.as_slice() else {
        panic!("{:?}", carried.passed_over)
    };
    assert_eq!((first, second), (&foreign, &damaged));
    assert!(not_mine.contains("does not open"), "{not_mine}");
    assert!(flipped.contains("SHA-256"), "{flipped}");
}
