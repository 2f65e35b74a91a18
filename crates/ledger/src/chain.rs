//! The chain: each entry names the one before.

use holdfast_types::{Millis, hex};

use crate::{Entry, EntryKind};

/// How far a ledger goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Hash of the last one; zeros without any.
    pub hash: [u8; 32],
}

/// The first place where a ledger is not a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger breaks at entry {seq}: {why}")]
pub struct Broken {
    /// The entry that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub why: &'static str,
}

impl Head {
    /// The head after `entry`, which is the last one.
    #[must_use]
    pub fn after(entry: &Entry) -> Self {
        // A damaged number must not stop the program; the chain refuses it.
        Self { size: entry.seq.saturating_add(1), hash: entry.hash() }
    }

    /// The head after `entry`, if that is the one that comes next.
    ///
    /// Errors: it is another one, or does not name the one before.
    pub fn follow(self, entry: &Entry) -> Result<Self, Broken> {
        let broken = |why| Err(Broken { seq: self.size, why });
        if entry.seq != self.size {
            return broken("another entry stands there");
        }
        if entry.prev != self.hex() {
            return broken("it does not name the entry before");
        }
        Ok(Self::after(entry))
    }

    /// The hash in lower-case hex.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(&self.hash)
    }
}

/// The entry that follows `head`. Times do not go back: callers pass the state's time.
#[must_use]
pub fn append(head: &Head, at: Millis, kind: EntryKind) -> Entry {
    Entry { at, kind, prev: head.hex(), seq: head.size }
}

/// Checks a ledger from its first entry on.
///
/// Errors: the first entry that is missing, out of order, or does not name the one before.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Head, Broken> {
    entries.into_iter().try_fold(Head::default(), Head::follow)
}
