//! Unwrapped key versions: bounded, sharded by key id, evicted by a second-chance clock.
//!
//! A hit takes one shared lock for the time of a look-up and a 32-byte copy. The mark that a cell
//! was used is written only when it is not yet set, so that busy readers of one key do not fight
//! over its cache line.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_crypto::AtHand;
use holdfast_crypto::kcv::Kcv;
use holdfast_types::{KeyId, Version};
use parking_lot::RwLock;

use crate::arena::{CELL_BYTES, Cells};

type Id = (KeyId, Version);

/// The cache.
pub struct Cache {
    shards: Box<[RwLock<Shard>]>,
}

struct Shard {
    cells: Cells,
    /// Each key's versions, ascending, and the cells that hold them. By key, so that forgetting one
    /// looks at nothing else: every creation and rotation does.
    index: HashMap<KeyId, Vec<(Version, usize)>>,
    /// Whose secret is in a cell, with its check value.
    owners: Vec<Option<(Id, Kcv)>>,
    used: Vec<AtomicBool>,
    /// Where the clock's hand points: the next cell to look at.
    hand: usize,
}

impl Cache {
    /// A shard for each run of cells, as many versions as there are cells. There is at least one run.
    pub fn new(runs: impl IntoIterator<Item = Cells>) -> Self {
        Self { shards: runs.into_iter().map(|cells| RwLock::new(Shard::new(cells))).collect() }
    }

    /// The secret of a version, if it is here and fits the check value.
    pub fn get(&self, id: Id, kcv: &Kcv) -> Option<AtHand<CELL_BYTES>> {
        let shard = self.shard(id.0).read();
        let cell = shard.find(id)?;
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

    /// How many versions are here.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().index.values().map(Vec::len).sum::<usize>())
            .sum()
    }

    /// Wipes every version of a key.
    pub fn forget(&self, key: KeyId) {
        let shard = self.shard(key);
        // Most keys that change are not here; readers need not wait for that.
        if shard.read().index.contains_key(&key) {
            shard.write().forget(key);
        }
    }

    fn shard(&self, key: KeyId) -> &RwLock<Shard> {
        // Ids are random; any byte spreads them.
        &self.shards[usize::from(key.0[15]) % self.shards.len()]
    }
}

impl Shard {
    fn new(cells: Cells) -> Self {
        let owners = vec![None; cells.len()];
        let used = (0..cells.len()).map(|_| AtomicBool::new(false)).collect();
        Self { cells, index: HashMap::new(), owners, used, hand: 0 }
    }

    fn find(&self, (key, version): Id) -> Option<usize> {
        let versions = self.index.get(&key)?;
        let at = versions.binary_search_by_key(&version, |(version, _)| *version).ok()?;
        Some(versions[at].1)
    }

    fn put(&mut self, id: Id, kcv: Kcv, secret: &[u8; CELL_BYTES]) {
        let cell = self.find(id).unwrap_or_else(|| {
            let cell = self.free_cell();
            let versions = self.index.entry(id.0).or_default();
            let at = versions.partition_point(|(version, _)| *version < id.1);
            versions.insert(at, (id.1, cell));
            cell
        });
        self.cells.write(cell, secret);
        self.owners[cell] = Some((id, kcv));
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
                    self.evict(id);
                    self.clear(cell);
                    return cell;
                }
                None => return cell,
            }
        }
    }

    fn evict(&mut self, (key, version): Id) {
        if let Some(versions) = self.index.get_mut(&key) {
            versions.retain(|(own, _)| *own != version);
            if versions.is_empty() {
                self.index.remove(&key);
            }
        }
    }

    fn forget(&mut self, key: KeyId) {
        for (_, cell) in self.index.remove(&key).unwrap_or_default() {
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
    use crate::arena::arena;

    const CELLS: usize = 128;

    fn small() -> Cache {
        Cache::new(arena(&[CELLS]))
    }

    fn id(n: usize) -> Id {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        (KeyId(bytes), Version(1))
    }

    fn has(cache: &Cache, n: usize) -> bool {
        cache.get(id(n), &[1; 8]).is_some()
    }

    /// So many versions are indexed, each where its cell says so, and no key without one.
    fn assert_consistent(cache: &Cache, versions: usize) {
        let shard = cache.shards[0].read();
        let indexed = shard.index.iter().flat_map(|(key, versions)| {
            assert!(!versions.is_empty() && versions.is_sorted(), "{versions:?}");
            versions.iter().map(|(version, cell)| ((*key, *version), *cell))
        });
        let good = |(id, cell): &(Id, usize)| shard.owners[*cell].is_some_and(|own| own.0 == *id);
        assert_eq!(indexed.filter(good).count(), versions);
        drop(shard);
        assert_eq!(cache.len(), versions, "bounded");
    }

    #[test]
    fn full_means_evict_the_unused() {
        let cache = small();
        for n in 0..CELLS {
            cache.put(id(n), [1; 8], &[7; 32]);
        }
        assert!(has(&cache, 0), "and marks it as used");
        cache.put(id(1_000), [1; 8], &[7; 32]);
        assert!(has(&cache, 0) && has(&cache, 1_000));
        assert!(!has(&cache, 1), "the first that nobody used");
        for n in 2_000..2_000 + 3 * CELLS {
            cache.put(id(n), [1; 8], &[7; 32]);
        }
        assert_consistent(&cache, CELLS);
    }

    #[test]
    fn forgotten_versions_are_wiped() {
        let cache = small();
        let (key, other) = (id(1).0, id(2).0);
        for version in [3, 1, 2] {
            cache.put((key, Version(version)), [1; 8], &[7; 32]);
        }
        assert_consistent(&cache, 3);
        cache.put((other, Version(1)), [1; 8], &[8; 32]);
        cache.forget(key);
        cache.forget(key);
        assert_consistent(&cache, 1);
        assert!(cache.get((key, Version(2)), &[1; 8]).is_none());
        assert!(cache.get((other, Version(1)), &[1; 8]).is_some());
        let shard = cache.shards[0].read();
        let sevens = (0..shard.cells.len()).filter(|cell| *shard.cells.read(*cell) == [7; 32]);
        assert_eq!(sevens.count(), 0);
    }

    #[test]
    fn versions_of_one_key_share_the_room() {
        let cache = small();
        let key = id(1).0;
        let last = u32::try_from(3 * CELLS).expect("small");
        for version in (1..=last).rev() {
            cache.put((key, Version(version)), [1; 8], &[7; 32]);
        }
        assert_consistent(&cache, CELLS);
        assert!(cache.get((key, Version(1)), &[1; 8]).is_some());
        assert!(cache.get((key, Version(last)), &[1; 8]).is_none(), "the oldest made room");
    }

    #[test]
    fn another_check_value_is_a_miss() {
        let cache = small();
        cache.put(id(1), [1; 8], &[7; 32]);
        assert!(cache.get(id(1), &[2; 8]).is_none());
        cache.put(id(1), [2; 8], &[9; 32]);
        assert_eq!(cache.get(id(1), &[2; 8]).as_deref(), Some(&[9; 32]));
        assert_consistent(&cache, 1);
    }
}
