//! Crash images of the data directory: its creation, a switch of states, atomic replacement.

use std::path::Path;

use holdfast_fs::{
    CrashImage, Fault, Fs, FsError, Mem, Recorder, crash_images_wanted, read_to_vec, temporary,
    write_atomic,
};
use holdfast_store::{Applied, CACHE_BYTES_DEFAULT, DataDir, DiskStore, Marker, StoreError};
use holdfast_types::{NodeId, VaultId};

use crate::support::{EACH_DAMAGE, head};

const ROOT: &str = "/deep/data";
const NOTE: &[u8] = b"what is made elsewhere";

fn marker() -> Marker {
    Marker { vault_id: VaultId([3; 16]), node_id: NodeId(u64::MAX - 5) }
}

fn load(mem: &Mem, dir: &Path) {
    let loader = DiskStore::loader(mem.shared(), dir, head(), Applied::default());
    loader.expect("an empty directory").finish(None).expect("an empty state");
}

#[test]
fn a_directory_opens_as_a_whole_or_says_what_it_is() {
    let wanted = crash_images_wanted(10);
    let mem = Mem::new();
    let recorder = mem.recorder();
    let mut data = DataDir::create(mem.shared(), Path::new(ROOT), marker()).expect("nothing there");
    load(&mem, &data.state());
    data.note(NOTE).expect("noted");
    let noted = recorder.len();
    data.finish().expect("finished");
    let finished = recorder.len();
    let next = data.next_state().expect("a place");
    load(&mem, &next);
    let loaded = recorder.len();
    data.switch_state().expect("switched");
    let switched = recorder.len();
    let mut count = 0;
    for image in recorder.images(recorder.per_point(wanted, EACH_DAMAGE), 11) {
        let at = image.at;
        match DataDir::open(image.fs.shared(), Path::new(ROOT)) {
            Ok(data) => {
                assert_eq!(data.marker(), marker());
                let state = data.state();
                if at <= loaded {
                    assert!(state.ends_with("state.1"), "operation {at}");
                }
                if at >= switched {
                    assert!(state.ends_with("state.2"), "operation {at}");
                }
                DiskStore::open(image.fs.shared(), &state, CACHE_BYTES_DEFAULT)
                    .unwrap_or_else(|error| panic!("operation {at}: {error}"));
                assert!(matches!(
                    DataDir::create(image.fs.shared(), Path::new(ROOT), marker()),
                    Err(StoreError::Vault(_))
                ));
            }
            Err(StoreError::NoVault(_) | StoreError::Incomplete(_)) => {
                assert!(at < finished, "operation {at}: a finished directory is gone");
                let note = DataDir::unfinished(&image.fs, Path::new(ROOT)).expect("readable");
                if at >= noted {
                    assert_eq!(note.as_deref(), Some(NOTE), "operation {at}");
                } else {
                    let note = note.unwrap_or_default();
                    assert!(note.is_empty() || note == NOTE, "operation {at}: half a note");
                }
                again(&image.fs);
            }
            Err(error) => panic!("operation {at}, {:?}: {error}", image.damage),
        }
        count += 1;
    }
    println!("{count} crash images of the data directory");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

/// What was interrupted can be done again.
fn again(mem: &Mem) {
    let data = DataDir::create(mem.shared(), Path::new(ROOT), marker()).expect("created again");
    load(mem, &data.state());
    data.finish().expect("finished");
    drop(data);
    DataDir::open(mem.shared(), Path::new(ROOT)).expect("it opens");
}

#[test]
fn only_one_process_works_in_a_directory() {
    let mem = Mem::new();
    let data = DataDir::create(mem.shared(), Path::new(ROOT), marker()).expect("nothing there");
    let second = DataDir::open(mem.shared(), Path::new(ROOT));
    assert!(matches!(second, Err(StoreError::Fs(FsError::Locked { .. }))), "{second:?}");
    drop(data);
    let incomplete = DataDir::open(mem.shared(), Path::new(ROOT));
    assert!(matches!(incomplete, Err(StoreError::Incomplete(_))), "{incomplete:?}");
}

#[test]
fn a_replaced_file_is_old_or_new() {
    let wanted = crash_images_wanted(10);
    let path = Path::new("/d/file");
    let mem = Mem::new();
    mem.create_dir_all(Path::new("/d")).expect("a directory");
    let recorder = mem.recorder();
    let version = |n: u8| vec![n; 700 * usize::from(n)];
    let mut done = vec![(0, 0)];
    for n in 1..=9 {
        write_atomic(&mem, path, &version(n)).expect("written");
        done.push((recorder.len(), n));
    }
    let mut count = 0;
    for image in recorder.images(recorder.per_point(wanted, EACH_DAMAGE), 3) {
        let least = done[done.partition_point(|(op, _)| *op <= image.at) - 1].1;
        let found = match read_to_vec(&image.fs, path, 1 << 16) {
            Ok(bytes) => bytes,
            Err(FsError::NotFound { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        assert!(found == version(least) || found == version(least + 1), "operation {}", image.at);
        write_atomic(&image.fs, path, b"after").expect("whatever was left");
        assert!(!image.fs.exists(&temporary(path)).expect("memory"));
        count += 1;
    }
    println!("{count} crash images of an atomic replacement");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

#[test]
fn an_abandoned_directory_is_empty_or_says_that_it_is_unfinished() {
    let mem = Mem::new();
    let root = Path::new(ROOT);
    let data = DataDir::create(mem.shared(), root, marker()).expect("nothing there");
    load(&mem, &data.state());
    data.note(NOTE).expect("noted");
    let recorder = mem.recorder();
    data.abandon().expect("abandoned");
    assert!(mem.read_dir(root).expect("it stays").is_empty());
    let mut count = 0;
    for image in recorder.images(recorder.per_point(crash_images_wanted(20), EACH_DAMAGE), 5) {
        let at = image.at;
        match DataDir::open(image.fs.shared(), root) {
            Err(StoreError::NoVault(_) | StoreError::Incomplete(_)) => {}
            other => panic!("operation {at}: {other:?}"),
        }
        DataDir::create(image.fs.shared(), root, marker())
            .unwrap_or_else(|error| panic!("operation {at}: {error}"));
        count += 1;
    }
    assert!(count > 10, "{count} images");
}

#[test]
fn a_finished_directory_is_not_abandoned() {
    let mem = Mem::new();
    let data = DataDir::create(mem.shared(), Path::new(ROOT), marker()).expect("nothing there");
    load(&mem, &data.state());
    data.finish().expect("finished");
    assert!(matches!(data.abandon(), Err(StoreError::Vault(_))));
    assert!(DataDir::open(mem.shared(), Path::new(ROOT)).is_ok());
}

/// Images of the record from now on.
fn from_now(recorder: &Recorder, each: usize) -> impl Iterator<Item = CrashImage> {
    let now = recorder.len();
    recorder.images(each, 1).filter(move |image| image.at >= now)
}

#[test]
fn a_directory_made_over_a_killed_attempts_directories_is_there() {
    let root = Path::new(ROOT);
    for at in 0.. {
        let mem = Mem::new();
        let recorder = mem.recorder();
        mem.fail_at(at, Fault::Once);
        let failed = DataDir::create(mem.shared(), root, marker()).is_err();
        mem.heal();
        let data = DataDir::create(mem.shared(), root, marker()).expect("made again");
        data.finish().expect("finished");
        drop(data);
        for image in from_now(&recorder, 60) {
            let opened = DataDir::open(image.fs.shared(), root);
            assert!(opened.is_ok(), "fault {at}, {:?}: {opened:?}", image.damage);
        }
        if !failed {
            break;
        }
    }
}

/// An init that is killed before the marker's removal is durable has made a vault that serves.
#[test]
fn a_directory_that_opened_stays_finished() {
    let root = Path::new(ROOT);
    let mut opens = 0;
    for at in 0.. {
        let mem = Mem::new();
        let recorder = mem.recorder();
        let data = DataDir::create(mem.shared(), root, marker()).expect("nothing there");
        mem.fail_at(at, Fault::Once);
        let failed = data.finish().is_err();
        drop(data);
        mem.heal();
        if DataDir::open(mem.shared(), root).is_ok() {
            opens += 1;
            for image in from_now(&recorder, 60) {
                let opened = DataDir::open(image.fs.shared(), root);
                assert!(opened.is_ok(), "fault {at}, {:?}: {opened:?}", image.damage);
            }
        }
        if !failed {
            break;
        }
    }
    assert_eq!(opens, 2, "one whose last sync failed, and one without a fault");
}
