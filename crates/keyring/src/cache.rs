//! Unwrapped key versions: bounded, sharded by key id, evicted by a second-chance clock.
//!
//! A hit takes one shared lock for the time of a look-up and a 32-byte copy. The mark that a cell
//! was used is written only when it is not yet set, so that busy readers of one key do not fight
//! over its cache line.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_crypto::kcv::Kcv;
use holdfast_types::{KeyId, Version};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use crate::arena::{CELL_BYTES, Cells};

/// Shards, a power of two: more than the cores that fight over a lock.
const SHARDS: usize = 16;
/// Pages of each: 16 x 16 x 4 KiB = 1 MiB = 32 768 versions, an eighth of the usual lock limit.
const PAGES: usize = 16;

type Id = (KeyId, Version);

/// The cache.
pub struct Cache {
    shards: Box<[RwLock<Shard>]>,
}

struct Shard {
    cells: Cells,
    index: HashMap<Id, usize>,
    /// Whose secret is in a cell, with its check value.
    owners: Vec<Option<(Id, Kcv)>>,
    used: Vec<AtomicBool>,
    /// Where the clock's hand points: the next cell to look at.
    hand: usize,
}

impl Cache {
    pub fn new() -> Self {
        Self::with_pages(SHARDS, PAGES)
    }

    fn with_pages(shards: usize, pages: usize) -> Self {
        Self { shards: (0..shards).map(|_| RwLock::new(Shard::new(pages))).collect() }
    }

    /// The secret of a version, if it is here and fits the check value.
    pub fn get(&self, id: Id, kcv: &Kcv) -> Option<Zeroizing<[u8; CELL_BYTES]>> {
        let shard = self.shard(id.0).read();
        let cell = *shard.index.get(&id)?;
        if shard.owners[cell].is_none_or(|(_, own)| own != *kcv) {
            return None;
        }
        if !shard.used[cell].load(Ordering::Relaxed) {
            shard.used[cell].store(true, Ordering::Relaxed);
        }
        Some(shard.cells.read(cell))
    }

    /// Keeps a secret, in place of the least used if the shard is full.
    pub fn put(&self, id: Id, kcv: Kcv, secret: &[u8; CELL_BYTES]) {
        self.shard(id.0).write().put(id, kcv, secret);
    }

    /// Wipes every version of a key.
    pub fn forget(&self, key: KeyId) {
        self.shard(key).write().forget(key);
    }

    fn shard(&self, key: KeyId) -> &RwLock<Shard> {
        // Ids are random; any byte spreads them.
        &self.shards[usize::from(key.0[15]) % self.shards.len()]
    }
}

impl Shard {
    fn new(pages: usize) -> Self {
        let cells = Cells::new(pages);
        let owners = vec![None; cells.len()];
        let used = (0..cells.len()).map(|_| AtomicBool::new(false)).collect();
        Self { cells, index: HashMap::new(), owners, used, hand: 0 }
    }

    fn put(&mut self, id: Id, kcv: Kcv, secret: &[u8; CELL_BYTES]) {
        let cell = self.index.get(&id).copied().unwrap_or_else(|| self.free_cell());
        self.cells.write(cell, secret);
        self.owners[cell] = Some((id, kcv));
        self.index.insert(id, cell);
        // Not marked: a version that is used only once must not push out one that is used often.
        self.used[cell].store(false, Ordering::Relaxed);
    }

    /// A cell that nobody owns, after at most two turns of the hand.
    fn free_cell(&mut self) -> usize {
        loop {
            let cell = self.hand;
            self.hand = (cell + 1) % self.cells.len();
            let second_chance = self.used[cell].swap(false, Ordering::Relaxed);
            match self.owners[cell] {
                Some(_) if second_chance => {}
                Some((id, _)) => {
                    self.index.remove(&id);
                    self.clear(cell);
                    return cell;
                }
                None => return cell,
            }
        }
    }

    fn forget(&mut self, key: KeyId) {
        let gone: Vec<_> = self.index.extract_if(|(owner, _), _| *owner == key).collect();
        for (_, cell) in gone {
            self.clear(cell);
        }
    }

    fn clear(&mut self, cell: usize) {
        self.cells.wipe(cell);
        self.owners[cell] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::CELLS_PER_PAGE;

    fn id(n: usize) -> Id {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        (KeyId(bytes), Version(1))
    }

    fn has(cache: &Cache, n: usize) -> bool {
        cache.get(id(n), &[1; 8]).is_some()
    }

    #[test]
    fn full_means_evict_the_unused() {
        let cache = Cache::with_pages(1, 1);
        for n in 0..CELLS_PER_PAGE {
            cache.put(id(n), [1; 8], &[7; 32]);
        }
        assert!(has(&cache, 0), "and marks it as used");
        cache.put(id(1_000), [1; 8], &[7; 32]);
        assert!(has(&cache, 0) && has(&cache, 1_000));
        assert!(!has(&cache, 1), "the first that nobody used");
        for n in 2_000..2_000 + 3 * CELLS_PER_PAGE {
            cache.put(id(n), [1; 8], &[7; 32]);
        }
        let shard = cache.shards[0].read();
        assert_eq!(shard.index.len(), CELLS_PER_PAGE, "bounded");
        assert!(
            shard.index.iter().all(|(id, cell)| shard.owners[*cell].is_some_and(|o| o.0 == *id))
        );
    }

    #[test]
    fn forgotten_versions_are_wiped() {
        let cache = Cache::with_pages(1, 1);
        let (key, other) = (id(1).0, id(2).0);
        for version in 1..4 {
            cache.put((key, Version(version)), [1; 8], &[7; 32]);
        }
        cache.put((other, Version(1)), [1; 8], &[8; 32]);
        cache.forget(key);
        assert!(cache.get((key, Version(2)), &[1; 8]).is_none());
        assert!(cache.get((other, Version(1)), &[1; 8]).is_some());
        let shard = cache.shards[0].read();
        let sevens = (0..shard.cells.len()).filter(|cell| *shard.cells.read(*cell) == [7; 32]);
        assert_eq!(sevens.count(), 0);
    }

    #[test]
    fn another_check_value_is_a_miss() {
        let cache = Cache::with_pages(1, 1);
        cache.put(id(1), [1; 8], &[7; 32]);
        assert!(cache.get(id(1), &[2; 8]).is_none());
        cache.put(id(1), [2; 8], &[9; 32]);
        assert_eq!(cache.get(id(1), &[2; 8]).as_deref(), Some(&[9; 32]));
        assert_eq!(cache.shards[0].read().index.len(), 1);
    }
}
