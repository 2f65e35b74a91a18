//! Flips and cuts. With its sidecars nothing damaged passes; without them nothing else comes out.

use std::path::Path;

use holdfast_fs::{Fs, Mem, Open};
use holdfast_recovery::{ArchiveFiles, Trust, check_sidecars};

use crate::scene::{NOW, Scene, open, put};

fn passes(fs: &Mem, files: &ArchiveFiles, signer: &str) -> bool {
    check_sidecars(fs, files, &Trust::Fingerprint(signer.to_owned()), NOW).is_ok()
}

fn flips_are_refused(pick: fn(&ArchiveFiles) -> &Path, bits: impl Fn(u64) -> bool) {
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    let (fs, files) = put(&sealed, &tar);
    let signer = scene.signer.fingerprint();
    let path = pick(&files);
    let len = fs.open(path, Open::Read).unwrap().len().unwrap();
    assert!(passes(&fs, &files, &signer));
    for bit in (0..len * 8).filter(|bit| bits(*bit)) {
        fs.flip_bit(path, bit).unwrap();
        assert!(!passes(&fs, &files, &signer), "bit {bit} of {}", path.display());
        fs.flip_bit(path, bit).unwrap();
    }
    assert!(passes(&fs, &files, &signer));
}

#[test]
fn every_flip_of_the_signature_is_refused() {
    flips_are_refused(|files| &files.signature, |_| true);
}

#[test]
fn every_flip_of_the_json_is_refused() {
    flips_are_refused(|files| &files.json, |_| true);
}

/// Its hash is compared, so one bit of each byte stands for the others; all of those in the packets that
/// gpg reads tolerantly.
#[test]
fn every_flip_of_the_tar_is_refused() {
    flips_are_refused(|files| &files.tar, |bit| bit < 512 * 8 || bit % 8 == bit / 8 % 8);
}

#[test]
fn every_cut_and_what_is_appended_is_refused() {
    let scene = Scene::new();
    let (tar, sealed) = scene.write();
    let signer = scene.signer.fingerprint();
    for part in 0..3 {
        let (fs, files) = put(&sealed, &tar);
        let path = [&files.tar, &files.json, &files.signature][part];
        let file = fs.open(path, Open::Write).unwrap();
        let len = file.len().unwrap();
        file.write_at(b"\n", len).unwrap();
        assert!(!passes(&fs, &files, &signer), "appended to {}", path.display());
        for len in (0..len).rev() {
            file.set_len(len).unwrap();
            assert!(!passes(&fs, &files, &signer), "{} cut at {len}", path.display());
        }
    }
}

#[test]
fn two_archives_do_not_mix() {
    let scene = Scene::new();
    let (first, signed) = scene.write();
    let (second, _) = scene.write();
    let (fs, files) = put(&signed, &second);
    assert!(!passes(&fs, &files, &scene.signer.fingerprint()));
    let mut sink = scene.sink();
    assert!(open(&first, Some(&signed.public), &scene.unseal(0), &mut sink).is_ok());
    let mut sink = scene.sink();
    assert!(open(&second, Some(&signed.public), &scene.unseal(0), &mut sink).is_err());
}

/// Without its sidecars an archive is unsigned: a flip in another recipient's packet goes unseen, as
/// in gpg. But what comes out is what was sealed, or nothing.
#[test]
fn unsigned_and_damaged_never_yields_other_rows() {
    let scene = Scene::new();
    let (mut tar, _) = scene.write();
    let unseal = scene.unseal(0);
    let mut refused = 0;
    // All bits of the head, where the packets are that say how to open it, then a sample.
    let head = 0..300 * 8;
    let sample = (300 * 8..tar.len() * 8).step_by(531);
    for bit in head.chain(sample) {
        tar[bit / 8] ^= 1 << (bit % 8);
        let mut sink = scene.sink();
        match open(&tar, None, &unseal, &mut sink) {
            Ok(_) => assert!(sink.rows().eq(scene.model.rows()), "bit {bit}"),
            Err(_) => refused += 1,
        }
        tar[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > 1000, "only {refused} refused");
    for len in (0..tar.len()).rev().step_by(37).chain(0..64) {
        if len < tar.len() {
            assert!(open(&tar[..len], None, &unseal, &mut scene.sink()).is_err(), "cut at {len}");
        }
    }
}
