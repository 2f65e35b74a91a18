//! Crash images of an archive's way into a directory: whole under its name or unfinished and marked.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use holdfast_fs::{Fault, Fs, FsError, Mem, crash_images_wanted, read_to_vec, write_new};
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, Placing, SealedArchive, Trust, check_sidecars, place_aids,
};

use crate::scene::{NOW, Scene};

const DIR: &str = "/mnt/archives";
const THEIRS: &[u8] = b"a file of the user";

/// As a backup does it, with what is sealed in pieces.
fn place(fs: &Arc<dyn Fs>, name: &str, made: &(Vec<u8>, SealedArchive)) -> Result<(), FsError> {
    let (tar, sealed) = made;
    let mut placing = Placing::begin(fs, Path::new(DIR), name)?;
    for piece in tar.chunks(1024) {
        placing.write_all(piece).map_err(|error| FsError::new("write", Path::new(name), error))?;
    }
    placing.sync()?;
    assert_eq!(placing.read_back()?.0, tar.len() as u64);
    place_aids(&**fs, Path::new(DIR), b"a certificate".to_vec()).map_err(|error| match error {
        ArchiveError::Fs(error) => error,
        error => panic!("{error}"),
    })?;
    placing.finish(&sealed.json, &sealed.signature)
}

fn files(name: &str) -> ArchiveFiles {
    ArchiveFiles::of(&Path::new(DIR).join(format!("{name}.tar.gpg")))
}

fn names(fs: &dyn Fs) -> Vec<String> {
    let entries = fs.read_dir(Path::new(DIR)).unwrap_or_default();
    entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect()
}

/// The names that stand there when these archives are whole and nothing is left over.
fn expected(whole: &[&str]) -> Vec<String> {
    let mut names: Vec<String> =
        ["RECOVER.txt", "cluster.pgp", "recover.py", "theirs.tar.gpg"].map(str::to_owned).into();
    for name in whole {
        names.extend([".tar.gpg", ".json", ".json.sig"].map(|part| format!("{name}{part}")));
    }
    names.sort();
    names
}

fn theirs(mem: &Mem) {
    write_new(mem, &Path::new(DIR).join("theirs.tar.gpg"), THEIRS).unwrap();
}

#[test]
fn an_archive_with_a_final_name_is_whole_after_every_crash() {
    let scene = Scene::new();
    let made = scene.write();
    let trust = Trust::Fingerprint(scene.signer.fingerprint());
    let mem = Mem::new();
    theirs(&mem);
    let recorder = mem.recorder();
    place(&mem.shared(), "first", &made).unwrap();
    let first = recorder.len();
    place(&mem.shared(), "second", &made).unwrap();
    let wanted = crash_images_wanted(30);
    let per_point = recorder.per_point(wanted, 6);
    let mut count = 0;
    for image in recorder.images(per_point, 8) {
        let what = format!("operation {}, {:?}", image.at, image.damage);
        let mut whole = Vec::new();
        for name in ["first", "second"] {
            let files = files(name);
            match check_sidecars(&image.fs, &files, &trust, NOW) {
                Ok(_) => whole.push(name),
                // Without its signature it is no archive yet; but what has its name is whole.
                Err(ArchiveError::Missing(_)) => {
                    assert!(
                        !image.fs.exists(&files.signature).unwrap(),
                        "{what}: signed, not whole"
                    );
                    if let Ok(tar) = read_to_vec(&image.fs, &files.tar, 1 << 24) {
                        assert!(tar == made.0, "{what}: half a tar under its name");
                    }
                }
                Err(error) => panic!("{what}: {name}: {error}"),
            }
        }
        assert!(image.at < first || whole.contains(&"first"), "{what}: a stored archive is gone");
        if count % 7 == 0 || image.at % 5 == 0 {
            place(&image.fs.shared(), "again", &made).unwrap_or_else(|e| panic!("{what}: {e}"));
            whole.push("again");
            assert_eq!(names(&image.fs), expected(&whole), "{what}: leftovers");
            let left = read_to_vec(&image.fs, &Path::new(DIR).join("theirs.tar.gpg"), 99).unwrap();
            assert_eq!(left, THEIRS);
        }
        count += 1;
    }
    println!("{count} crash images of an archive's way into a directory");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

#[test]
fn aids_in_a_new_directory_outlive_every_crash() {
    let mem = Mem::new();
    let recorder = mem.recorder();
    place_aids(&mem, Path::new(DIR), b"a certificate".to_vec()).unwrap();
    let done = recorder.len();
    for image in recorder.images(12, 8).filter(|image| image.at == done) {
        let what = format!("{:?}", image.damage);
        let mut aids = names(&image.fs);
        // An empty file that says that somebody writes; it goes with the next one.
        aids.retain(|name| !name.ends_with(".lock"));
        assert_eq!(aids, ["RECOVER.txt", "cluster.pgp", "recover.py"], "{what}");
    }
}

#[test]
fn a_full_disk_at_any_byte_leaves_nothing_of_an_archive() {
    let made = Scene::new().write();
    let total = made.0.len() + made.1.json.len() + made.1.signature.len();
    for room in (0..total as u64 + 40_000).step_by(997) {
        let mem = Mem::new();
        theirs(&mem);
        mem.limit_space(room);
        let done = place(&mem.shared(), "a", &made);
        mem.heal();
        match done {
            Ok(()) => assert_eq!(names(&mem), expected(&["a"])),
            Err(error) => {
                assert!(matches!(error, FsError::NoSpace { .. }), "room for {room}: {error}");
                let left = names(&mem);
                assert!(!left.iter().any(|name| name.contains("a.tar") || name.contains("a.json")));
                place(&mem.shared(), "a", &made).expect("there is room again");
                assert_eq!(names(&mem), expected(&["a"]), "room for {room}");
            }
        }
    }
}

#[test]
fn a_failing_disk_at_any_step_leaves_an_archive_whole_or_not_at_all() {
    let scene = Scene::new();
    let made = scene.write();
    let trust = Trust::Fingerprint(scene.signer.fingerprint());
    for at in 0.. {
        let mem = Mem::new();
        theirs(&mem);
        mem.fail_at(at, Fault::From);
        let done = place(&mem.shared(), "a", &made);
        mem.heal();
        let signed = mem.exists(&files("a").signature).unwrap();
        if signed {
            check_sidecars(&mem, &files("a"), &trust, NOW).expect("whole");
        }
        if done.is_ok() {
            break;
        }
        place(&mem.shared(), "b", &made).expect("the disk is well again");
        let whole: &[&str] = if signed { &["a", "b"] } else { &["b"] };
        assert_eq!(names(&mem), expected(whole), "step {at}");
    }
}
