//! One suite for the disk and for memory.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use holdfast_fs::{
    Disk, Fault, Fs, FsError, Mem, Open, Reader, Writer, make_dirs, read_to_vec, remove_if_there,
    temporary, write_atomic, write_new, write_shared,
};

#[test]
fn disk_keeps_the_seams_promises() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    suite(&Disk, dir.path());
}

#[test]
fn memory_keeps_the_seams_promises() {
    suite(&Mem::new(), Path::new("/"));
}

fn suite(fs: &dyn Fs, root: &Path) {
    names(fs, &root.join("names"));
    bytes(fs, &root.join("bytes"));
    whole_files(fs, &root.join("whole"));
    new_files(fs, &root.join("new"));
    locks(fs, &root.join("locks"));
}

fn names(fs: &dyn Fs, dir: &Path) {
    fs.create_dir_all(&dir.join("a/b")).expect("made");
    fs.create_dir_all(&dir.join("a/b")).expect("an existing one is no error");
    let (one, two) = (dir.join("one"), dir.join("two"));
    assert!(matches!(fs.open(&one, Open::Read), Err(FsError::NotFound { path }) if path == one));
    assert!(matches!(fs.open(&one, Open::Write), Err(FsError::NotFound { .. })));
    fs.open(&one, Open::CreateNew).expect("new").write_at(b"1", 0).expect("written");
    assert!(matches!(fs.open(&one, Open::CreateNew), Err(FsError::Exists { .. })));
    fs.open(&two, Open::Create).expect("new").write_at(b"22", 0).expect("written");
    assert!(matches!(fs.rename_new(&one, &two), Err(FsError::Exists { .. })));
    assert!(matches!(fs.rename(&dir.join("none"), &two), Err(FsError::NotFound { .. })));
    fs.rename(&one, &two).expect("replaced");
    assert!(!fs.exists(&one).expect("known"));
    assert_eq!(read_to_vec(fs, &two, 10).expect("read"), b"1");
    fs.rename_new(&two, &one).expect("moved");
    fs.rename_new(&dir.join("a"), &dir.join("c")).expect("a directory moved");
    assert!(fs.exists(&dir.join("c/b")).expect("known"));
    let entries = fs.read_dir(dir).expect("a directory");
    let found: Vec<_> = entries
        .iter()
        .map(|e| (e.name.to_string_lossy().into_owned(), e.is_dir, e.is_file, e.len))
        .collect();
    assert_eq!(found, [("c".into(), true, false, 0), ("one".into(), false, true, 1)]);
    fs.sync_dir(dir).expect("synced");
    fs.remove_file(&one).expect("removed");
    assert!(matches!(fs.remove_file(&one), Err(FsError::NotFound { .. })));
    fs.remove_dir_all(&dir.join("c")).expect("removed");
    assert!(!fs.exists(&dir.join("c/b")).expect("known"));
    assert!(fs.read_dir(dir).expect("a directory").is_empty());
    assert!(matches!(fs.read_dir(&one), Err(FsError::NotFound { .. })));
}

fn bytes(fs: &dyn Fs, dir: &Path) {
    fs.create_dir_all(dir).expect("made");
    let path = dir.join("file");
    let file = fs.open(&path, Open::Create).expect("new");
    assert!(file.is_empty().expect("a length"));
    file.write_at(b"end", 9000).expect("written");
    file.write_at(b"start", 0).expect("written");
    assert_eq!(file.len().expect("a length"), 9003);
    let mut buf = [9; 8];
    assert_eq!(file.read_at(&mut buf, 8997).expect("read"), 6);
    assert_eq!(buf, *b"\0\0\0end\x09\x09");
    assert_eq!(file.read_at(&mut buf, 9003).expect("at the end"), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).expect("past it"), 0);
    // What was cut does not come back.
    file.set_len(3).expect("cut");
    file.set_len(6).expect("extended");
    assert_eq!(read_to_vec(fs, &path, 6).expect("read"), b"sta\0\0\0");
    file.sync_data().expect("synced");
    file.sync_all().expect("synced");
    let reader = fs.open(&path, Open::Read).expect("there");
    assert!(matches!(reader.write_at(b"x", 0), Err(FsError::Io { op: "write", .. })));

    let mut writer = Writer::at(file.clone(), 2);
    writer.write_all(b"xyz").expect("written");
    assert_eq!(writer.position(), 5);
    let mut reader = Reader::new(file);
    reader.seek(SeekFrom::End(-5)).expect("within");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("read");
    assert_eq!(text, "txyz\0");
}

