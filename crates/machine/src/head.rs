//! Where a state stands.

use std::collections::BTreeMap;

use holdfast_types::{Epoch, Millis, Revision, Table, TableClass, Value};
use serde::{Deserialize, Serialize};

use crate::{Digest, LtHash};

/// The encoding this program writes.
const VERSION: u8 = 1;

/// One table's part of the head.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct TableHead {
    /// Rows, live ones and tombstones.
    pub rows: u64,
    /// Live rows.
    pub live: u64,
    /// The sum of all rows' elements.
    pub sum: LtHash,
}

impl TableHead {
    /// Counts a row in.
    pub fn add(&mut self, table: Table, key: &[u8], value: &Value) {
        self.rows += 1;
        self.live += u64::from(!value.is_tombstone());
        self.sum.add(table, key, value);
    }

    /// Counts in what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.live += other.live;
        self.sum.merge(&other.sum);
    }

    /// Counts a row out that was counted in.
    pub fn remove(&mut self, table: Table, key: &[u8], value: &Value) {
        self.rows -= 1;
        self.live -= u64::from(!value.is_tombstone());
        self.sum.remove(table, key, value);
    }
}

/// Where a state stands: revision, time, epoch, floors, and each table's count and sum.
///
/// Cloning copies no sums. Tables without rows do not appear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The last accepted transaction's.
    pub revision: Revision,
    /// State time of that revision; never goes back.
    pub at: Millis,
    /// The incarnation.
    pub epoch: Epoch,
    /// Tombstones older than this may be missing.
    pub prune_floor: Revision,
    /// The revision index has nothing at or below this.
    pub index_floor: Revision,
    /// Tables of the archived and the cluster class.
    pub tables: BTreeMap<Table, TableHead>,
}

/// Bytes are no head: the store is damaged, or a newer program wrote it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// A newer program wrote it.
    #[error("state head has encoding version {0}, this program knows 1")]
    UnknownVersion(u8),
    /// It does not parse.
    #[error("state head does not parse: {0}")]
    Malformed(String),
}

impl Head {
    /// An empty state at the beginning of an epoch.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self {
            revision: epoch.base,
            at: Millis(0),
            epoch,
            prune_floor: Revision::ZERO,
            index_floor: epoch.base,
            tables: BTreeMap::new(),
        }
    }

    /// The digest of the tables of one class.
    #[must_use]
    pub fn digest(&self, class: TableClass) -> Digest {
        Digest::of(&self.tables, class)
    }

    /// `version u8 | postcard`: about 2 KiB a table.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a head has only encodable fields")
    }

    /// Reads what [`Self::encode`] wrote, all of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let malformed = |why: &str| HeadError::Malformed(why.to_owned());
        let (version, body) = bytes.split_first().ok_or_else(|| malformed("it is empty"))?;
        if *version != VERSION {
            return Err(HeadError::UnknownVersion(*version));
        }
        let (head, rest) =
            postcard::take_from_bytes(body).map_err(|error| malformed(&error.to_string()))?;
        if rest.is_empty() { Ok(head) } else { Err(malformed("bytes follow it")) }
    }
}
