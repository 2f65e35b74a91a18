//! Crash images of the state: commits and checkpoints through redb, and loads.

use std::collections::BTreeMap;
use std::path::Path;

use holdfast_fs::{Fault, Mem, Recorder, crash_images_wanted};
use holdfast_machine::{Batch, Head, Model, RowSink, View};
use holdfast_store::{Applied, DiskStore, StateStore, StoreError};
use holdfast_types::Table;

use crate::support::{EACH_DAMAGE, Random, epoch, head, id, recomputed, txn};

const DIR: &str = "/s";
const CACHE: usize = 1 << 20;
/// What is written.
const TABLES: [Table; 2] = [Table::KEYS, Table::LEDGER];

/// The commits of a run, by index, and the checkpoints: (operations recorded after it, index).
struct Run {
    heads: BTreeMap<u64, Head>,
    committed: Vec<(usize, u64)>,
    durable: Vec<(usize, u64)>,
}

#[test]
fn state_after_a_crash_is_exactly_a_committed_one() {
    let wanted = crash_images_wanted(35);
    let mut count = 0;
    for seed in 0.. {
        let mem = Mem::new();
        let store = loaded(&mem);
        let recorder = mem.recorder();
        let (store, run) = work(store, &recorder, seed);
        let images = recorder.images(recorder.per_point(wanted.div_ceil(4), EACH_DAMAGE), seed);
        for image in images {
            check(&image.fs, &run, image.at, &format!("seed {seed}, {:?}", image.damage));
            count += 1;
        }
        drop(store);
        if count >= wanted {
            break;
        }
    }
    println!("{count} crash images of the state");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

fn loaded(mem: &Mem) -> DiskStore {
    let loader = DiskStore::loader(mem.shared(), Path::new(DIR), head(), Applied::default());
    loader.expect("an empty directory").finish(None).expect("an empty state")
}

fn work(mut store: DiskStore, recorder: &Recorder, seed: u64) -> (DiskStore, Run) {
    let mut random = Random(seed);
    let mut run = Run {
        heads: BTreeMap::from([(0, store.view().head().clone())]),
        committed: vec![(0, 0)],
        durable: vec![(0, 0)],
    };
    for index in 1..=40 {
        let view = store.view();
        let mut batch = Batch::new(&view);
        for n in 0..=random.below(3) {
            let table = if random.below(2) == 0 { Table::KEYS } else { Table::LEDGER };
            let keys: Vec<u64> =
                (0..=random.below(20)).map(|i| i * 50 + random.below(50)).collect();
            let command = txn(&batch, index * 4 + n, table, &keys, random.below(5) == 0);
            batch.apply(&command).expect("a readable view");
        }
        let (head, changes) = batch.finish();
        let applied = Applied { log: Some(id(index)), membership: vec![] };
        // A crash within the commit may already show it.
        run.committed.push((recorder.len(), index));
        run.heads.insert(index, head.clone());
        store.commit(applied, &changes, &head).expect("a commit");
        if random.below(4) == 0 {
            store.checkpoint().expect("a checkpoint");
            run.durable.push((recorder.len(), index));
        }
        if random.below(12) == 0 {
            store.put_local(b"key", &index.to_le_bytes()).expect("a local row");
            run.durable.push((recorder.len(), index));
        }
    }
    (store, run)
}

fn check(fs: &Mem, run: &Run, at: usize, what: &str) {
    let store = DiskStore::open(fs.shared(), Path::new(DIR), CACHE)
        .unwrap_or_else(|error| panic!("{what}, operation {at}: {error}"));
    let index = store.applied().log.map_or(0, |id| id.index);
    let newest = |list: &[(usize, u64)]| list[list.partition_point(|(op, _)| *op <= at) - 1].1;
    let (least, most) = (newest(&run.durable), newest(&run.committed));
    assert!((least..=most).contains(&index), "{what}, operation {at}: {index} of {least}..={most}");
    let view = store.view();
    assert_eq!(*view.head(), run.heads[&index], "{what}, operation {at}");
    assert_eq!(recomputed(&view, &TABLES), *view.head(), "{what}, operation {at}");
}

#[test]
fn a_load_is_there_as_a_whole_or_does_not_open() {
    let wanted = crash_images_wanted(5);
    let mut model = Model::new(epoch());
    for n in 0..60 {
        let command = txn(&model, n, Table::KEYS, &[n, n + 1000, n + 2000], false);
        model.apply(&command);
    }
    let mem = Mem::new();
    let recorder = mem.recorder();
    let loader =
        DiskStore::loader(mem.shared(), Path::new(DIR), model.head().clone(), Applied::default());
    let mut loader = loader.expect("an empty directory");
    model.rows().for_each(|row| loader.put(&row).expect("sorted rows"));
    let store = loader.finish(Some(model.head())).expect("the model's digest");
    let finished = recorder.len();
    let mut count = 0;
    for image in recorder.images(recorder.per_point(wanted, EACH_DAMAGE), 5) {
        match DiskStore::open(image.fs.shared(), Path::new(DIR), CACHE) {
            Ok(store) => assert_eq!(recomputed(&store.view(), &TABLES).tables, model.head().tables),
            Err(StoreError::Corrupt { .. } | StoreError::Fs(_)) => assert!(image.at < finished),
            Err(error) => panic!("operation {}: {error}", image.at),
        }
        count += 1;
    }
    drop(store);
    println!("{count} crash images of a load");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

/// Commits entry `index`: keys of its own, on pages that no other one writes again.
fn commit(store: &mut DiskStore, index: u64) -> Result<(), StoreError> {
    let view = store.view();
    let keys: Vec<u64> = (0..300).map(|key| index * 1000 + key).collect();
    let mut batch = Batch::new(&view);
    batch.apply(&txn(&view, index, Table::KEYS, &keys, false))?;
    let (head, changes) = batch.finish();
    store.commit(Applied { log: Some(id(index)), membership: vec![] }, &changes, &head)
}

/// A checkpoint fails, the node stops and starts again, and the next checkpoint holds: the log is purged
/// up to it, so the state must be there.
#[test]
fn a_checkpoint_after_one_that_failed_outlasts_a_power_cut() {
    let open = |mem: &Mem| DiskStore::open(mem.shared(), Path::new(DIR), CACHE);
    let mut stops = 0;
    for at in 0.. {
        let mem = Mem::new();
        let mut store = loaded(&mem);
        commit(&mut store, 1).expect("a commit");
        store.checkpoint().expect("a checkpoint");
        let recorder = mem.recorder();
        mem.fail_at(at, Fault::Once);
        let begun = mem.ops();
        stops += u64::from(commit(&mut store, 2).and_then(|()| store.checkpoint()).is_err());
        drop(store);
        let reached = mem.ops() > begun + at;
        mem.heal();
        let mut store = open(&mem).unwrap_or_else(|error| panic!("fault {at}: {error}"));
        commit(&mut store, 3).expect("a commit");
        store.checkpoint().expect("a checkpoint");
        let (taken, head) = (recorder.len(), store.view().head().clone());
        for image in recorder.images(EACH_DAMAGE, at).filter(|image| image.at >= taken) {
            let context = format!("fault {at}, {:?}", image.damage);
            let store = open(&image.fs).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(*store.view().head(), head, "{context}");
            assert_eq!(recomputed(&store.view(), &[Table::KEYS]), head, "{context}");
        }
        if !reached {
            break;
        }
    }
    assert!(stops > 5, "{stops} faults stopped the state");
}

#[test]
fn behind_its_fence_nothing_is_written_and_the_last_checkpoint_stands() {
    let mem = Mem::new();
    let mut store = loaded(&mem);
    let before = store.view();
    let mut batch = Batch::new(&before);
    let command = txn(&batch, 1, Table::KEYS, &[1, 2], false);
    batch.apply(&command).expect("a readable view");
    let (head, changes) = batch.finish();
    store.commit(Applied::default(), &changes, &head).expect("a commit");
    drop(before);
    store.checkpoint().expect("a checkpoint");
    store.put_local(b"a", b"1").expect("a row of its own");
    let (fence, view) = (store.fence(), store.view());
    fence.close();
    let ops = mem.ops();
    let refused = store.put_local(b"a", b"2").expect_err("it is closed");
    assert!(refused.to_string().contains("done with the state"), "{refused}");
    assert_eq!(recomputed(&view, &TABLES), head, "what is held is still read");
    drop((store, view));
    assert_eq!(mem.ops(), ops, "written behind the fence");
    let again = DiskStore::open(mem.shared(), Path::new(DIR), CACHE).expect("as after a kill");
    assert_eq!(again.view().head(), &head);
    assert_eq!(again.get_local(b"a").expect("a read").as_deref(), Some(&b"1"[..]));
}
