//! How the machine and its readers see rows, whoever stores them.

use std::ops::ControlFlow;

use holdfast_types::{Row, Table, Value, hex};

use crate::Head;

/// All tables at one revision. Cheap to hold, unaffected by later commits.
pub trait View {
    /// Where this view stands.
    fn head(&self) -> &Head;

    /// One row; a deleted one comes back as its tombstone.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, ReadError>;

    /// The rows of `table` with keys from `from` on, ascending, tombstones included, until `each`
    /// breaks.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError>;
}

/// What every [`View`] can do.
pub trait ViewExt: View {
    /// One row, if it is not deleted.
    fn live(&self, table: Table, key: &[u8]) -> Result<Option<Value>, ReadError> {
        Ok(self.get(table, key)?.filter(|value| !value.is_tombstone()))
    }

    /// The rows whose keys begin with `prefix`, ascending, tombstones included. `each` gets the
    /// whole key.
    fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.scan(table, prefix, &mut |key, value| {
            if key.starts_with(prefix) { each(key, value) } else { ControlFlow::Break(()) }
        })
    }

    /// As [`Self::scan_prefix`], without the tombstones.
    fn scan_live(
        &self,
        table: Table,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.scan_prefix(table, prefix, &mut |key, value| {
            if value.is_tombstone() { ControlFlow::Continue(()) } else { each(key, value) }
        })
    }
}

impl<V: View + ?Sized> ViewExt for V {}

/// Stored rows could not be read: the operator's turn.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not those that were written.
    #[error("row {} of table {table} is damaged: {why}", hex::encode(key))]
    Damaged {
        /// Its table.
        table: Table,
        /// Its key.
        key: Vec<u8>,
        /// What is wrong.
        why: &'static str,
    },
    /// The store below said so.
    #[error("read state: {0}")]
    Io(String),
}

/// Takes rows sorted by (table, key), into an empty place: a restore, a snapshot of a peer.
pub trait RowSink {
    /// The next row.
    fn put(&mut self, row: &Row) -> Result<(), SinkError>;
}

/// A row could not be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkError {
    /// Not after the row before: the source's fault.
    #[error("row {} of table {table} is out of order", hex::encode(key))]
    OutOfOrder {
        /// Its table.
        table: Table,
        /// Its key.
        key: Vec<u8>,
    },
    /// No space left.
    #[error("no space left: {0}")]
    NoSpace(String),
    /// The store below said so.
    #[error("store row: {0}")]
    Failed(String),
}
