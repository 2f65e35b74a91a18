//! The revision index: who did what at each revision, and which rows were last written there.

use std::ops::ControlFlow;

use holdfast_machine::{Changes, ReadError, View};
use holdfast_types::{IdentityId, Millis, Revision, Table, TxnId};
use serde::{Deserialize, Serialize};

use crate::rows::open;

/// What is remembered of an accepted transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct IndexEntry {
    /// The transaction: a retry with the same id has succeeded.
    pub txn: TxnId,
    /// Who asked.
    pub actor: IdentityId,
    /// What was asked.
    pub verb: u16,
    /// State time of the revision.
    pub at: Millis,
}

impl IndexEntry {
    pub(crate) fn of(changes: &Changes) -> Self {
        let Changes { txn, actor, verb, at, .. } = *changes;
        Self { txn, actor, verb, at }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("fixed fields can be encoded")
    }
}

/// Gets the raw index row by row.
pub type EachRaw<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Gets (revision, table, key) of changed rows.
pub type EachChange<'a> = &'a mut dyn FnMut(Revision, Table, &[u8]) -> ControlFlow<()>;

/// A view that can be asked for its revision index. Stores implement it; readers use
/// [`changes_since`] and [`index_entry`].
pub trait IndexView: View {
    /// The raw index from `from` on, ascending, until `each` breaks.
    fn scan_index(&self, from: &[u8], each: EachRaw<'_>) -> Result<(), ReadError>;
}

/// The changes asked for are not all known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangesError {
    /// Changes before `floor` are not known: take a base instead.
    #[error("changes since revision {asked} are not known, only since {floor}")]
    BelowFloor {
        /// The revision asked for.
        asked: Revision,
        /// The oldest that can be asked for.
        floor: Revision,
    },
    /// The index cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The rows last written after `after`, as (revision, table, key), ascending, until `each` breaks.
/// A row appears once, at its last revision.
///
/// Errors: [`ChangesError::BelowFloor`] when the index or the tombstones do not reach back so far.
pub fn changes_since(
    view: &impl IndexView,
    after: Revision,
    each: EachChange<'_>,
) -> Result<(), ChangesError> {
    let floor = view.head().prune_floor.max(view.head().index_floor);
    if after < floor {
        return Err(ChangesError::BelowFloor { asked: after, floor });
    }
    let mut damage = None;
    view.scan_index(&entry_key(after.next()), &mut |key, value| {
        if let Err(error) = open(Table::LOCAL_INDEX, key, value) {
            damage = Some(error);
            return ControlFlow::Break(());
        }
        let (rev, rest) = key.split_at(8.min(key.len()));
        match (<[u8; 8]>::try_from(rev), rest.split_first()) {
            (Ok(rev), Some((table, key))) => {
                each(Revision(u64::from_be_bytes(rev)), Table(*table), key)
            }
            // The revision's own entry.
            _ => ControlFlow::Continue(()),
        }
    })?;
    damage.map_or(Ok(()), |error| Err(error.into()))
}

/// What is remembered of a revision; `None` below the index's floor and above the head.
pub fn index_entry(
    view: &impl IndexView,
    revision: Revision,
) -> Result<Option<IndexEntry>, ReadError> {
    let wanted = entry_key(revision);
    let mut found = Ok(None);
    view.scan_index(&wanted, &mut |key, value| {
        if key == wanted {
            found =
                open(Table::LOCAL_INDEX, key, value).and_then(|bytes| decode(key, bytes)).map(Some);
        }
        ControlFlow::Break(())
    })?;
    found
}

fn decode(key: &[u8], bytes: &[u8]) -> Result<IndexEntry, ReadError> {
    postcard::from_bytes(bytes).map_err(|_| ReadError::Damaged {
        table: Table::LOCAL_INDEX,
        key: key.to_vec(),
        why: "not an index entry",
    })
}

pub(crate) fn entry_key(revision: Revision) -> [u8; 8] {
    revision.0.to_be_bytes()
}

pub(crate) fn row_index_key(revision: Revision, table: Table, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + key.len());
    bytes.extend_from_slice(&entry_key(revision));
    bytes.push(table.0);
    bytes.extend_from_slice(key);
    bytes
}
