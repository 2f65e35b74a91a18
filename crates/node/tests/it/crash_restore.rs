//! `kill -9` between any two writes of `restore`.

use std::path::Path;

use holdfast_fs::{Mem, crash_images_wanted, read_to_vec, write_new};
use holdfast_node::{RestoreOptions, Restored, restore_in};
use holdfast_recovery::{ArchiveFiles, Signed, Unseal};
use holdfast_seal::{Identity, Opener};
use holdfast_types::{Kind, Revision};

use crate::scene::{
    archives, at, custodian, is_vault, made, nothing_left_over, somewhere, starts, state_opens,
    whole_or_absent,
};

pub struct Source {
    objects: [Vec<u8>; 3],
    files: ArchiveFiles,
    signed: Signed,
    secret: String,
}

impl Source {
    /// Puts the archive where it is restored from.
    pub fn copy_to(&self, fs: &Mem) {
        let names = [&self.files.tar, &self.files.json, &self.files.signature];
        for (name, bytes) in names.into_iter().zip(&self.objects) {
            write_new(fs, name, bytes).unwrap();
        }
    }

    pub fn restore(&self, fs: &Mem) -> Result<Restored, holdfast_node::NodeError> {
        let identity = Identity::read(self.secret.as_bytes(), None).unwrap();
        let unseal = Unseal::Custodian(Opener::Identity(identity));
        let options = RestoreOptions {
            data: at("srv/data"),
            soft_key: Some(at("keys/soft.key")),
            context: Some(at("config/context.toml")),
            listen: Some("127.0.0.1:7373".to_owned()),
            ..RestoreOptions::default()
        };
        restore_in(&fs.shared(), &self.files, &self.signed, &unseal, &options, &mut |_| ())
    }
}

/// An archive, alone on a new file system.
pub fn source() -> (Source, Mem) {
    let (secret, certificate) = custodian();
    let old = somewhere();
    let vault = made(&old, &certificate);
    let found = archives(&old, &at("srv/data/archives"), &vault.signer, "the first archive");
    let (from, signed) = found.into_iter().next().unwrap();
    let read = |path| read_to_vec(&old, path, 1 << 24).unwrap();
    let objects = [read(&from.tar), read(&from.json), read(&from.signature)];
    let files = ArchiveFiles::of(&Path::new("/mnt").join(from.tar.file_name().unwrap()));
    let source = Source { objects, files, signed, secret };
    let mem = somewhere();
    source.copy_to(&mem);
    (source, mem)
}

#[test]
fn restore_is_whole_or_done_again_after_every_crash() {
    let wanted = crash_images_wanted(20);
    let (source, mem) = source();
    let recorder = mem.recorder();
    let restored = source.restore(&mem).unwrap();
    let done = recorder.len();
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
                    (again.rows, &again.digest),
                    (restored.rows, &restored.digest),
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
