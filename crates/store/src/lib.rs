//! What a node keeps: the state, Raft's log, and the data directory around them.
//!
//! The state's contract, which both stores keep ([`DiskStore`] and, in memory for tests,
//! [`SimStore`]):
//!
//! - A [`StateStore::commit`] is atomic and visible to the views taken after it, and not yet durable.
//! - After any crash the state equals *exactly* some committed log id at or after the last
//!   [`StateStore::checkpoint`], in all tables at once, or opening says [`StoreError::Corrupt`].
//! - A view shows all tables at one revision, for as long as it is held.
//! - Every value is read with its own checksum.
//!
//! The revision index holds, for each revision above the head's `index_floor`, who did what
//! ([`index_entry`]), and which rows were last written there ([`changes_since`]).

mod backend;
pub mod data;
mod disk;
mod error;
mod fence;
mod index;
mod load;
pub mod log;
mod rows;
mod sim;

use std::sync::Arc;

use holdfast_machine::{Changes, Head, LogId, View};
use serde::{Deserialize, Serialize};

pub use data::{DataDir, Marker};
pub use disk::{CACHE_BYTES_DEFAULT, DiskStore, DiskView};
pub use error::StoreError;
pub use fence::Fence;
pub use index::{
    ChangesError, EachChange, EachRaw, IndexEntry, IndexView, changes_since, index_entry,
};
pub use load::Loader;
pub use sim::{SimStore, SimView};

/// How far the log is in the state, and who the cluster's members are.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// The last entry applied.
    pub log: Option<LogId>,
    /// The membership, in the cluster's encoding.
    pub membership: Vec<u8>,
}

/// The state's store. One writer; views are read by anyone.
pub trait StateStore: Send {
    /// All tables at one revision.
    type View: View + IndexView + Clone + Send + Sync + 'static;

    /// The state as committed. O(1).
    fn view(&self) -> Self::View;

    /// How far the log is in the state as committed.
    fn applied(&self) -> Applied;

    /// Stores what a batch of commands did, and where that leaves the state: atomic, visible on
    /// return, durable only with the next checkpoint. Maintains the revision index.
    ///
    /// After an error nothing of it is visible, and the store takes no more writes.
    fn commit(
        &mut self,
        applied: Applied,
        changes: &[Arc<Changes>],
        head: &Head,
    ) -> Result<(), StoreError>;

    /// Makes every commit durable; the last entry that is durable now. The log may be purged up to it.
    fn checkpoint(&mut self) -> Result<Option<LogId>, StoreError>;

    /// Bytes of keys and values written since the last checkpoint.
    fn dirty_bytes(&self) -> u64;
}
