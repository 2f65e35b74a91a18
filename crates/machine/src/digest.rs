//! The digest of a state: a homomorphic hash per table (LtHash), BLAKE3 over the tables.
//!
//! An element is 1024 little-endian `u16` of BLAKE3's output, in key-derivation mode, over one row;
//! a table's sum adds its rows' elements modulo 2^16, so that a changed row costs one subtraction
//! and one addition and the order of rows does not matter. Source: Bellare and Micciancio, "A New
//! Paradigm for Collision-Free Hashing" (1997), LtHash with n = 1024 and 16 bits.
//!
//! A digest carried along proves equal commands; only one recomputed by [`Digester`] from rows read
//! back proves intact storage.

mod xof;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use holdfast_types::{Row, Table, TableClass, Value, hex};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::TableHead;
use xof::Xof;

/// Lanes of the sum.
const LANES: usize = 1024;
/// Bytes of an element and of an encoded sum.
const SUM_BYTES: usize = LANES * 2;
/// BLAKE3 key-derivation context of an element.
const CONTEXT: &str = "holdfast state v1";

/// The sum of a table's elements. Cheap to clone; copied when changed while shared.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Arc<[u16; LANES]>);

impl LtHash {
    /// The encoded sum's length, in bytes.
    pub const BYTES: usize = SUM_BYTES;

    /// Adds a row.
    pub fn add(&mut self, table: Table, key: &[u8], value: &Value) {
        self.each(table, key, value, u16::wrapping_add);
    }

    /// Adds the rows that `other` has.
    pub fn merge(&mut self, other: &Self) {
        let sum = Arc::make_mut(&mut self.0);
        for (lane, other) in sum.iter_mut().zip(other.0.iter()) {
            *lane = lane.wrapping_add(*other);
        }
    }

    /// Takes a row away that was added.
    pub fn remove(&mut self, table: Table, key: &[u8], value: &Value) {
        self.each(table, key, value, u16::wrapping_sub);
    }

    /// Each lane becomes what `with` makes of it and the lane of the row's element.
    fn each(&mut self, table: Table, key: &[u8], value: &Value, with: impl Fn(u16, u16) -> u16) {
        let mut element = [0; SUM_BYTES];
        fill_element(table, key, value, &mut element);
        let sum = Arc::make_mut(&mut self.0);
        for (lane, bytes) in sum.iter_mut().zip(element.as_chunks::<2>().0) {
            *lane = with(*lane, u16::from_le_bytes(*bytes));
        }
    }

    /// The lanes as little-endian bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect()
    }

    /// Reads [`Self::to_bytes`]; `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != SUM_BYTES {
            return None;
        }
        let mut sum = [0; LANES];
        for (lane, bytes) in sum.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = u16::from_le_bytes([bytes[0], bytes[1]]);
        }
        Some(Self(Arc::new(sum)))
    }
}

impl Default for LtHash {
    fn default() -> Self {
        Self(Arc::new([0; LANES]))
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LtHash({})", blake3::hash(&self.to_bytes()))
    }
}

impl Serialize for LtHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for LtHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        Self::from_bytes(bytes).ok_or_else(|| de::Error::invalid_length(bytes.len(), &"2048 bytes"))
    }
}

/// `table u8 | keylen u16 | key | schema u8 | rev u64 | at u64 | body`, integers big-endian, hashed
/// to [`SUM_BYTES`].
fn fill_element(table: Table, key: &[u8], value: &Value, out: &mut [u8; SUM_BYTES]) {
    static ELEMENTS: OnceLock<Xof> = OnceLock::new();
    let key_len = u16::try_from(key.len()).expect("apply and the store bound keys to 256 bytes");
    let mut bytes = Vec::with_capacity(3 + key.len() + 17 + value.body.len());
    bytes.push(table.0);
    bytes.extend_from_slice(&key_len.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.push(value.schema);
    bytes.extend_from_slice(&value.rev.0.to_be_bytes());
    bytes.extend_from_slice(&value.at.0.to_be_bytes());
    bytes.extend_from_slice(&value.body);
    ELEMENTS.get_or_init(|| Xof::new(CONTEXT)).fill(&bytes, out);
}

/// The digest of all rows of one class of tables. Written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// BLAKE3 over `table u8 | rows u64 | BLAKE3(sum)` of the class's tables that have rows, in
    /// table order.
    #[must_use]
    pub fn of(tables: &BTreeMap<Table, TableHead>, class: TableClass) -> Self {
        let mut hasher = blake3::Hasher::new();
        let of_class = |table: &Table, head: &TableHead| table.class() == class && head.rows > 0;
        for (table, head) in tables.iter().filter(|(table, head)| of_class(table, head)) {
            hasher.update(&[table.0]);
            hasher.update(&head.rows.to_be_bytes());
            hasher.update(blake3::hash(&head.sum.to_bytes()).as_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Recomputes a head's tables from rows read back, in any order, each row once.
#[derive(Clone, Default, Debug)]
pub struct Digester {
    tables: BTreeMap<Table, TableHead>,
}

impl Digester {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a row in; rows of local tables are in no digest and are passed over.
    pub fn add(&mut self, row: &Row) {
        if row.table.class() != TableClass::Local {
            self.tables.entry(row.table).or_default().add(row.table, &row.key, &row.value);
        }
    }

    /// Counts in what `other` read: other rows of the same state, in whatever order.
    pub fn merge(&mut self, other: Self) {
        for (table, head) in other.tables {
            self.tables.entry(table).or_default().merge(&head);
        }
    }

    /// The tables that have rows.
    #[must_use]
    pub fn finish(self) -> BTreeMap<Table, TableHead> {
        self.tables
    }
}
