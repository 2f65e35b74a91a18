//! The images: they keep what was synced, and between them they show every kind of loss.

use std::collections::BTreeSet;
use std::path::Path;

use holdfast_fs::{Damage, Fault, Fs, FsError, Mem, Open, read_to_vec, write_new};

/// Contents of `path` in all images at the end of the record, "-" where there is no such file.
fn ends(mem: &Mem, work: impl FnOnce(&Mem), path: &str) -> BTreeSet<(String, Vec<u8>)> {
    let recorder = mem.recorder();
    work(mem);
    let end = recorder.len();
    recorder
        .images(600, 1)
        .filter(|image| image.at == end)
        .map(|image| {
            let bytes = read_to_vec(&image.fs, Path::new(path), 1 << 20);
            (format!("{:?}", image.damage), bytes.unwrap_or_else(|_| b"-".to_vec()))
        })
        .collect()
}

fn contents(ends: &BTreeSet<(String, Vec<u8>)>) -> BTreeSet<&[u8]> {
    ends.iter().map(|(_, bytes)| bytes.as_slice()).collect()
}

fn file(mem: &Mem, path: &str, bytes: &[u8]) {
    let file = mem.open(Path::new(path), Open::Create).expect("opened");
    file.write_at(bytes, 0).expect("written");
}

fn sync(mem: &Mem, path: &str) {
    mem.open(Path::new(path), Open::Write).expect("there").sync_data().expect("synced");
}

#[test]
fn what_was_synced_stays() {
    let mem = Mem::new();
    let found = ends(
        &mem,
        |mem| {
            file(mem, "/f", b"bytes");
            sync(mem, "/f");
            mem.sync_dir(Path::new("/")).expect("synced");
        },
        "/f",
    );
    assert_eq!(contents(&found), BTreeSet::from([b"bytes".as_slice()]));
}

#[test]
fn a_name_needs_its_directorys_sync() {
    let mem = Mem::new();
    let work = |mem: &Mem| {
        file(mem, "/f", b"bytes");
        sync(mem, "/f");
    };
    let found = ends(&mem, work, "/f");
    assert_eq!(contents(&found), BTreeSet::from([b"-".as_slice(), b"bytes"]));
}

#[test]
fn bytes_need_their_files_sync() {
    let mem = Mem::new();
    file(&mem, "/f", b"old");
    let found = ends(&mem, |mem| file(mem, "/f", b"new"), "/f");
    let torn = [b"old".as_slice(), b"nld", b"ned", b"new"].map(|b| ("Torn".to_owned(), b.to_vec()));
    assert!(torn.iter().all(|end| found.contains(end)), "{found:?}");
    let lost: Vec<_> = found.iter().filter(|(damage, _)| damage == "Lost").collect();
    assert_eq!(lost, [&("Lost".to_owned(), b"old".to_vec())]);
    let kept: Vec<_> = found.iter().filter(|(damage, _)| damage == "Kept").collect();
    assert_eq!(kept, [&("Kept".to_owned(), b"new".to_vec())]);
}

#[test]
fn what_a_failed_sync_was_for_no_later_one_brings_back() {
    let mem = Mem::new();
    file(&mem, "/f", b"old old");
    let work = |mem: &Mem| {
        let file = mem.open(Path::new("/f"), Open::Write).expect("there");
        file.write_at(b"new", 0).expect("written");
        mem.fail_at(0, Fault::Once);
        file.sync_data().expect_err("it fails");
        file.write_at(b"new", 4).expect("written");
        file.sync_data().expect("synced");
    };
    let found = ends(&mem, work, "/f");
    assert_eq!(contents(&found), BTreeSet::from([b"old new".as_slice()]));
}

#[test]
fn later_writes_may_survive_earlier_ones() {
    let mem = Mem::new();
    file(&mem, "/f", &[0; 1024]);
    let work = |mem: &Mem| {
        let file = mem.open(Path::new("/f"), Open::Write).expect("there");
        file.write_at(b"1", 0).expect("written");
        file.write_at(b"2", 600).expect("written");
    };
    let found = ends(&mem, work, "/f");
    let ends: BTreeSet<_> = found.iter().map(|(d, b)| (d.as_str(), b[0], b[600])).collect();
    for damage in ["Choice", "Sectors"] {
        for end in [(damage, 0, 0), (damage, b'1', 0), (damage, 0, b'2'), (damage, b'1', b'2')] {
            assert!(ends.contains(&end), "{end:?} of {ends:?}");
        }
    }
    assert!(!ends.contains(&("Prefix", 0, b'2')));
}

