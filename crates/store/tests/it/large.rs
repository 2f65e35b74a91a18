//! Loads so large that they are read back in parts, on every core.

use std::path::Path;

use holdfast_fs::Mem;
use holdfast_machine::{Digester, RowSink as _, View as _};
use holdfast_store::{Applied, DiskStore, StateStore as _};
use holdfast_types::{Millis, Revision, Row, Table, Value};

use crate::support::head;

/// Of two tables.
fn rows(count: u32) -> impl Iterator<Item = Row> {
    (0..count).map(move |n| {
        let table = if n < count / 5 { Table::KEYS } else { Table::KEY_VERSIONS };
        let body = n.to_le_bytes().repeat(5);
        let value = Value { schema: 1, rev: Revision(1 + u64::from(n)), at: Millis(1), body };
        Row { table, key: n.to_be_bytes().to_vec(), value }
    })
}

#[test]
fn every_row_of_a_large_load_is_read_back_once() {
    // Parts have 16384 rows.
    for count in [16_383, 16_384, 16_385, 32_768, 50_000] {
        let mem = Mem::new();
        let loader = DiskStore::loader(mem.shared(), Path::new("/s"), head(), Applied::default());
        let mut loader = loader.expect("an empty directory");
        rows(count).for_each(|row| loader.put(&row).expect("sorted rows"));
        let store = loader.finish(None).expect("whole");
        let mut digester = Digester::new();
        rows(count).for_each(|row| digester.add(&row));
        assert_eq!(store.view().head().tables, digester.finish(), "{count} rows");
    }
}
