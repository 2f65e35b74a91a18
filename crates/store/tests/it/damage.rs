//! Damage that is no crash: flipped bits, cut files, failing and full disks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use holdfast_fs::{Fault, Fs, FsError, Mem, Open};
use holdfast_machine::{Batch, Head, LogId, View};
use holdfast_store::log::Log;
use holdfast_store::{Applied, DiskStore, StateStore, StoreError};
use holdfast_types::Table;

use crate::support::{head, id, txn};

const DIR: &str = "/log";

type Entries = Vec<(LogId, Vec<u8>)>;

fn entries() -> Entries {
    (1..=60).map(|n| (id(n), vec![n as u8; 20])).collect()
}

/// A log of 60 flushed entries, flushed one by one or all together.
fn flushed(together: bool) -> Mem {
    let mem = Mem::new();
    let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("an empty log");
    for group in entries().chunks(if together { 60 } else { 1 }) {
        log.append(group).expect("append");
        log.sync().expect("sync");
    }
    mem
}

fn segment(mem: &Mem) -> std::path::PathBuf {
    let entries = mem.read_dir(Path::new(DIR)).expect("a directory");
    let logs: Vec<_> =
        entries.iter().filter(|e| e.name.to_string_lossy().ends_with(".log")).collect();
    assert_eq!(logs.len(), 1);
    Path::new(DIR).join(&logs[0].name)
}

/// Every bit of bytes 200..1199 of a log of 60 flushed entries, flipped: `raft-log` 0.4.6 opened 253
/// of these 8 000 without an error and with fewer entries.
#[test]
fn no_flipped_bit_loses_a_flushed_entry_silently() {
    for together in [false, true] {
        let mem = flushed(together);
        let path = segment(&mem);
        for bit in 200 * 8..1200 * 8 {
            mem.flip_bit(&path, bit).expect("a bit");
            if let Ok((log, opened)) = Log::open(mem.shared(), Path::new(DIR)) {
                let found = log.read(0..u64::MAX).expect("whole entries");
                panic!("bit {bit} opens with {} entries, {opened:?}", found.len());
            }
            mem.flip_bit(&path, bit).expect("a bit");
        }
        let (log, opened) = Log::open(mem.shared(), Path::new(DIR)).expect("whole again");
        assert_eq!(opened.torn, None);
        assert_eq!(log.read(0..u64::MAX).expect("whole"), entries());
    }
}

/// The last flushed entry is guarded too, by the mark behind it; a damaged mark costs no entry.
#[test]
fn a_flipped_bit_anywhere_is_an_error_or_costs_nothing() {
    let mem = flushed(false);
    let path = segment(&mem);
    let len = mem.open(&path, Open::Read).expect("a file").len().expect("a length");
    for bit in 0..len * 8 {
        mem.flip_bit(&path, bit).expect("a bit");
        match Log::open(mem.shared(), Path::new(DIR)) {
            Ok((log, _)) => {
                assert_eq!(log.read(0..u64::MAX).expect("whole"), entries(), "bit {bit}");
                assert!(bit >= (len - 56) * 8, "bit {bit}");
                // Opening wrote the mark anew.
                continue;
            }
            Err(StoreError::LogDamaged { segment, .. }) => assert_eq!(segment, path),
            Err(error) => panic!("bit {bit}: {error}"),
        }
        mem.flip_bit(&path, bit).expect("a bit");
    }
}

#[test]
fn a_cut_of_the_unsynced_tail_opens() {
    let whole = flushed(false);
    let (mut log, _) = Log::open(whole.shared(), Path::new(DIR)).expect("whole");
    let path = segment(&whole);
    let file = whole.open(&path, Open::Write).expect("a file");
    let synced = file.len().expect("a length") - 56; // the mark is overwritten
    log.append(&[(id(61), vec![1; 100]), (id(62), vec![2; 100])]).expect("append");
    let len = file.len().expect("a length");
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0).expect("readable");
    for cut in synced..len {
        file.set_len(0).expect("cut");
        file.write_at(&bytes[..cut as usize], 0).expect("written");
        let (log, opened) = Log::open(whole.shared(), Path::new(DIR))
            .unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let found = log.read(0..u64::MAX).expect("whole entries");
        assert_eq!(found[..60], entries()[..]);
        let kept = 60 + (cut - synced) / 156;
        assert_eq!(found.len() as u64, kept, "cut at {cut}");
        assert_eq!(opened.torn.is_some(), !(cut - synced).is_multiple_of(156), "cut at {cut}");
    }
}

