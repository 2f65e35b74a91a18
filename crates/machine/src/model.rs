//! A state in memory: the simplest thing that is a [`View`]. For tests here and above, and the
//! oracle of the store's conformance suite.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use holdfast_types::{Epoch, Row, Table, Value};

use crate::{
    Batch, Changes, Command, Digester, Head, Outcome, ReadError, RowSink, SinkError, View,
};

/// Rows and a head in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    head: Head,
    rows: BTreeMap<Table, BTreeMap<Vec<u8>, Value>>,
}

impl Model {
    /// An empty state at the beginning of an epoch.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { head: Head::new(epoch), rows: BTreeMap::new() }
    }

    /// Applies one command, and stores what it changed.
    pub fn apply(&mut self, command: &Command) -> (Outcome, Option<Arc<Changes>>) {
        let mut batch = Batch::new(self);
        let result = batch.apply(command).expect("memory can be read");
        let (head, changes) = batch.finish();
        self.commit(head, &changes);
        result
    }

    /// Stores what a batch ended with.
    pub fn commit(&mut self, head: Head, changes: &[Arc<Changes>]) {
        for row in changes.iter().flat_map(|changes| &changes.rows) {
            self.rows.entry(row.table).or_default().insert(row.key.clone(), row.value.clone());
        }
        self.head = head;
    }

    /// Sets where it stands, after rows were put; the tables are those of the rows.
    pub fn set_head(&mut self, head: Head) {
        let mut digester = Digester::new();
        self.rows().for_each(|row| digester.add(&row));
        self.head = Head { tables: digester.finish(), ..head };
    }

    /// Every row, by table and key.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.rows.iter().flat_map(|(table, rows)| {
            rows.iter().map(|(key, value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
        })
    }
}

impl View for Model {
    fn head(&self) -> &Head {
        &self.head
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, ReadError> {
        Ok(self.rows.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let Some(rows) = self.rows.get(&table) else { return Ok(()) };
        for (key, value) in rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if each(key, value.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl RowSink for Model {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        let out_of_order = SinkError::OutOfOrder { table: row.table, key: row.key.clone() };
        if let Some((last_table, rows)) = self.rows.last_key_value() {
            let last_key = rows.last_key_value().map(|(key, _)| key);
            if (*last_table, last_key) >= (row.table, Some(&row.key)) {
                return Err(out_of_order);
            }
        }
        self.rows.entry(row.table).or_default().insert(row.key.clone(), row.value.clone());
        let tables = self.head.tables.entry(row.table).or_default();
        tables.add(row.table, &row.key, &row.value);
        Ok(())
    }
}