fn whole_files(fs: &dyn Fs, dir: &Path) {
    fs.create_dir_all(dir).expect("made");
    let path = dir.join("file");
    // A leftover of an earlier attempt, longer than what comes.
    let leftover = fs.open(&temporary(&path), Open::Create).expect("new");
    leftover.write_at(&[7; 5000], 0).expect("written");
    for text in [b"first".as_slice(), b"", b"second, longer"] {
        write_atomic(fs, &path, text).expect("written");
        assert_eq!(read_to_vec(fs, &path, 14).expect("read"), text);
        assert!(!fs.exists(&temporary(&path)).expect("known"));
    }
    assert!(matches!(read_to_vec(fs, &path, 13), Err(FsError::TooLarge { max: 13, .. })));
    let missing = write_atomic(fs, &dir.join("none/file"), b"x");
    assert!(matches!(missing, Err(FsError::NotFound { .. })));
}

fn new_files(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("a/b/file");
    write_new(fs, &path, b"first").expect("its directories are made, too");
    assert!(
        matches!(write_new(fs, &path, b"second"), Err(FsError::Exists { path: p }) if p == path)
    );
    assert_eq!(read_to_vec(fs, &path, 5).expect("read"), b"first");
    remove_if_there(fs, &path).expect("removed");
    remove_if_there(fs, &path).expect("that it is gone is no error");
    let leftover = fs.open(&temporary(&path), Open::Create).expect("new");
    leftover.write_at(&[7; 5000], 0).expect("written");
    write_new(fs, &path, b"third").expect("a leftover does not matter");
    assert_eq!(read_to_vec(fs, &path, 5).expect("read"), b"third");
    assert!(!fs.exists(&temporary(&path)).expect("known"));
    make_dirs(fs, &dir.join("a/b")).expect("existing ones are no error");
}

fn locks(fs: &dyn Fs, dir: &Path) {
    fs.create_dir_all(dir).expect("made");
    let path = dir.join("LOCK");
    let lock = fs.lock(&path).expect("free");
    assert!(matches!(fs.lock(&path), Err(FsError::Locked { .. })));
    drop(lock);
    fs.lock(&path).expect("free again");
}

/// A directory above that nobody can sync (here /proc, elsewhere autofs) is not in the way of one that exists.
#[test]
fn a_directory_is_taken_where_the_one_above_cannot_be_synced() {
    let (dir, above) = (Path::new("/proc/self"), Path::new("/proc"));
    assert!(matches!(Disk.sync_dir(above), Err(FsError::Io { .. })));
    make_dirs(&Disk, dir).expect("it is there");
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (sub, file) = (dir.path().join("sub"), dir.path().join("sub/file"));
    Disk.create_dir_all(&sub).expect("made");
    write_atomic(&Disk, &file, b"x").expect("written");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&sub), mode(&file)), (0o700, 0o600));
    assert!(Disk.free_bytes(&sub).is_some_and(|bytes| bytes > 0));
}

#[test]
fn a_new_file_is_not_written_through_a_link_at_its_temporary_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (path, other) = (dir.path().join("key"), dir.path().join("other"));
    std::fs::write(&other, b"theirs").expect("written");
    std::os::unix::fs::symlink(&other, temporary(&path)).expect("linked");
    write_new(&Disk, &path, b"secret").expect("written");
    assert_eq!(std::fs::read(&other).expect("read"), b"theirs");
    assert_eq!(std::fs::read(&path).expect("read"), b"secret");
}

/// Another user's file at the temporary name, in a directory where they may make it: nothing is written into it,
/// and it does not become ours.
#[test]
fn nothing_is_written_into_a_file_that_lay_at_the_temporary_name() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    type Write = fn(&dyn Fs, &Path, &[u8]) -> Result<(), FsError>;
    for write in [write_atomic as Write, write_shared, write_new] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        std::fs::write(temporary(&path), b"theirs").expect("written");
        let for_all = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(temporary(&path), for_all).expect("theirs to set");
        let theirs = std::fs::File::open(temporary(&path)).expect("there");
        write(&Disk, &path, b"ours").expect("written");
        assert_eq!(std::io::read_to_string(&theirs).expect("read"), "theirs");
        let (ours, theirs) = (path.metadata().expect("there"), theirs.metadata().expect("open"));
        assert_eq!(ours.mode() & 0o777, 0o600);
        assert_ne!(ours.ino(), theirs.ino());
    }
}

