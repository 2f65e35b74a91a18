//! Sets of files: after a crash whole or unfinished and marked, and the next set clears what is left.

use std::path::Path;
use std::sync::Arc;

use holdfast_fs::{Disk, Fault, FileSet, Fs, FsError, Mem, read_to_vec, write_new};

const PARTS: &[&str] = &[".tar", ".json", ".sig"];

fn write(fs: &Arc<dyn Fs>, dir: &Path, stem: &str) -> Result<(), FsError> {
    let set = FileSet::begin(fs, dir, stem, PARTS)?;
    for part in PARTS {
        set.put(part, &content(stem, part))?;
    }
    set.finish()
}

fn content(stem: &str, part: &str) -> Vec<u8> {
    format!("{stem}{part}").repeat(300).into_bytes()
}

/// The names in a directory.
fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    let entries = fs.read_dir(dir).unwrap_or_default();
    entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_set_is_whole_or_marked_after_every_crash_and_leftovers_go() {
    let dir = Path::new("/out/sets");
    let mem = Mem::new();
    write_new(&mem, &dir.join("theirs.tar"), b"a file of the user").expect("written");
    let recorder = mem.recorder();
    let fs = mem.shared();
    write(&fs, dir, "a").expect("written");
    let first = recorder.len();
    write(&fs, dir, "b").expect("written");
    let mut count = 0;
    for image in recorder.images(120, 6) {
        let what = format!("operation {}, {:?}", image.at, image.damage);
        let found = names(&image.fs, dir);
        for stem in ["a", "b"] {
            let sig = found.contains(&format!("{stem}.sig"));
            for part in PARTS {
                match read_to_vec(&image.fs, &dir.join(format!("{stem}{part}")), 1 << 16) {
                    Ok(bytes) => assert_eq!(bytes, content(stem, part), "{what}: half written"),
                    Err(_) => assert!(!sig, "{what}: signed without {part}"),
                }
            }
            let begun =
                found.iter().any(|name| name.contains(&format!("{stem}.")) && name != "theirs.tar");
            assert!(
                sig || !begun || found.contains(&format!(".{stem}.writing")),
                "{what}: {found:?}"
            );
        }
        if image.at >= first {
            assert!(found.contains(&"a.sig".to_owned()), "{what}: a finished set is gone");
        }
        let whole: Vec<&str> =
            ["a", "b"].into_iter().filter(|stem| found.contains(&format!("{stem}.sig"))).collect();
        write(&image.fs.shared(), dir, "c").unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut wanted: Vec<String> = vec!["theirs.tar".to_owned()];
        for stem in whole.into_iter().chain(["c"]) {
            wanted.extend(PARTS.iter().map(|part| format!("{stem}{part}")));
        }
        wanted.sort();
        assert_eq!(names(&image.fs, dir), wanted, "{what}: leftovers");
        count += 1;
    }
    println!("{count} crash images of sets of files");
}

#[test]
fn a_failed_set_leaves_nothing() {
    let dir = Path::new("/d");
    for fault in [Fault::Once, Fault::NoSpace] {
        for at in 0.. {
            let mem = Mem::new();
            let fs = mem.shared();
            mem.fail_at(at, fault);
            let done = write(&fs, dir, "a");
            mem.heal();
            let left = names(&*fs, dir);
            let whole = done.is_ok();
            if let Err(error) = done {
                assert_eq!(matches!(error, FsError::NoSpace { .. }), fault == Fault::NoSpace);
                assert!(left.is_empty(), "{fault:?} at {at}: {left:?}");
            }
            write(&fs, dir, "b").expect("there is room again");
            assert_eq!(names(&*fs, dir).len(), if whole { 6 } else { 3 }, "{fault:?} at {at}");
            // The last step takes the marker away: a set that is whole is whole without it, too.
            if whole && !left.contains(&".a.writing".to_owned()) {
                assert!(at > 10, "every step can fail");
                break;
            }
        }
    }
}

#[test]
fn what_is_being_written_is_not_cleared_and_not_written_twice() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs: Arc<dyn Fs> = Arc::new(Disk);
    let set = FileSet::begin(&fs, dir.path(), "a", PARTS).expect("begun");
    set.put(".tar", b"1").expect("written");
    write(&fs, dir.path(), "b").expect("another set");
    let twice = FileSet::begin(&fs, dir.path(), "a", PARTS);
    assert!(matches!(twice, Err(FsError::Locked { .. })), "{twice:?}");
    set.put(".json", b"2").expect("written");
    set.put(".sig", b"3").expect("written");
    set.finish().expect("still there");
    let taken = FileSet::begin(&fs, dir.path(), "a", PARTS);
    assert!(matches!(taken, Err(FsError::Exists { .. })), "{taken:?}");
    assert_eq!(names(&*fs, dir.path()).len(), 6);
}

#[test]
fn who_looks_for_leftovers_makes_no_set_fail_that_begins() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs: Arc<dyn Fs> = Arc::new(Disk);
    let marker = dir.path().join(".a.writing");
    let sweeping = fs.lock(&marker).expect("free");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            fs.remove_file(&marker).expect("as a sweep does");
            drop(sweeping);
        });
        let set = FileSet::begin(&fs, dir.path(), "a", PARTS).expect("begun");
        assert!(marker.exists(), "what it writes is marked");
        drop(set);
    });
    assert!(names(&*fs, dir.path()).is_empty());
}

#[test]
fn a_part_is_not_written_into_a_file_that_lay_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let fs = Disk::shared();
    let set = FileSet::begin(&fs, dir.path(), "a", PARTS).expect("begun");
    for part in PARTS {
        let path = set.temporary(part);
        std::fs::write(&path, vec![7; 9999]).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("set");
        let theirs = std::fs::File::open(&path).expect("there");
        set.put(part, &content("a", part)).expect("written");
        assert_eq!(std::io::read_to_string(theirs).expect("read").len(), 9999);
    }
    let path = set.path(PARTS[0]);
    set.finish().expect("named");
    assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
}