#[test]
fn a_damaged_vote_is_an_error() {
    let mem = Mem::new();
    let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("an empty log");
    log.save_vote(b"vote").expect("saved");
    drop(log);
    for bit in 0..12 * 8 {
        mem.flip_bit(Path::new("/log/vote"), bit).expect("a bit");
        assert!(matches!(Log::open(mem.shared(), Path::new(DIR)), Err(StoreError::Corrupt { .. })));
        mem.flip_bit(Path::new("/log/vote"), bit).expect("a bit");
    }
    let (log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("whole again");
    assert_eq!(log.vote().expect("a vote").as_deref(), Some(b"vote".as_slice()));
}

#[test]
fn after_a_failed_write_the_log_takes_no_more_and_reopens_as_it_was() {
    for fault in [Fault::Once, Fault::NoSpace] {
        for at in 0..2 {
            let mem = flushed(false);
            let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("whole");
            mem.fail_at(at, fault);
            let more = [(id(61), vec![7; 400]), (id(62), vec![8; 400])];
            let failed = log.append(&more).and_then(|()| log.sync());
            assert!(matches!(failed, Err(StoreError::Fs(_))), "{failed:?}");
            assert!(matches!(log.append(&more), Err(StoreError::Stopped { .. })));
            assert!(matches!(log.save_vote(b"x"), Err(StoreError::Stopped { .. })));
            drop(log);
            let (log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("opens");
            let found = log.read(0..u64::MAX).expect("whole");
            assert_eq!(found[..60], entries()[..]);
        }
    }
}

#[test]
fn entries_out_of_order_are_refused() {
    let mem = flushed(true);
    let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("whole");
    for index in [1, 60, 62] {
        let refused = log.append(&[(id(index), Vec::new())]);
        assert!(matches!(refused, Err(StoreError::OutOfOrder { .. })), "{refused:?}");
    }
    log.append(&[(id(61), Vec::new())]).expect("the next one");
}

/// After a failed commit the store stops; what it was before is there after the next start.
#[test]
fn a_full_or_failing_disk_costs_no_committed_state() {
    let dir = Path::new("/s");
    for fault in [Fault::From, Fault::NoSpace] {
        for at in 0..40 {
            let mem = Mem::new();
            let loader = DiskStore::loader(mem.shared(), dir, head(), Applied::default());
            let mut store = loader.expect("empty").finish(None).expect("an empty state");
            commit(&mut store, 1).expect("a commit");
            store.checkpoint().expect("a checkpoint");
            mem.fail_at(at, fault);
            let mut failed = false;
            for index in 2..6 {
                if let Err(error) = commit(&mut store, index).and_then(|()| store.checkpoint()) {
                    let ours = matches!(error, StoreError::Fs(_) | StoreError::Database { .. });
                    assert!(ours, "{error:?}");
                    let again = store.checkpoint();
                    assert!(matches!(again, Err(StoreError::Stopped { .. })), "{again:?}");
                    failed = true;
                    break;
                }
            }
            drop(store);
            mem.heal();
            let store = DiskStore::open(mem.shared(), dir, 1 << 20).expect("it opens");
            assert!(store.applied().log >= Some(id(1)));
            assert!(failed || store.applied().log == Some(id(5)));
        }
    }
}

fn commit(store: &mut DiskStore, index: u64) -> Result<(), StoreError> {
    let view = store.view();
    let keys: Vec<u64> = (0..30).map(|k| k * index).collect();
    let keys: std::collections::BTreeSet<u64> = keys.into_iter().collect();
    let keys: Vec<u64> = keys.into_iter().collect();
    let mut batch = Batch::new(&view);
    batch.apply(&txn(&view, index, Table::KEYS, &keys, false))?;
    let (head, changes) = batch.finish();
    store.commit(Applied { log: Some(id(index)), membership: vec![] }, &changes, &head)
}

/// redb does not look at its pages' checksums when it reads; a flipped bit in a value is ours to find.
#[test]
fn a_flipped_bit_in_a_row_is_noticed_when_it_is_read() {
    let dir = Path::new("/s");
    let mem = Mem::new();
    let loader = DiskStore::loader(mem.shared(), dir, head(), Applied::default());
    let mut store = loader.expect("empty").finish(None).expect("an empty state");
    commit(&mut store, 1).expect("a commit");
    drop(store);
    let path = dir.join("state.redb");
    let bytes = holdfast_fs::read_to_vec(&mem, &path, 1 << 30).expect("the file");
    // Bodies are 40 times the same byte.
    let found = bytes.windows(40).rposition(|w| w == [1; 40]).expect("a body in the file");
    mem.flip_bit(&path, found as u64 * 8).expect("a bit");
    let store = DiskStore::open(mem.shared(), dir, 1 << 20).expect("redb does not notice");
    let mut rows = 0;
    let scan = store.view().scan(Table::KEYS, &[], &mut |_, _| {
        rows += 1;
        ControlFlow::Continue(())
    });
    assert!(scan.is_err() && rows < 30, "{rows} rows");
}

#[test]
fn no_space_is_said_as_such() {
    let mem = Mem::new();
    let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("an empty log");
    mem.limit_space(2000);
    let failed = (1..100).find_map(|n| log.append(&[(id(n), vec![0; 100])]).err());
    assert!(matches!(failed, Some(StoreError::Fs(FsError::NoSpace { .. }))), "{failed:?}");
}

/// The last segment lost entries that were purged already, and nothing else.
#[test]
fn a_log_goes_on_after_what_was_purged() {
    let mem = Mem::new();
    let (mut log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("an empty log");
    for index in 1..=6 {
        log.append(&[(id(index), vec![1; 100])]).expect("append");
        log.sync().expect("sync");
    }
    log.purge_to(id(6)).expect("purge");
    drop(log);
    let segment = Path::new(DIR).join("0000000000000001.log");
    let file = mem.open(&segment, Open::Write).expect("the segment");
    file.set_len(64 + 4 * 156).expect("cut behind entry 4");
    let (mut log, opened) = Log::open(mem.shared(), Path::new(DIR)).expect("nothing is missing");
    assert_eq!(opened.last, Some(id(6)));
    log.append(&[(id(7), vec![7; 100])]).expect("the next one");
    log.sync().expect("sync");
    drop(log);
    let (log, _) = Log::open(mem.shared(), Path::new(DIR)).expect("it opens again");
    assert_eq!(log.read(0..u64::MAX).expect("whole"), [(id(7), vec![7; 100])]);
}

/// A state with one commit, closed, and the bytes of its file.
fn state() -> (Mem, Vec<u8>) {
    let (mem, dir) = (Mem::new(), Path::new("/s"));
    let loader = DiskStore::loader(mem.shared(), dir, head(), Applied::default());
    let mut store = loader.expect("empty").finish(None).expect("an empty state");
    commit(&mut store, 1).expect("a commit");
    drop(store);
    let bytes = holdfast_fs::read_to_vec(&mem, &dir.join("state.redb"), 1 << 30);
    (mem, bytes.expect("the file"))
}

/// Opens a state whose file holds `bytes`.
fn open_state(mem: &Mem, bytes: &[u8]) -> Result<DiskStore, StoreError> {
    let file = mem.open(Path::new("/s/state.redb"), Open::Write).expect("the file");
    file.set_len(0).expect("cut");
    file.write_at(bytes, 0).expect("written");
    DiskStore::open(mem.shared(), Path::new("/s"), 1 << 20)
}

#[test]
fn a_cut_or_missing_state_is_damaged() {
    let (mem, bytes) = state();
    for len in [0, 8, 100, 320, 1000, 4096, bytes.len() / 2, bytes.len() - 4096] {
        let opened = open_state(&mem, &bytes[..len]);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{len} bytes: {opened:?}");
    }
    mem.remove_file(Path::new("/s/state.redb")).expect("removed");
    for dir in ["/s", "/none"] {
        let opened = DiskStore::open(mem.shared(), Path::new(dir), 1 << 20);
        assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
    }
}

/// One bit of redb's header, which of two commits is the last, has no checksum: the one before it opens, whole. What
/// is missing of it is still in the log, or the log begins too late for it.
#[test]
fn a_flipped_bit_in_the_states_header_is_damage_or_gives_a_whole_state() {
    let (mem, bytes) = state();
    let last = open_state(&mem, &bytes).expect("whole").view().head().clone();
    let heads = [(None, head()), (Some(id(1)), last)];
    for bit in 0..320 * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match open_state(&mem, &damaged) {
            Ok(store) => {
                let found = (store.applied().log, store.view().head().clone());
                assert!(heads.contains(&found), "bit {bit}: {found:?}");
            }
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => panic!("bit {bit}: {error:?}"),
        }
    }
}

/// After a downgrade nothing is damaged, and a restore of the newest archive would cost what came since.
#[test]
fn a_head_of_a_newer_program_is_said_to_be_that() {
    let (mem, mut bytes) = state();
    let store = open_state(&mem, &bytes).expect("whole");
    let bare = Head { tables: BTreeMap::new(), ..store.view().head().clone() }.encode();
    drop(store);
    let at = bytes.windows(bare.len()).rposition(|found| found == bare).expect("the head");
    bytes[at] = 2;
    let sealed = [b"\xe0head", &bytes[at..at + bare.len()]].concat();
    let sum = xxhash_rust::xxh3::xxh3_64(&sealed).to_be_bytes();
    bytes[at + bare.len()..][..8].copy_from_slice(&sum);
    let opened = open_state(&mem, &bytes);
    assert!(matches!(opened, Err(StoreError::Newer { found: 2, .. })), "{opened:?}");
}