#[test]
fn a_leftover_that_cannot_be_removed_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    std::fs::create_dir(temporary(&path)).expect("made");
    let error = write_atomic(&Disk, &path, b"ours").expect_err("it is in the way").to_string();
    assert!(error.contains("may be another user's") && error.contains(".file.tmp"), "{error}");
}

#[test]
fn a_file_that_others_can_change_is_written_anew() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    std::fs::write(&path, b"same").expect("written");
    let mode = || path.metadata().expect("there").permissions().mode() & 0o777;
    for (before, after) in [(0o666, 0o600), (0o640, 0o640)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(before)).expect("set");
        write_shared(&Disk, &path, b"same").expect("written");
        assert_eq!(mode(), after);
    }
    let names = std::fs::read_dir(dir.path()).expect("a directory").count();
    assert_eq!(names, 1, "no lock stays");
}

#[test]
fn where_a_file_may_be_made_a_link_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (link, target) = (dir.path().join("LOCK"), dir.path().join("theirs"));
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    assert!(Disk.lock(&link).is_err());
    assert!(Disk.open(&link, Open::Create).is_err());
    assert!(!target.exists(), "nothing was made through it");
}

#[test]
fn a_lock_is_on_the_file_that_bears_the_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("LOCK");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let Ok(lock) = Disk.lock(&path) else { continue };
                    // Only who holds it takes its file away.
                    assert!(path.exists(), "a lock that keeps nobody out");
                    Disk.remove_file(&path).expect("it is ours");
                    drop(lock);
                }
            });
        }
    });
}

#[test]
fn a_file_that_several_write_at_once_is_always_a_whole_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("file");
    std::thread::scope(|scope| {
        for byte in *b"abcd" {
            let path = &path;
            scope.spawn(move || {
                for len in 1..100 {
                    match write_shared(&Disk, path, &vec![byte; len * 100]) {
                        // On a slow disk the others may be in the way for longer than it waits.
                        Err(FsError::Locked { .. }) => continue,
                        written => written.expect("written"),
                    }
                    let there = read_to_vec(&Disk, path, 10_000).expect("read");
                    assert!(!there.is_empty() && there.iter().all(|one| *one == there[0]));
                }
            });
        }
    });
    assert!(!temporary(&path).exists());
}

#[test]
fn a_failed_replacement_leaves_the_old_file() {
    let path = Path::new("/file");
    for fault in [Fault::Once, Fault::NoSpace] {
        for at in 0..4 {
            let mem = Mem::new();
            write_atomic(&mem, path, b"old").expect("written");
            mem.fail_at(at, fault);
            let failed = write_atomic(&mem, path, b"new");
            match fault {
                Fault::NoSpace => assert!(matches!(failed, Err(FsError::NoSpace { .. }))),
                _ => assert!(matches!(failed, Err(FsError::Io { .. }))),
            }
            assert_eq!(read_to_vec(&mem, path, 3).expect("read"), b"old", "{fault:?} at {at}");
            assert!(!mem.exists(&temporary(path)).expect("known"));
        }
    }
}

#[test]
fn space_runs_out_where_it_was_set() {
    let mem = Mem::new();
    let file = mem.open(Path::new("/file"), Open::Create).expect("new");
    mem.limit_space(5);
    file.write_at(b"abc", 0).expect("fits");
    assert!(matches!(file.write_at(b"defg", 3), Err(FsError::NoSpace { .. })));
    assert_eq!(mem.free_bytes(Path::new("/")), Some(0));
    mem.heal();
    file.write_at(b"defg", 3).expect("fits again");
}

#[test]
fn an_error_names_operation_and_object() {
    let mem = Mem::new();
    let file = mem.open(Path::new("/file"), Open::Create).expect("new");
    mem.fail_at(0, Fault::From);
    let error = file.sync_data().expect_err("it fails");
    assert!(error.to_string().starts_with("sync /file: "), "{error}");
    assert!(file.set_len(0).is_err(), "every later operation fails too");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
}
