//! The log's two small files: the vote, and the base (where the log begins, and its era).

use std::path::{Path, PathBuf};

use holdfast_fs::{Fs, read_to_vec, write_atomic};
use holdfast_machine::LogId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::record::u64_at;
use crate::StoreError;

/// Most bytes of a small file.
const BYTES_MAX: usize = 1 << 16;
const BASE_SEED: u64 = 2;
const VOTE_SEED: u64 = 3;

/// Where the log begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Base {
    /// Raised by every reset.
    pub(crate) era: u64,
    /// The last entry that is no longer in the log.
    pub(crate) purged: Option<LogId>,
    /// Entries from this index on are being cut: whatever is found of them is void.
    pub(crate) cut: u64,
}

/// No entry is being cut.
pub(crate) const NO_CUT: u64 = u64::MAX;

impl Default for Base {
    fn default() -> Self {
        Self { era: 0, purged: None, cut: NO_CUT }
    }
}

impl Base {
    pub(crate) fn load(fs: &dyn Fs, dir: &Path) -> Result<Self, StoreError> {
        let path = path(dir);
        let Some(body) = load(fs, &path, BASE_SEED)? else { return Ok(Self::default()) };
        if body.len() != 48 {
            return Err(StoreError::corrupt(&path, "wrong length"));
        }
        let id =
            LogId { term: u64_at(&body, 16), node: u64_at(&body, 24), index: u64_at(&body, 32) };
        Ok(Self {
            era: u64_at(&body, 0),
            purged: (u64_at(&body, 8) == 1).then_some(id),
            cut: u64_at(&body, 40),
        })
    }

    pub(crate) fn save(&self, fs: &dyn Fs, dir: &Path) -> Result<(), StoreError> {
        let id = self.purged.unwrap_or(LogId { term: 0, node: 0, index: 0 });
        let has = u64::from(self.purged.is_some());
        let body: Vec<u8> = [self.era, has, id.term, id.node, id.index, self.cut]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect();
        save(fs, &path(dir), &body, BASE_SEED)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("base")
}

pub(crate) fn load_vote(fs: &dyn Fs, dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    load(fs, &dir.join("vote"), VOTE_SEED)
}

pub(crate) fn save_vote(fs: &dyn Fs, dir: &Path, vote: &[u8]) -> Result<(), StoreError> {
    save(fs, &dir.join("vote"), vote, VOTE_SEED)
}

/// `body | xxh3-64`, replaced atomically.
fn save(fs: &dyn Fs, path: &Path, body: &[u8], seed: u64) -> Result<(), StoreError> {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&xxh3_64_with_seed(body, seed).to_le_bytes());
    Ok(write_atomic(fs, path, &bytes)?)
}

fn load(fs: &dyn Fs, path: &Path, seed: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = match read_to_vec(fs, path, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let whole = bytes
        .split_last_chunk()
        .is_some_and(|(body, sum)| u64::from_le_bytes(*sum) == xxh3_64_with_seed(body, seed));
    if !whole {
        return Err(StoreError::corrupt(path, "wrong checksum"));
    }
    bytes.truncate(bytes.len() - 8);
    Ok(Some(bytes))
}
