//! How rows, the index and the node's own rows are laid out in the B-tree's three trees.
//!
//! ```text
//! rows    table u8 | key                → value, as `machine::rowcodec` encodes it
//! index   rev u64                       → IndexEntry | xxh3
//!         rev u64 | table u8 | key      → xxh3
//! local   e0 "head"                     → head without tables | xxh3
//!         e0 "table" table u8           → its part of the head | xxh3
//!         e0 "applied"                  → Applied | xxh3
//!         e3 key                        → value | xxh3
//! ```
//!
//! Integers in keys are big-endian. Each checksum is XXH3-64 over the key and the value before it.

use std::path::Path;
use std::sync::Arc;

use holdfast_machine::{Changes, Head, HeadError, ReadError, TableHead, rowcodec};
use holdfast_types::Table;
use xxhash_rust::xxh3::Xxh3;

use crate::index::{IndexEntry, entry_key, row_index_key};
use crate::{Applied, StoreError};

/// A tree of the B-tree file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tree {
    Rows,
    Index,
    Local,
}

/// A write: tree, key, and the value or its removal.
pub(crate) type Put<'a> = &'a mut dyn FnMut(Tree, &[u8], Option<&[u8]>) -> Result<(), StoreError>;

/// The key of a row.
pub(crate) fn row_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.push(table.0);
    bytes.extend_from_slice(key);
    bytes
}

/// The writes of a commit's changes: rows, and the index.
pub(crate) fn put_changes(changes: &[Arc<Changes>], put: Put<'_>) -> Result<(), StoreError> {
    for changes in changes {
        let entry = IndexEntry::of(changes);
        let key = entry_key(changes.revision);
        put(Tree::Index, &key, Some(&seal(&key, &entry.encode())))?;
        for (row, old) in changes.rows.iter().zip(&changes.old) {
            if let Some(old) = old {
                // A row is in the index once, at its last revision.
                put(Tree::Index, &row_index_key(old.rev, row.table, &row.key), None)?;
            }
            let value = rowcodec::encode_value(row.table, &row.key, &row.value);
            put(Tree::Rows, &row_key(row.table, &row.key), Some(&value))?;
            let key = row_index_key(row.value.rev, row.table, &row.key);
            put(Tree::Index, &key, Some(&seal(&key, &[])))?;
        }
    }
    Ok(())
}

/// The writes that move the head: only the tables' parts that changed since `before`.
pub(crate) fn put_head(
    before: Option<&Head>,
    head: &Head,
    applied: &Applied,
    put: Put<'_>,
) -> Result<(), StoreError> {
    for (table, part) in &head.tables {
        if before.and_then(|before| before.tables.get(table)) != Some(part) {
            let bytes = postcard::to_allocvec(part).expect("a table's head can be encoded");
            put_local(&table_key(*table), &bytes, put)?;
        }
    }
    let bare = Head { tables: std::collections::BTreeMap::new(), ..head.clone() };
    put_local(&head_key(), &bare.encode(), put)?;
    let bytes = postcard::to_allocvec(applied).expect("a log position can be encoded");
    put_local(&applied_key(), &bytes, put)
}

pub(crate) fn put_local(key: &[u8], value: &[u8], put: Put<'_>) -> Result<(), StoreError> {
    put(Tree::Local, key, Some(&seal(key, value)))
}

/// Reads head and log position back from the local tree's rows.
pub(crate) fn load_head(
    path: &Path,
    mut rows: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>>,
) -> Result<(Head, Applied), StoreError> {
    let corrupt = |why: &str| StoreError::corrupt(path, why);
    let (mut head, mut applied, mut tables) = (None, None, Vec::new());
    rows.try_for_each(|row| {
        let (key, bytes) = row?;
        let value = open(Table::LOCAL_HEAD, &key, &bytes)?;
        if key == head_key() {
            head = Some(Head::decode(value).map_err(|error| head_error(path, &error))?);
        } else if key == applied_key() {
            let found: Applied =
                postcard::from_bytes(value).map_err(|_| corrupt("its log position"))?;
            applied = Some(found);
        } else if let Some(table) = table_of(&key) {
            let part: TableHead =
                postcard::from_bytes(value).map_err(|_| corrupt("a table's head"))?;
            tables.push((table, part));
        }
        Ok::<_, StoreError>(())
    })?;
    let mut head: Head = head.ok_or_else(|| corrupt("it has no head"))?;
    head.tables.extend(tables);
    Ok((head, applied.ok_or_else(|| corrupt("it has no log position"))?))
}

/// A version is a number: one this program has never had is not damage, as a checksum stands over it.
fn head_error(path: &Path, error: &HeadError) -> StoreError {
    match error {
        HeadError::UnknownVersion(found) if *found > 0 => {
            StoreError::Newer { path: path.to_path_buf(), found: u32::from(*found) }
        }
        error => StoreError::corrupt(path, error.to_string()),
    }
}

fn head_key() -> Vec<u8> {
    row_key(Table::LOCAL_HEAD, b"head")
}

fn applied_key() -> Vec<u8> {
    row_key(Table::LOCAL_HEAD, b"applied")
}

fn table_key(table: Table) -> Vec<u8> {
    row_key(Table::LOCAL_HEAD, &[b"table".as_slice(), &[table.0]].concat())
}

fn table_of(key: &[u8]) -> Option<Table> {
    match key.strip_prefix(row_key(Table::LOCAL_HEAD, b"table").as_slice())? {
        [table] => Some(Table(*table)),
        _ => None,
    }
}

/// `value | xxh3`.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(&checksum(key, value).to_be_bytes());
    bytes
}

/// Reads what [`seal`] wrote for the same key.
pub(crate) fn open<'b>(table: Table, key: &[u8], bytes: &'b [u8]) -> Result<&'b [u8], ReadError> {
    let whole = bytes
        .split_last_chunk()
        .filter(|(value, sum)| u64::from_be_bytes(**sum) == checksum(key, value));
    let (value, _) = whole.ok_or_else(|| ReadError::Damaged {
        table,
        key: key.to_vec(),
        why: "wrong checksum",
    })?;
    Ok(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(key);
    hasher.update(value);
    hasher.digest()
}
