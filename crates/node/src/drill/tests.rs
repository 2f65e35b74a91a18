//! What is inside an archive and wrong: found by whoever opens it.

use std::ops::ControlFlow;
use std::sync::Arc;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_ledger::{Entry, Head as Ledger};
use holdfast_machine::View;
use holdfast_records::{Custodian, LedgerRow, Record as _};
use holdfast_recovery::{
    BaseInput, LedgerHead, Signed, Trust, check_archive, check_sidecars, signer, write_base,
};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{Caller, KeySelector};
use holdfast_store::CACHE_BYTES_DEFAULT;
use holdfast_types::KeyId;

use super::*;
use crate::{InitOptions, RestoreOptions, Restored, init, restore};

/// A vault in a directory, its first archive, and who opens that.
struct Scene {
    dir: tempfile::TempDir,
    archive: ArchiveFiles,
    signer: String,
    unseal: Unseal,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (secret, certificate) =
            holdfast_seal::generate_custodian("Anna", SystemClock.now()).unwrap();
        let made = init(&InitOptions {
            data: dir.path().join("data"),
            custodians: vec![("anna.asc".to_owned(), certificate)],
            soft_key: Some(dir.path().join("soft.key")),
            context: Some(dir.path().join("context.toml")),
            ..InitOptions::default()
        })
        .unwrap();
        let archive = made.first.expect("the first archive was taken").archive;
        let identity = Identity::read(secret.as_bytes(), None).unwrap();
        let unseal = Unseal::Custodian(Opener::Identity(identity));
        Self { dir, archive: ArchiveFiles::of(&archive), signer: made.signer, unseal }
    }

    fn check(&self, files: &ArchiveFiles) -> Signed {
        let trust = Trust::Fingerprint(self.signer.clone());
        check_sidecars(&Disk, files, &trust, SystemClock.now()).unwrap()
    }

    /// Another archive of the vault, signed by it, that says this of the ledger.
    fn archive_saying(&self, change: impl FnOnce(&mut LedgerHead)) -> ArchiveFiles {
        let first = self.check(&self.archive).public;
        let sealed = std::fs::read(&self.archive.tar).unwrap();
        let opened = check_archive(&*sealed, Some(&first), &self.unseal, &mut Nowhere).unwrap();
        let state = self.dir.path().join("data/state.1");
        let store = DiskStore::open(Disk::shared(), &state, CACHE_BYTES_DEFAULT).unwrap();
        let view = store.view();
        let mut ledger = head_of(&view);
        change(&mut ledger);
        let mut custodians = Vec::new();
        view.scan(Custodian::TABLE, &[], &mut |key, value| {
            custodians.push(Custodian::decode(value.schema, key, &value.body).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        let input = BaseInput {
            view: &view,
            signer: &signer(&view, &opened.keyring).unwrap(),
            custodians: &custodians,
            archive_id: holdfast_types::ArchiveId([7; 16]),
            created: view.head().at,
            signed: view.head().at,
            ledger,
        };
        let mut tar = Vec::new();
        let sealed = write_base(&input, &mut tar).unwrap();
        let files = ArchiveFiles::of(&self.dir.path().join(&sealed.name));
        std::fs::write(&files.tar, tar).unwrap();
        std::fs::write(&files.json, sealed.json).unwrap();
        std::fs::write(&files.signature, sealed.signature).unwrap();
        files
    }

    /// An archive of the vault with so many keys in it, which the vault has no more.
    fn of_keys_that_are_deleted_later(&self, keys: usize) -> ArchiveFiles {
        let data = self.dir.path().join("data");
        let of = move |n: usize| KeySelector {
            enclave: "default".parse().unwrap(),
            name: format!("key-{keys}-{n}").parse().unwrap(),
        };
        crate::serve::runtime().unwrap().block_on(async {
            let node = crate::open::open(&Disk::shared(), &data, None, None).unwrap();
            let each = async |deleted: bool| {
                let mut tasks = tokio::task::JoinSet::new();
                for n in 0..keys {
                    let (service, key) = (Arc::clone(&node.service), of(n));
                    tasks.spawn(async move {
                        let admin = Caller::system();
                        match deleted {
                            false => service.create_key(&admin, &key).await.unwrap(),
                            true => service.delete_key(&admin, &key).await.unwrap(),
                        };
                    });
                }
                tasks.join_all().await;
            };
            each(false).await;
            let info = node.service.backup_to_vault(&Caller::system(), None).await.unwrap();
            each(true).await;
            node.close().await.unwrap();
            ArchiveFiles::of(&data.join("archives").join(info.file))
        })
    }

    fn options(&self, name: &str) -> RestoreOptions {
        let at = |end: &str| self.dir.path().join(format!("{name}{end}"));
        let (soft_key, context) = (Some(at(".key")), Some(at(".toml")));
        RestoreOptions { data: at(""), soft_key, context, ..RestoreOptions::default() }
    }

    /// Every way to open it.
    fn open(&self, files: &ArchiveFiles) -> Vec<Result<(), NodeError>> {
        let signed = self.check(files);
        let (public, unseal) = (&signed.public, &self.unseal);
        let carried = format!("carried-{}", self.dir.path().read_dir().unwrap().count());
        let newer = vec![(files.clone(), signed.clone())];
        let first = self.check(&self.archive);
        let options = RestoreOptions { newer, ..self.options(&carried) };
        let passed_over = |mut restored: Restored| match restored.carried.passed_over.pop() {
            None => Ok(()),
            Some((_, why)) => Err(NodeError::new(Kind::Damaged, why)),
        };
        vec![
            verify(files, public, unseal, &mut |_| ()).map(drop),
            drill(files, public, unseal, self.dir.path(), &mut |_| ()).map(drop),
            restore(files, &signed, unseal, &self.options("restored"), &mut |_| ()).map(drop),
            restore(&self.archive, &first, unseal, &options, &mut |_| ()).and_then(passed_over),
        ]
    }
}

/// What the state's ledger ends with.
fn head_of(view: &impl View) -> LedgerHead {
    let mut head = Ledger::default();
    view.scan(LedgerRow::TABLE, &[], &mut |key, value| {
        let row = LedgerRow::decode(value.schema, key, &value.body).unwrap();
        head = head.follow(&Entry::decode(&row.entry).unwrap()).unwrap();
        ControlFlow::Continue(())
    })
    .unwrap();
    LedgerHead { head: head.hex(), size: head.size }
}

#[test]
fn an_archive_with_another_ledger_than_it_says_is_opened_by_nobody() {
    let scene = Scene::new();
    for change in [
        (|ledger| ledger.size += 1) as fn(&mut LedgerHead),
        |ledger| ledger.size -= 1,
        |ledger| ledger.head = "00".repeat(32),
    ] {
        let files = scene.archive_saying(change);
        for opened in scene.open(&files) {
            let error = opened.expect_err("it must be refused");
            assert_eq!(error.kind, Kind::Damaged, "{error}");
            assert!(error.message.contains("ledger"), "{error}");
        }
        assert!(!scene.dir.path().join("restored").exists());
    }
    let good = scene.archive_saying(|_| ());
    for opened in scene.open(&good) {
        opened.unwrap();
    }
}

#[test]
fn the_keys_that_a_restore_takes_away_are_named_before_and_afterwards() {
    let scene = Scene::new();
    let older = scene.of_keys_that_are_deleted_later(2);
    let files = scene.archive_saying(|_| ());
    let signed = scene.check(&older);
    let newer = vec![(files.clone(), scene.check(&files))];
    let with = |name: &str, revive: &[KeyId]| {
        let (newer, revive) = (newer.clone(), revive.to_vec());
        RestoreOptions { newer, revive, ..scene.options(name) }
    };
    let foresee = |options| crate::foresee(&older, &signed, &scene.unseal, &options, &mut |_| ());
    let restore = |options| restore(&older, &signed, &scene.unseal, &options, &mut |_| ());
    let foretold = foresee(with("plan", &[])).unwrap();
    let named = |keys: &[crate::DeletedKey]| {
        let mut names: Vec<_> =
            keys.iter().map(|key| format!("{}/{}", key.enclave, key.name)).collect();
        names.sort();
        names
    };
    assert_eq!((foretold.keys, foretold.passed_over.len()), (2, 0));
    assert_eq!(named(&foretold.deleted), ["default/key-2-0", "default/key-2-1"]);
    assert!(!scene.dir.path().join("plan").exists());
    let carried = restore(with("all", &[])).unwrap().carried;
    assert_eq!((carried.keys, &carried.deleted), (2, &foretold.deleted));

    // By the id that was named one comes back; another id is refused, before and while it is restored.
    let id = foretold.deleted[0].key_id;
    assert_eq!(foresee(with("plan", &[id])).unwrap().deleted, foretold.deleted[1..]);
    let carried = restore(with("one", &[id])).unwrap().carried;
    assert_eq!((carried.keys, carried.revived), (1, [id].into()));
    let mut wrong = id;
    wrong.0[15] ^= 1;
    for error in [
        foresee(with("plan", &[id, wrong])).unwrap_err(),
        restore(with("wrong", &[id, wrong])).unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        assert!(error.message.contains(&wrong.to_string()) && error.next.is_some(), "{error}");
    }
    for file in ["wrong", "wrong.key", "wrong.toml"] {
        assert!(!scene.dir.path().join(file).exists(), "{file}");
    }
    // Nothing was taken away of it by any archive that is here.
    let alone = RestoreOptions { newer: Vec::new(), ..with("alone", &[id]) };
    let error = foresee(alone).unwrap_err();
    assert!(error.message.contains("no newer archive"), "{error}");
}

/// A newer archive that is signed and damaged, which shows at its end only.
#[test]
fn what_a_damaged_archive_took_away_is_not_carried_in_part() {
    let scene = Scene::new();
    let carried = |older: &ArchiveFiles, name: &str| {
        let files = scene.archive_saying(|ledger| ledger.size += 1);
        let newer = vec![(files.clone(), scene.check(&files))];
        let options = RestoreOptions { newer, ..scene.options(name) };
        let signed = scene.check(older);
        (restore(older, &signed, &scene.unseal, &options, &mut |_| ()), files.tar)
    };
    // Nothing was changed by then: it is passed over.
    let (restored, tar) = carried(&scene.of_keys_that_are_deleted_later(1), "few");
    let carrying = restored.unwrap().carried;
    assert_eq!((carrying.keys, &carrying.passed_over[0].0), (0, &tar));
    // More changes than one transaction holds: the first ones were made.
    let (refused, tar) = carried(&scene.of_keys_that_are_deleted_later(1001), "many");
    let error = refused.unwrap_err();
    assert_eq!(error.kind, Kind::Damaged, "{error}");
    assert!(error.message.contains(&tar.display().to_string()), "{error}");
    assert!(error.next.unwrap().contains("move its three files elsewhere"));
    assert!(!scene.dir.path().join("many").exists());
}
