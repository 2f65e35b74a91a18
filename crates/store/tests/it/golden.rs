//! What is on disk, byte by byte (`formats/store.md`). A change here needs a new format version.

use std::fmt::Write as _;
use std::path::Path;

use holdfast_fs::{Disk, Fs, Mem, Open, read_to_vec};
use holdfast_machine::{Batch, LogId};
use holdfast_store::log::Log;
use holdfast_store::{Applied, DataDir, DiskStore, Marker, StateStore};
use holdfast_types::{NodeId, Table, VaultId, hex};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use crate::support::{head, id, txn};

const LOG: &str = include_str!("../../../../testdata/store/log-v1.hex");
const STATE: &str = include_str!("../../../../testdata/store/state-v1.hex");

/// Three entries, the last two synced together, behind a purged one; and a vote.
fn log(mem: &Mem) {
    let (mut log, _) = Log::open(mem.shared(), Path::new("/log")).expect("an empty log");
    log.reset(LogId { term: 2, node: 7, index: 9 }).expect("reset");
    log.append(&[(LogId { term: 3, node: 8, index: 10 }, b"one".to_vec())]).expect("append");
    log.sync().expect("sync");
    let more = [
        (LogId { term: 3, node: 8, index: 11 }, vec![]),
        (LogId { term: 4, node: 9, index: 12 }, vec![5; 40]),
    ];
    log.append(&more).expect("append");
    log.sync().expect("sync");
    log.save_vote(b"vote").expect("vote");
}

#[test]
fn log_is_written_as_the_format_says() {
    let mem = Mem::new();
    log(&mem);
    let mut text = String::new();
    for entry in mem.read_dir(Path::new("/log")).expect("a directory") {
        let name = entry.name.to_string_lossy().into_owned();
        let bytes = read_to_vec(&mem, &Path::new("/log").join(&name), 4096).expect("a file");
        writeln!(text, "{name} {}", hex::encode(&bytes)).expect("a string takes all");
    }
    assert_eq!(text, LOG, "\n{text}");
}

#[test]
fn log_of_the_golden_file_reads_back() {
    let mem = Mem::new();
    mem.create_dir_all(Path::new("/log")).expect("made");
    for line in LOG.lines() {
        let (name, bytes) = line.split_once(' ').expect("a name and hex");
        let file = mem.open(&Path::new("/log").join(name), Open::CreateNew).expect("new");
        file.write_at(&hex::decode::<Vec<u8>>(bytes).expect("hex"), 0).expect("written");
    }
    let (log, opened) = Log::open(mem.shared(), Path::new("/log")).expect("opens");
    assert_eq!(opened.torn, None);
    assert_eq!(log.purged(), Some(LogId { term: 2, node: 7, index: 9 }));
    assert_eq!(log.last(), Some(LogId { term: 4, node: 9, index: 12 }));
    assert_eq!(log.read(10..11).expect("whole")[0].1, b"one");
    assert_eq!(log.read(12..99).expect("whole")[0].1, vec![5; 40]);
    assert_eq!(log.vote().expect("a vote").as_deref(), Some(b"vote".as_slice()));
}

/// The trees after two commits: a row written, replaced, and one deleted. Sums are shortened.
#[test]
fn state_is_written_as_the_format_says() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let loader = DiskStore::loader(Disk::shared(), dir.path(), head(), Applied::default());
    let mut store = loader.expect("an empty directory").finish(None).expect("an empty state");
    for (n, keys, delete) in [(1, [1, 2].as_slice(), false), (2, &[1], false), (3, &[2], true)] {
        let view = store.view();
        let mut batch = Batch::new(&view);
        batch.apply(&txn(&view, n, Table::KEYS, keys, delete)).expect("readable");
        let (head, changes) = batch.finish();
        let applied = Applied { log: Some(id(n)), membership: vec![1] };
        store.commit(applied, &changes, &head).expect("a commit");
    }
    store.put_local(b"soft", b"sealed").expect("a local row");
    drop(store);
    let database = redb::Database::open(dir.path().join("state.redb")).expect("a redb file");
    let txn = database.begin_read().expect("readable");
    let mut text = String::new();
    for name in ["rows", "index", "local"] {
        let tree: TableDefinition<&[u8], &[u8]> = TableDefinition::new(name);
        for row in txn.open_table(tree).expect("a tree").iter().expect("readable") {
            let (key, value) = row.expect("readable");
            let (mut value, len) = (hex::encode(value.value()), value.value().len());
            value.truncate(400);
            writeln!(text, "{name} {} {len} {value}", hex::encode(key.value())).expect("a string");
        }
    }
    assert_eq!(text, STATE, "\n{text}");
}

#[test]
fn markers_are_written_as_the_format_says() {
    let mem = Mem::new();
    let marker = Marker { vault_id: VaultId([0xab; 16]), node_id: NodeId(0x0123) };
    let data = DataDir::create(mem.shared(), Path::new("/d"), marker).expect("nothing there");
    data.finish().expect("finished");
    let read = |name: &str| read_to_vec(&mem, &Path::new("/d").join(name), 200).expect("a file");
    let vault = format!(
        "{{\"format\":1,\"vault_id\":\"{}\",\"node_id\":\"0000000000000123\"}}\n",
        "ab".repeat(16)
    );
    assert_eq!(read("vault.json"), vault.as_bytes());
    assert_eq!(read("CURRENT"), b"state.1\n");
}
