//! `kill -9` between any two writes of the first start of `server --dev`.

use std::ops::ControlFlow;
use std::path::Path;

use holdfast_fs::{Fs as _, Mem, crash_images_wanted, read_to_vec};
use holdfast_ledger::{DrillMode, Entry, EntryKind};
use holdfast_machine::ViewExt as _;
use holdfast_node::{DevOptions, make_dev};
use holdfast_records::{LedgerRow, Record as _};
use holdfast_store::StateStore as _;
use holdfast_types::{Revision, Value};

use crate::scene::{HOME, archives, is_vault, names, somewhere, state_opens, whole_or_absent};

#[test]
fn a_killed_first_start_is_finished_by_the_next() {
    let wanted = crash_images_wanted(25);
    let mem = somewhere();
    let options = DevOptions { home: Path::new(HOME).join("demo"), listen: None };
    let home = options.home.as_path();
    let recorder = mem.recorder();
    let vault = make_dev(&mem.shared(), &options).unwrap().expect("made");
    assert!(vault.first.is_some());
    let done = recorder.len();
    let read = |name: &str| read_to_vec(&mem, &home.join(name), 1 << 16).unwrap();
    let kept = ["custodian.asc", "soft.key", "context.toml"].map(|name| (name, read(name)));
    let (mut count, mut again, mut point) = (0, 0, usize::MAX);
    for image in recorder.images(recorder.per_point(wanted, 1), 22) {
        let what = format!("operation {} of {done}, {:?}", image.at, image.damage);
        for (name, content) in &kept {
            whole_or_absent(&image.fs, &home.join(name), content, &what);
        }
        let whole = is_vault(&image.fs, &home.join("data"), &what);
        archives(&image.fs, &home.join("archives"), &vault.signer, &what);
        // What lasts longest is sampled; where the vault is not whole every point is tried.
        let closer = if whole { count % 11 == 0 } else { point != image.at || count % 3 == 0 };
        point = image.at;
        if closer {
            let custodian = read_to_vec(&image.fs, &home.join("custodian.asc"), 1 << 16).ok();
            let made = make_dev(&image.fs.shared(), &options);
            let made = made.unwrap_or_else(|error| panic!("{what}: {error}: {:?}", error.next));
            assert!(whole || made.is_some(), "{what}: something was made");
            let signer = if whole { &vault.signer } else { &made.as_ref().unwrap().signer };
            let failed = made.as_ref().and_then(|made| made.first_failed.as_ref());
            assert_eq!(failed, None, "{what}");
            assert!(
                !archives(&image.fs, &home.join("archives"), signer, &what).is_empty(),
                "{what}"
            );
            assert!(is_drilled(&image.fs, &home.join("data"), &what), "{what}: no full drill");
            let names = names(&image.fs, home);
            let expected = ["archives", "context.toml", "custodian.asc", "data", "soft.key"];
            assert_eq!(names, expected, "{what}");
            if let Some(custodian) = custodian {
                let now = read_to_vec(&image.fs, &home.join("custodian.asc"), 1 << 16).unwrap();
                assert!(now == custodian, "{what}: the custodian's key was replaced");
            }
            assert!(make_dev(&image.fs.shared(), &options).unwrap().is_none(), "{what}: again");
            again += 1;
        }
        count += 1;
    }
    println!("{count} crash images of a first start ({again} finished)");
    assert!(count >= wanted && again > 50, "{count}, {again}");
}

/// Whether the ledger knows a full drill.
fn is_drilled(fs: &Mem, data: &Path, what: &str) -> bool {
    let (store, _) = state_opens(fs, data, Revision::ZERO, what);
    let mut drilled = false;
    let look = &mut |key: &[u8], value: Value| {
        let row = LedgerRow::decode(value.schema, key, &value.body).unwrap();
        let entry = Entry::decode(&row.entry).unwrap();
        drilled |= matches!(entry.kind, EntryKind::Drilled { mode: DrillMode::Full, .. });
        ControlFlow::Continue(())
    };
    store.view().scan_live(LedgerRow::TABLE, &[], look).unwrap();
    drilled
}

#[test]
fn a_directory_that_is_not_its_own_is_left_alone() {
    let mem = somewhere();
    let options = DevOptions { home: Path::new(HOME).join("demo"), listen: None };
    holdfast_fs::write_new(&mem, &options.home.join("custodian.asc"), b"all that opens it")
        .unwrap();
    let refused = make_dev(&mem.shared(), &options).unwrap_err();
    assert_eq!(refused.kind, holdfast_types::Kind::Exists);
    assert_eq!(names(&mem, &options.home), ["custodian.asc"]);
    assert!(!mem.exists(&options.home.join("MAKING")).unwrap());
}
