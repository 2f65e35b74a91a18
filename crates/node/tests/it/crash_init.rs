//! `kill -9` between any two writes of `init`, its first archive included.

use holdfast_fs::{Fs as _, crash_images_wanted, read_to_vec};
use holdfast_node::init_in;
use holdfast_types::{Kind, Revision};

use crate::scene::{
    archives, at, custodian, is_vault, made, names, nothing_left_over, options, somewhere, starts,
    state_opens, whole_or_absent,
};

#[test]
fn init_is_whole_or_done_again_after_every_crash() {
    let wanted = crash_images_wanted(25);
    let (_, certificate) = custodian();
    let mem = somewhere();
    let recorder = mem.recorder();
    let vault = made(&mem, &certificate);
    let done = recorder.len();
    let [soft, context, data] = ["keys/soft.key", "config/context.toml", "srv/data"].map(at);
    let soft_bytes = read_to_vec(&mem, &soft, 99).unwrap();
    let context_bytes = read_to_vec(&mem, &context, 1 << 16).unwrap();
    let first = Revision::epoch_base(1).unwrap().next();
    let (mut count, mut again, mut started, mut whole_since) = (0, 0, 0, None);
    let mut point = usize::MAX;
    for image in recorder.images(recorder.per_point(wanted, 2), 21) {
        let what = format!("operation {} of {done}, {:?}", image.at, image.damage);
        let has_soft = whole_or_absent(&image.fs, &soft, &soft_bytes, &what);
        let has_context = whole_or_absent(&image.fs, &context, &context_bytes, &what);
        let whole = is_vault(&image.fs, &data, &what);
        let stored = archives(&image.fs, &data.join("archives"), &vault.signer, &what);
        // One image of each point is taken through everything that costs more.
        let closer = point != image.at || count % 3 == 0;
        point = image.at;
        if whole {
            whole_since.get_or_insert(image.at);
            assert!(has_soft && has_context, "{what}: a vault without its soft key or context");
            if closer {
                state_opens(&image.fs, &data, first, &what);
                let refused = init_in(&image.fs.shared(), &options(&[])).unwrap_err();
                assert_eq!(refused.kind, Kind::Exists, "{what}: {refused}");
            }
            if closer && image.at % 16 == 0 {
                starts(&image.fs, &data, &what);
                started += 1;
            }
        } else {
            assert!(
                whole_since.is_none_or(|since| image.at <= since + 3),
                "{what}: a vault is gone"
            );
            if closer {
                let made = init_in(&image.fs.shared(), &options(&[]));
                let made = made.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_ne!(made.vault_id, vault.vault_id);
                nothing_left_over(&image.fs, &what);
                state_opens(&image.fs, &data, first, &what);
                again += 1;
            }
        }
        assert!(image.at < done || (whole && stored.len() == 1), "{what}: not all is there");
        count += 1;
    }
    println!("{count} crash images of init ({again} done again, {started} started)");
    assert!(count >= wanted && again > 50 && started > 5, "{count}, {again}, {started}");
    assert!(names(&mem, &std::env::temp_dir()).is_empty(), "the drill's scratch is gone");
}

#[test]
fn another_ones_files_are_never_cleared() {
    let mem = somewhere();
    let fs = mem.shared();
    // A run that was killed after it announced its soft key, before it made it: somebody else did.
    let recorder = mem.recorder();
    init_in(&fs, &options(&[])).unwrap();
    let soft = at("keys/soft.key");
    let killed = recorder.images(1, 1).find(|image| {
        let note = holdfast_store::DataDir::unfinished(&image.fs, &at("srv/data")).unwrap();
        note.is_some_and(|note| !note.is_empty()) && !image.fs.exists(&soft).unwrap()
    });
    let killed = killed.expect("such a moment").fs;
    holdfast_fs::write_new(&killed, &soft, b"another vault's soft key").unwrap();
    let refused = init_in(&killed.shared(), &options(&[])).unwrap_err();
    assert_eq!(refused.kind, Kind::Exists);
    assert_eq!(read_to_vec(&killed, &soft, 99).unwrap(), b"another vault's soft key");
}
