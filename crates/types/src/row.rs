//! Rows of the state, and drafts of changes to them: plain data, shared by all who read or write.

use serde::{Deserialize, Serialize};

use crate::{Millis, Revision, Table};

/// A row's value. Schema 0 is a tombstone, with an empty body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// The schema that encodes `body`; 0 for a tombstone.
    pub schema: u8,
    /// The revision that wrote it.
    pub rev: Revision,
    /// State time of that revision.
    pub at: Millis,
    /// The encoded record; empty in a tombstone.
    pub body: Vec<u8>,
}

impl Value {
    /// Whether the row was deleted.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.schema == 0
    }
}

/// A row: where it stands and what it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its table.
    pub table: Table,
    /// Its key, without the table byte. Integers in it are big-endian.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Value,
}

/// A record's bytes with the schema (1..) that encoded them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Body {
    /// The schema; never 0.
    pub schema: u8,
    /// The encoded record.
    pub bytes: Vec<u8>,
}

/// What a transaction expects of a row before it may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// No such row, or a tombstone.
    Absent,
    /// The row is live and was last written at this revision.
    At(Revision),
}

/// What a proposer's rule decided: expectations and writes, not yet a transaction (no id, epoch,
/// time or actor). Every written key also stands in `expect`; a key is written at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Draft {
    /// Rows that must stand as the rule saw them.
    pub expect: Vec<(Table, Vec<u8>, Expect)>,
    /// Rows to write; `None` deletes.
    pub write: Vec<(Table, Vec<u8>, Option<Body>)>,
}

impl Draft {
    /// Expects and writes one row.
    pub fn put(&mut self, table: Table, key: Vec<u8>, expect: Expect, body: Body) {
        self.expect.push((table, key.clone(), expect));
        self.write.push((table, key, Some(body)));
    }

    /// Expects and deletes one row.
    pub fn delete(&mut self, table: Table, key: Vec<u8>, at: Revision) {
        self.expect.push((table, key.clone(), Expect::At(at)));
        self.write.push((table, key, None));
    }

    /// Only expects: the rule read this row and relies on it.
    pub fn require(&mut self, table: Table, key: Vec<u8>, expect: Expect) {
        self.expect.push((table, key, expect));
    }
}

/// One life of a vault: raised by every restore or forced recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Epoch {
    /// 1, 2, ...
    pub n: u32,
    /// The incarnation.
    pub id: crate::EpochId,
    /// The incarnation it came from; zeros for the first.
    pub parent: crate::EpochId,
    /// The revision it begins at, `n << 40`.
    pub base: Revision,
}
