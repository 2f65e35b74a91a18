//! What both stores promise, checked against the machine's model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use holdfast_fs::{Disk, Mem};
use holdfast_machine::{Batch, Model, Outcome, RowSink, SinkError, View, ViewExt};
use holdfast_store::{
    Applied, CACHE_BYTES_DEFAULT, ChangesError, DiskStore, IndexView, SimStore, StateStore,
    StoreError, changes_since, index_entry,
};
use holdfast_types::{Revision, Row, Table, TxnId};

use crate::support::{Random, epoch, head, id, txn};

const TABLES: [Table; 3] = [Table::KEYS, Table::LEDGER, Table::JOBS];

#[test]
fn disk_store_conforms_in_memory() {
    suite(&mut disk(&Mem::new()));
}

#[test]
fn disk_store_conforms_on_disk() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("state.1");
    let loader = DiskStore::loader(Disk::shared(), &path, head(), Applied::default());
    suite(&mut loader.expect("an empty directory").finish(None).expect("an empty state"));
    let store = DiskStore::open(Disk::shared(), &path, CACHE_BYTES_DEFAULT).expect("it reopens");
    assert_eq!(store.applied().log, Some(id(60)));
}

#[test]
fn sim_store_conforms() {
    let mut store = SimStore::new(head(), Applied::default());
    suite(&mut store);
    let durable = store.view().head().clone();
    let command = txn(&store.view(), 999, Table::KEYS, &[1], false);
    commit(&mut store, 61, &[command]);
    assert_ne!(*store.view().head(), durable);
    store.crash();
    assert_eq!(*store.view().head(), durable);
    assert_eq!(store.applied().log, Some(id(60)));
}

fn disk(mem: &Mem) -> DiskStore {
    let loader = DiskStore::loader(mem.shared(), Path::new("/s"), head(), Applied::default());
    loader.expect("an empty directory").finish(None).expect("an empty state")
}

