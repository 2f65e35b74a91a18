//! Opening an archive with its ledger: the entries inside are a chain, and it ends where the JSON says.

use std::io::BufRead;

use holdfast_ledger::{Entry, Head};
use holdfast_machine::{RowSink, SinkError};
use holdfast_records::{LedgerRow, Record as _};
use holdfast_recovery::{ArchiveError, Opened, Public, Unseal, open_archive};
use holdfast_types::Row;

/// As [`open_archive`]; answers with the head of the ledger, too.
///
/// Errors: as there; the ledger inside breaks, or has another head than `public` names.
pub(crate) fn open_chained<R: BufRead + Send>(
    sealed: R,
    public: &Public,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
    progress: &mut dyn FnMut(u64),
) -> Result<(Opened, Head), ArchiveError> {
    let mut chained = Chained { sink, head: Ok(Head::default()) };
    let opened = open_archive(sealed, Some(public), unseal, &mut chained, progress)?;
    // Only now: a tar that is damaged anywhere is told so, and not what its ledger looks like.
    let head = chained.head.map_err(damaged)?;
    let said = &public.ledger;
    if (said.size, said.head.as_str()) != (head.size, head.hex().as_str()) {
        return Err(damaged(format!(
            "it has {} entries and the head {}, its JSON says {} and {}",
            head.size,
            head.hex(),
            said.size,
            said.head
        )));
    }
    Ok((opened, head))
}

fn damaged(why: String) -> ArchiveError {
    ArchiveError::Damaged(format!("the ledger inside: {why}"))
}

/// Follows the ledger while its rows go by.
struct Chained<'a> {
    sink: &'a mut dyn RowSink,
    head: Result<Head, String>,
}

impl RowSink for Chained<'_> {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        if row.table == LedgerRow::TABLE
            && let Ok(head) = &self.head
        {
            self.head = follow(*head, row);
        }
        self.sink.put(row)
    }
}

fn follow(head: Head, row: &Row) -> Result<Head, String> {
    let record = LedgerRow::decode(row.value.schema, &row.key, &row.value.body);
    let record = record.map_err(|error| error.to_string())?;
    let entry = Entry::decode(&record.entry).map_err(|error| error.to_string())?;
    if record.seq != entry.seq {
        return Err(format!("row {} holds entry {}", record.seq, entry.seq));
    }
    head.follow(&entry).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use holdfast_cluster::{Clock as _, SystemClock};
    use holdfast_fs::Disk;
    use holdfast_ledger::{EntryKind, append};
    use holdfast_machine::View;
    use holdfast_records::Custodian;
    use holdfast_recovery::{
        ArchiveFiles, BaseInput, LedgerHead, Signed, Trust, check_archive, check_sidecars, signer,
        write_base,
    };
    use holdfast_seal::{Identity, Opener};
    use holdfast_service::{Caller, KeySelector};
    use holdfast_store::{CACHE_BYTES_DEFAULT, DiskStore, StateStore as _};
    use holdfast_types::{Kind, Millis, Value};

    use super::*;
    use crate::{InitOptions, NodeError, RestoreOptions, Restored, drill, init, restore, verify};

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
            let opened = check_archive(&*sealed, Some(&first), &self.unseal).unwrap();
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
        let mut head = Head::default();
        view.scan(LedgerRow::TABLE, &[], &mut |key, value| {
            let row = Row { table: LedgerRow::TABLE, key: key.to_vec(), value };
            head = follow(head, &row).unwrap();
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

    #[test]
    fn rows_that_are_no_chain_are_named() {
        let identity = holdfast_types::IdentityId([1; 32]);
        let kind = EntryKind::Administrator { identity };
        let first = append(&Head::default(), Millis(1), kind.clone());
        let second = append(&Head::after(&first), Millis(2), kind);
        let row = |seq, entry: &Entry| {
            let record = LedgerRow { seq, entry: entry.encode() };
            let body = record.encode();
            let (rev, at) = (holdfast_types::Revision(1), Millis(1));
            let value = Value { schema: body.schema, rev, at, body: body.bytes };
            Row { table: LedgerRow::TABLE, key: record.key(), value }
        };
        let at_first = follow(Head::default(), &row(0, &first)).unwrap();
        assert_eq!(follow(at_first, &row(1, &second)), Ok(Head::after(&second)));
        for (row, why) in [
            (row(2, &second), "row 2 holds entry 1"),
            (row(0, &first), "breaks at entry 1"),
            (row(1, &Entry { prev: "00".repeat(32), ..second.clone() }), "breaks at entry 1"),
        ] {
            let error = follow(at_first, &row).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
