//! `kill -9` between any two writes of `restore`.

use std::path::Path;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::{Mem, crash_images_wanted, read_to_vec, write_new};
use holdfast_machine::{Command, Head, Model, Outcome, Txn, ViewExt as _};
use holdfast_node::{Carrying, RestoreOptions, Restored, init_in, restore_in};
use holdfast_records::{Custodian, Record, Slot};
use holdfast_recovery::{
    ArchiveFiles, BaseInput, Signed, Unseal, open_archive, signer, write_base,
};
use holdfast_seal::{Identity, Opener};
use holdfast_types::{ArchiveId, Draft, Epoch, EpochId, IdentityId, Kind, Revision, Table, TxnId};

use crate::scene::{
    archives, at, custodian, is_vault, nothing_left_over, options, somewhere, starts, state_opens,
    whole_or_absent,
};

/// What is restored, then newer archives, the newest first.
pub struct Source {
    archives: Vec<Archive>,
    secret: String,
}

struct Archive {
    objects: [Vec<u8>; 3],
    files: ArchiveFiles,
    signed: Signed,
}

impl Archive {
    /// Places its objects under `/mnt`.
    fn new(name: &str, objects: [Vec<u8>; 3], signed: Signed) -> Self {
        Self { objects, files: ArchiveFiles::of(&Path::new("/mnt").join(name)), signed }
    }
}

impl Source {
    /// Puts the archives where they are restored from.
    pub fn copy_to(&self, fs: &Mem) {
        for Archive { objects, files, .. } in &self.archives {
            for (name, bytes) in
                [&files.tar, &files.json, &files.signature].into_iter().zip(objects)
            {
                write_new(fs, name, bytes).unwrap();
            }
        }
    }

    pub fn restore(&self, fs: &Mem) -> Result<Restored, holdfast_node::NodeError> {
        let (Archive { files, signed, .. }, newer) = self.archives.split_first().unwrap();
        let newer = newer.iter().map(|newer| (newer.files.clone(), newer.signed.clone()));
        let options = RestoreOptions {
            data: at("srv/data"),
            soft_key: Some(at("keys/soft.key")),
            context: Some(at("config/context.toml")),
            listen: Some("127.0.0.1:7373".to_owned()),
            newer: newer.collect(),
            ..RestoreOptions::default()
        };
        restore_in(&fs.shared(), files, signed, &self.unseal(), &options, &mut |_| ())
    }

    fn unseal(&self) -> Unseal {
        let identity = Identity::read(self.secret.as_bytes(), None).unwrap();
        Unseal::Custodian(Opener::Identity(identity))
    }

    /// A newer archive of the same vault, which has one custodian and no administrator any more.
    fn newer(&self) -> Archive {
        let Archive { objects, signed, .. } = &self.archives[0];
        let public = &signed.public;
        let base = Revision::epoch_base(public.epoch).unwrap();
        let parent = EpochId::default();
        let epoch = Epoch { n: public.epoch, id: public.incarnation, parent, base };
        let mut model = Model::new(epoch);
        let opened =
            open_archive(&*objects[0], Some(public), &self.unseal(), &mut model, &mut |_| ());
        let opened = opened.unwrap();
        model.set_head(Head { revision: public.to, at: public.created, ..Head::new(epoch) });
        let mut custodians: Vec<Custodian> = all(&model);
        // Both are called Dora, and the first one restores.
        let second = custodians.iter().position(|who| who.name.as_str() != "Dora").unwrap();
        let removed = custodians.remove(second);
        let mut draft = Draft::default();
        draft.delete(Custodian::TABLE, removed.key(), live(&model, &removed));
        for slot in all::<Slot>(&model) {
            if slot.custodian == Some(removed.custodian_id) {
                draft.delete(Slot::TABLE, slot.key(), live(&model, &slot));
            }
        }
        for identity in all::<holdfast_records::Identity>(&model) {
            draft.delete(Table::IDENTITIES, identity.key(), live(&model, &identity));
        }
        let (outcome, _) = model.apply(&Command::Txn(Txn {
            id: TxnId([7; 16]),
            epoch: epoch.id,
            at: public.created,
            actor: IdentityId::SYSTEM,
            verb: 1,
            expect: draft.expect,
            write: draft.write,
        }));
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        let input = BaseInput {
            view: &model,
            signer: &signer(&model, &opened.keyring).unwrap(),
            custodians: &custodians,
            archive_id: ArchiveId([7; 16]),
            created: public.created,
            signed: SystemClock.now(),
            ledger: public.ledger.clone(),
        };
        let mut tar = Vec::new();
        let sealed = write_base(&input, &mut tar).unwrap();
        let signer = signed.signer.clone();
        let signed = Signed { public: sealed.public, signer, unsigned: false };
        Archive::new(&sealed.name, [tar, sealed.json, sealed.signature], signed)
    }
}