fn commit<S: StateStore>(store: &mut S, index: u64, commands: &[holdfast_machine::Command]) {
    let view = store.view();
    let mut batch = Batch::new(&view);
    for command in commands {
        let (outcome, _) = batch.apply(command).expect("a readable view");
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    let (head, changes) = batch.finish();
    let applied = Applied { log: Some(id(index)), membership: vec![1, 2, 3] };
    store.commit(applied, &changes, &head).expect("a commit");
}

/// 60 commits, compared with the model after each.
fn suite<S: StateStore>(store: &mut S) {
    let mut model = Model::new(epoch());
    let mut random = Random(1);
    let mut held = Vec::new();
    let mut last: BTreeMap<(Table, Vec<u8>), Revision> = BTreeMap::new();
    for n in 1..=60 {
        let table = TABLES[random.below(3) as usize];
        let keys: Vec<u64> = (0..=random.below(4)).map(|i| i * 8 + random.below(8)).collect();
        let delete = random.below(4) == 0;
        let command = txn(&store.view(), n, table, &keys, delete);
        commit(store, n, std::slice::from_ref(&command));
        model.apply(&command);
        let revision = model.head().revision;
        for key in &keys {
            last.insert((table, key.to_be_bytes().to_vec()), revision);
        }
        same(&store.view(), &model);
        let entry = index_entry(&store.view(), revision).expect("readable").expect("an entry");
        assert_eq!(entry.txn, TxnId([u8::try_from(n).expect("small"); 16]));
        if n % 10 == 0 {
            held.push((store.view(), model.clone()));
            assert!(store.dirty_bytes() > 0);
            assert_eq!(store.checkpoint().expect("a checkpoint"), Some(id(n)));
            assert_eq!(store.dirty_bytes(), 0);
        }
    }
    for (view, model) in &held {
        same(view, model);
    }
    changes(&store.view(), &last);
    assert_eq!(store.applied().membership, vec![1, 2, 3]);
}

fn same(view: &impl View, model: &Model) {
    assert_eq!(view.head(), model.head());
    let mut rows = Vec::new();
    for table in TABLES {
        view.scan(table, &[], &mut |key, value| {
            rows.push(Row { table, key: key.to_vec(), value });
            ControlFlow::Continue(())
        })
        .expect("a readable view");
    }
    assert_eq!(rows, model.rows().collect::<Vec<_>>());
    for row in &rows {
        assert_eq!(view.get(row.table, &row.key).expect("readable").as_ref(), Some(&row.value));
        assert_eq!(
            view.live(row.table, &row.key).expect("readable").is_some(),
            row.value.schema > 0
        );
    }
}

/// Each row once, at its last revision, from any revision on.
fn changes(view: &impl IndexView, last: &BTreeMap<(Table, Vec<u8>), Revision>) {
    let base = epoch().base;
    for after in [base, Revision(base.0 + 17), Revision(base.0 + 60)] {
        let mut found = BTreeMap::new();
        let mut before = after;
        changes_since(view, after, &mut |revision, table, key| {
            assert!(revision >= before && revision > after);
            before = revision;
            assert_eq!(found.insert((table, key.to_vec()), revision), None);
            ControlFlow::Continue(())
        })
        .expect("a readable index");
        let mut wanted = last.clone();
        wanted.retain(|_, revision| *revision > after);
        assert_eq!(found, wanted);
    }
    let asked = Revision(base.0 - 1);
    let refused = changes_since(view, asked, &mut |_, _, _| ControlFlow::Continue(()));
    assert_eq!(refused, Err(ChangesError::BelowFloor { asked, floor: base }));
    assert_eq!(index_entry(view, base), Ok(None));
}

#[test]
fn several_commands_of_one_commit_see_each_other() {
    let mut store = SimStore::new(head(), Applied::default());
    let mut model = Model::new(epoch());
    let mut commands = Vec::new();
    for n in 0..4 {
        commands.push(txn(&model, n, Table::KEYS, &[1, 2], n == 2));
        model.apply(&commands[n as usize]);
    }
    commit(&mut store, 1, &commands);
    same(&store.view(), &model);
    let rows = std::cell::Cell::new(0);
    changes_since(&store.view(), epoch().base, &mut |revision, _, _| {
        assert_eq!(revision, model.head().revision);
        rows.set(rows.get() + 1);
        ControlFlow::Continue(())
    })
    .expect("a readable index");
    assert_eq!(rows.get(), 2);
}

#[test]
fn a_load_is_what_was_put_and_has_no_index() {
    let mut model = Model::new(epoch());
    for n in 0..50 {
        let command = txn(&model, n, TABLES[n as usize % 3], &[n % 7, 100 + n], n % 5 == 0);
        model.apply(&command);
    }
    let mem = Mem::new();
    let load = |dir: &str, wanted: &holdfast_machine::Head| {
        let applied = Applied { log: Some(id(1)), membership: vec![9] };
        let mut loader =
            DiskStore::loader(mem.shared(), Path::new(dir), model.head().clone(), applied)
                .expect("an empty directory");
        model.rows().for_each(|row| loader.put(&row).expect("sorted rows"));
        let first = model.rows().next().expect("a row");
        assert!(matches!(loader.put(&first), Err(SinkError::OutOfOrder { .. })));
        let local = Row { table: Table::LOCAL_NODE, ..first };
        assert!(matches!(loader.put(&local), Err(SinkError::Failed(_))));
        loader.finish(Some(wanted))
    };
    let store = load("/a", model.head()).expect("the digest is the model's");
    let head = store.view().head().clone();
    assert_eq!(head.tables, model.head().tables);
    assert_eq!(head.index_floor, head.revision);
    drop(store);
    let mut other = model.head().clone();
    other.tables.entry(Table::KEYS).or_default().rows += 1;
    assert!(matches!(load("/b", &other), Err(StoreError::Digest { .. })));
    let store = DiskStore::open(mem.shared(), Path::new("/a"), CACHE_BYTES_DEFAULT).expect("opens");
    assert_eq!(*store.view().head(), head);
    assert_eq!(store.applied(), Applied { log: Some(id(1)), membership: vec![9] });
}

#[test]
fn a_second_load_into_the_same_directory_is_refused() {
    let mem = Mem::new();
    drop(disk(&mem));
    let again = DiskStore::loader(mem.shared(), Path::new("/s"), head(), Applied::default());
    assert!(matches!(again, Err(StoreError::Fs(holdfast_fs::FsError::Exists { .. }))));
}

#[test]
fn local_rows_are_kept_and_not_digested() {
    let mem = Mem::new();
    let mut store = disk(&mem);
    let before = store.view().head().clone();
    store.put_local(b"soft", b"sealed").expect("a write");
    store.put_local(b"gone", b"x").expect("a write");
    store.remove_local(b"gone").expect("a write");
    assert_eq!(*store.view().head(), before);
    drop(store);
    let store = DiskStore::open(mem.shared(), Path::new("/s"), CACHE_BYTES_DEFAULT).expect("opens");
    assert_eq!(store.get_local(b"soft").expect("readable").as_deref(), Some(b"sealed".as_slice()));
    assert_eq!(store.get_local(b"gone").expect("readable"), None);
}
