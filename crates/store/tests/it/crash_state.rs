//! Crash images of the state: commits and checkpoints through redb, and loads.

use std::collections::BTreeMap;
use std::path::Path;

use holdfast_fs::{Mem, Recorder, crash_images_wanted};
use holdfast_machine::{Batch, Digester, Head, Model, RowSink, View};
use holdfast_store::{Applied, DiskStore, StateStore, StoreError};
use holdfast_types::{Row, Table};

use crate::support::{EACH_DAMAGE, Random, epoch, head, id, txn};

const DIR: &str = "/s";
const CACHE: usize = 1 << 20;

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
    assert_eq!(recomputed(&view), *view.head(), "{what}, operation {at}");
}

/// The head, with the tables that the rows say.
fn recomputed(view: &impl View) -> Head {
    let mut digester = Digester::new();
    for table in [Table::KEYS, Table::LEDGER] {
        view.scan(table, &[], &mut |key, value| {
            digester.add(&Row { table, key: key.to_vec(), value });
            std::ops::ControlFlow::Continue(())
        })
        .expect("whole rows");
    }
    Head { tables: digester.finish(), ..view.head().clone() }
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
            Ok(store) => assert_eq!(recomputed(&store.view()).tables, model.head().tables),
            Err(StoreError::Corrupt { .. } | StoreError::Fs(_)) => assert!(image.at < finished),
            Err(error) => panic!("operation {}: {error}", image.at),
        }
        count += 1;
    }
    drop(store);
    println!("{count} crash images of a load");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}