#[test]
fn a_rename_happens_or_not() {
    let mem = Mem::new();
    file(&mem, "/new", b"new");
    file(&mem, "/f", b"old");
    let work = |mem: &Mem| mem.rename(Path::new("/new"), Path::new("/f")).expect("renamed");
    let found = ends(&mem, work, "/f");
    assert_eq!(contents(&found), BTreeSet::from([b"old".as_slice(), b"new"]));
}

#[test]
fn a_rename_before_the_sync_may_show_an_empty_file() {
    let mem = Mem::new();
    file(&mem, "/f", b"old");
    let work = |mem: &Mem| {
        file(mem, "/new", b"new");
        mem.rename(Path::new("/new"), Path::new("/f")).expect("renamed");
    };
    let found = ends(&mem, work, "/f");
    // The mistake that atomic replacement exists to avoid: the images must show it.
    assert!(contents(&found).contains(b"".as_slice()), "{found:?}");
}

#[test]
fn a_removal_needs_its_directorys_sync() {
    let mem = Mem::new();
    file(&mem, "/f", b"old");
    let work = |mem: &Mem| mem.remove_file(Path::new("/f")).expect("removed");
    assert_eq!(contents(&ends(&mem, work, "/f")), BTreeSet::from([b"-".as_slice(), b"old"]));
}

#[test]
fn what_is_in_a_lost_directory_is_lost() {
    let mem = Mem::new();
    let recorder = mem.recorder();
    mem.create_dir_all(Path::new("/a/b")).expect("made");
    file(&mem, "/a/b/f", b"x");
    let mut seen = [false; 2];
    for image in recorder.images(60, 2) {
        let there = |path: &str| image.fs.exists(Path::new(path)).expect("known");
        assert!(!there("/a/b/f") || there("/a/b"));
        assert!(!there("/a/b") || there("/a"));
        seen[usize::from(there("/a/b/f"))] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn images_are_as_many_as_asked_for_and_the_same_for_the_same_seed() {
    let mem = Mem::new();
    let recorder = mem.recorder();
    for n in 0..5 {
        file(&mem, "/f", &[n; 2000]);
    }
    assert_eq!(recorder.len(), 6);
    let all = |seed| -> Vec<(usize, Damage, Vec<u8>)> {
        let read = |fs: &Mem| read_to_vec(fs, Path::new("/f"), 4000).unwrap_or_default();
        recorder.images(10, seed).map(|i| (i.at, i.damage, read(&i.fs))).collect()
    };
    assert_eq!(all(3).len(), 70);
    assert_eq!(all(3), all(3));
    assert_ne!(all(3), all(4));
}

#[test]
fn an_image_is_a_file_system_of_its_own() {
    let mem = Mem::new();
    let recorder = mem.recorder();
    file(&mem, "/f", b"one");
    for image in recorder.images(6, 5) {
        // The name may stand without its bytes; a new file must not share its place.
        file(&image.fs, "/g", b"two");
        let f = read_to_vec(&image.fs, Path::new("/f"), 10).unwrap_or_default();
        assert!(b"one".starts_with(f.as_slice()) || f == [0; 3], "{f:?}");
    }
    assert_eq!(read_to_vec(&mem, Path::new("/f"), 10).expect("read"), b"one");
    assert!(!mem.exists(Path::new("/g")).expect("known"));
}

#[test]
fn a_new_file_is_whole_or_absent_and_durable_with_its_directories() {
    let path = Path::new("/a/b/key");
    let mem = Mem::new();
    let recorder = mem.recorder();
    write_new(&mem, path, &[7; 3000]).expect("written");
    let done = recorder.len();
    let mut seen = BTreeSet::new();
    for image in recorder.images(60, 4) {
        let there = match read_to_vec(&image.fs, path, 1 << 20) {
            Ok(bytes) => {
                assert_eq!(bytes, [7; 3000], "operation {}, {:?}", image.at, image.damage);
                true
            }
            Err(FsError::NotFound { .. }) => false,
            Err(error) => panic!("{error}"),
        };
        assert!(there || image.at < done, "it was durable");
        seen.insert(there);
        if !there {
            write_new(&image.fs, path, b"again").expect("whatever was left");
        }
    }
    assert_eq!(seen.len(), 2);
}