fn all<R: Record>(model: &Model) -> Vec<R> {
    let rows = model.rows().filter(|row| row.table == R::TABLE && !row.value.is_tombstone());
    rows.map(|row| R::decode(row.value.schema, &row.key, &row.value.body).unwrap()).collect()
}

/// The revision of a record.
fn live<R: Record>(model: &Model, record: &R) -> Revision {
    model.live(R::TABLE, &record.key()).unwrap().unwrap().rev
}

/// An archive of two custodians, alone on a new file system.
pub fn source() -> (Source, Mem) {
    let ((secret, first), (_, second)) = (custodian(), custodian());
    let old = somewhere();
    let vault = init_in(&old.shared(), &options(&[first, second])).unwrap();
    let found = archives(&old, &at("srv/data/archives"), &vault.signer, "the first archive");
    let (from, signed) = found.into_iter().next().unwrap();
    let read = |path| read_to_vec(&old, path, 1 << 24).unwrap();
    let objects = [read(&from.tar), read(&from.json), read(&from.signature)];
    let name = from.tar.file_name().unwrap().to_string_lossy();
    let source = Source { archives: vec![Archive::new(&name, objects, signed)], secret };
    let mem = somewhere();
    source.copy_to(&mem);
    (source, mem)
}

/// As [`source`], with a newer archive beside it that took something away.
fn source_with_newer() -> (Source, Mem) {
    let (mut source, _) = source();
    source.archives.push(source.newer());
    let mem = somewhere();
    source.copy_to(&mem);
    (source, mem)
}

#[test]
fn restore_is_whole_or_done_again_after_every_crash() {
    let wanted = crash_images_wanted(20);
    let (source, mem) = source_with_newer();
    let recorder = mem.recorder();
    let restored = source.restore(&mem).unwrap();
    let done = recorder.len();
    let carried = Carrying { identities: 1, custodians: 1, ..Carrying::default() };
    assert_eq!(restored.carried, carried);
    let [soft, context, data] = ["keys/soft.key", "config/context.toml", "srv/data"].map(at);
    let soft_bytes = read_to_vec(&mem, &soft, 99).unwrap();
    let context_bytes = read_to_vec(&mem, &context, 1 << 16).unwrap();
    let first = Revision::epoch_base(2).unwrap().next();
    let (mut count, mut again, mut wholes, mut point) = (0, 0, 0, usize::MAX);
    for image in recorder.images(recorder.per_point(wanted, 2), 23) {
        let what = format!("operation {} of {done}, {:?}", image.at, image.damage);
        let has_soft = whole_or_absent(&image.fs, &soft, &soft_bytes, &what);
        let has_context = whole_or_absent(&image.fs, &context, &context_bytes, &what);
        let whole = is_vault(&image.fs, &data, &what);
        let closer = point != image.at || count % 3 == 0;
        point = image.at;
        if whole {
            assert!(has_soft && has_context, "{what}: a vault without its soft key or context");
            state_opens(&image.fs, &data, first, &what);
            assert_eq!(source.restore(&image.fs).unwrap_err().kind, Kind::Exists, "{what}");
            starts(&image.fs, &data, &what);
            wholes += 1;
        } else {
            assert!(image.at < done, "{what}: a restored vault is gone");
            if closer {
                let again = source.restore(&image.fs);
                let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(
                    (again.rows, &again.digest, &again.carried),
                    (restored.rows, &restored.digest, &carried),
                    "{what}"
                );
                nothing_left_over(&image.fs, &what);
                state_opens(&image.fs, &data, first, &what);
            }
            again += usize::from(closer);
        }
        count += 1;
    }
    println!("{count} crash images of restore ({again} done again)");
    assert!(count >= wanted && again > 50 && wholes > 0, "{count}, {again}, {wholes}");
}
