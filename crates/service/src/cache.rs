//! What the hot path reads: keys by name and by id, versions, callers with their compiled policy.
//!
//! Filled on a miss from a view, emptied by the cluster's feed. A filler notes the generation before it
//! takes its view and inserts only while the generation is the same: a change that its view did not see
//! either raised the generation before (nothing is inserted) or comes after (and removes the entry).
//! The feed is called before the change is acknowledged, so nobody reads an entry older than what
//! they were told.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

/// Locks per map: enough that readers on many cores seldom meet.
const SHARDS: usize = 16;

/// A bounded map, read mostly. A shard that is full is emptied: the next reads fill it again.
pub(crate) struct Cache<K, V> {
    shards: [RwLock<Shard<K, V>>; SHARDS],
    hasher: RandomState,
    shard_max: usize,
    /// Told of each value that it no longer holds, which may still be in use.
    left: fn(&V),
}

type Shard<K, V> = HashTable<(K, Arc<V>)>;

impl<K: Hash + Eq, V> Cache<K, V> {
    /// At most about `entries_max` entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self::telling(entries_max, |_| {})
    }

    /// The same; `left` is told of each value that leaves.
    pub(crate) fn telling(entries_max: usize, left: fn(&V)) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::new(HashTable::new())),
            hasher: RandomState::new(),
            shard_max: (entries_max / SHARDS).max(1),
            left,
        }
    }

    /// One hash for both: a table takes its bits from the ends, the shard is chosen by some from the middle.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> (u64, &RwLock<Shard<K, V>>) {
        let hash = self.hasher.hash_one(key);
        (hash, &self.shards[usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0)])
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (hash, shard) = self.place(key);
        shard.read().find(hash, |(own, _)| own.borrow() == key).map(|(_, value)| Arc::clone(value))
    }

    /// Inserts while `generation` is still `seen`; checked under the lock that [`Cache::remove`] takes.
    pub(crate) fn insert(&self, key: K, value: Arc<V>, generation: &Generation, seen: u64) {
        let (hash, shard) = self.place(&key);
        let mut shard = shard.write();
        if generation.now() != seen {
            return;
        }
        self.take(&mut shard, hash, &key);
        if shard.len() >= self.shard_max {
            self.empty(&mut shard);
        }
        shard.insert_unique(hash, (key, value), |(own, _)| self.hasher.hash_one(own));
    }

    pub(crate) fn remove<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (hash, shard) = self.place(key);
        self.take(&mut shard.write(), hash, key);
    }

    pub(crate) fn clear(&self) {
        self.shards.iter().for_each(|shard| self.empty(&mut shard.write()));
    }

    fn take<Q: Eq + ?Sized>(&self, shard: &mut Shard<K, V>, hash: u64, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Ok(entry) = shard.find_entry(hash, |(own, _)| own.borrow() == key) {
            let ((_, value), _) = entry.remove();
            (self.left)(&value);
        }
    }

    fn empty(&self, shard: &mut Shard<K, V>) {
        shard.drain().for_each(|(_, value)| (self.left)(&value));
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
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn whoever_leaves_is_told() {
        let tell = |value: &AtomicBool| value.store(true, Ordering::Relaxed);
        let (cache, generation) = (Cache::telling(SHARDS, tell), Generation::default());
        let insert = |key: u32| {
            let value = Arc::new(AtomicBool::default());
            cache.insert(key, Arc::clone(&value), &generation, generation.now());
            value
        };
        let left = |value: &Arc<AtomicBool>| value.load(Ordering::Relaxed);
        let first = insert(1);
        assert!(!left(&first));
        let second = insert(1);
        assert_eq!((left(&first), left(&second)), (true, false), "replaced");
        cache.remove(&1);
        assert!(left(&second), "removed");
        let many: Vec<_> = (0..1000).map(insert).collect();
        for (key, value) in (0..).zip(&many) {
            let held = cache.get(&key).is_some();
            assert_eq!(left(value), !held, "{key}: pushed out by a full shard or not");
        }
        assert!(!many.iter().all(left));
        cache.clear();
        assert!(many.iter().all(left), "cleared");
        let late = Arc::new(AtomicBool::default());
        cache.insert(1, Arc::clone(&late), &generation, generation.now() + 1);
        assert!(cache.get(&1).is_none(), "it was overtaken");
    }

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
