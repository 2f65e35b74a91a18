//! What the hot path reads: keys by name and by id, versions, callers with their compiled policy.
//!
//! Filled on a miss from a view, emptied by the cluster's feed. A filler notes the generation before it
//! takes its view and inserts only while the generation is the same: a change that its view did not see
//! either raised the generation before (nothing is inserted) or comes after (and removes the entry).
//! The feed is called before the change is acknowledged, so nobody reads an entry older than what
//! they were told.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

/// Locks per map: enough that readers on many cores seldom meet.
const SHARDS: usize = 16;

/// A bounded map, read mostly. A shard that is full is emptied: the next reads fill it again.
pub(crate) struct Cache<K, V> {
    shards: [RwLock<HashMap<K, Arc<V>>>; SHARDS],
    hasher: RandomState,
    shard_max: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// At most about `entries_max` entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::new(HashMap::new())),
            hasher: RandomState::new(),
            shard_max: (entries_max / SHARDS).max(1),
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<HashMap<K, Arc<V>>> {
        // The low bits choose the bucket within a shard's own table, whose hasher differs.
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key).read().get(key).cloned()
    }

    /// Inserts while `generation` is still `seen`; checked under the lock that [`Cache::remove`] takes.
    pub(crate) fn insert(&self, key: K, value: Arc<V>, generation: &Generation, seen: u64) {
        let mut shard = self.shard(&key).write();
        if generation.now() != seen {
            return;
        }
        if shard.len() >= self.shard_max {
            shard.clear();
        }
        shard.insert(key, value);
    }

    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shard(key).write().remove(key);
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.write().clear();
        }
    }
}

/// How many relevant changes the feed has seen.
#[derive(Default)]
pub(crate) struct Generation(AtomicU64);

impl Generation {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// By the feed, before it removes anything.
    pub(crate) fn raise(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filler_that_was_overtaken_inserts_nothing() {
        let cache: Cache<u32, u32> = Cache::new(100);
        let generation = Generation::default();
        let seen = generation.now();
        generation.raise();
        cache.remove(&1);
        cache.insert(1, Arc::new(10), &generation, seen);
        assert!(cache.get(&1).is_none());
        cache.insert(1, Arc::new(11), &generation, generation.now());
        assert_eq!(cache.get(&1).as_deref(), Some(&11));
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let cache: Cache<u32, u32> = Cache::new(160);
        let generation = Generation::default();
        for i in 0..10_000 {
            cache.insert(i, Arc::new(i), &generation, 0);
        }
        let held = (0..10_000).filter(|i| cache.get(i).is_some()).count();
        assert!((1..=160).contains(&held));
        cache.clear();
        assert!(cache.get(&9_999).is_none());
    }
}
