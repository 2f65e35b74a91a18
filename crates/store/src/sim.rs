//! The state in memory, for tests: the same contract as on disk, with crashes at will.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use holdfast_machine::{Changes, Head, LogId, ReadError, View, rowcodec};
use holdfast_types::{Table, Value};

use crate::rows::{Tree, load_head, put_changes, put_head, row_key};
use crate::{Applied, EachRaw, IndexView, StateStore, StoreError};

type Pages = Arc<BTreeMap<Vec<u8>, Vec<u8>>>;

/// The three trees. Clones share them until one is written.
#[derive(Clone, Default, Debug)]
struct Trees {
    rows: Pages,
    index: Pages,
    local: Pages,
}

/// A state in memory.
#[derive(Debug)]
pub struct SimStore {
    trees: Trees,
    durable: Trees,
    head: Arc<Head>,
    applied: Applied,
    dirty: u64,
}

/// The state in memory at one revision.
#[derive(Clone, Debug)]
pub struct SimView {
    trees: Trees,
    head: Arc<Head>,
}

impl SimStore {
    /// An empty state that stands at `head`.
    #[must_use]
    pub fn new(head: Head, applied: Applied) -> Self {
        let mut trees = Trees::default();
        let put: crate::rows::Put<'_> = &mut |tree, key, value| trees.put(tree, key, value);
        put_head(None, &head, &applied, put).expect("memory takes every write");
        Self { durable: trees.clone(), trees, head: Arc::new(head), applied, dirty: 0 }
    }

    /// The machine stops and starts again: what was not checkpointed is gone. Views stay as they are.
    pub fn crash(&mut self) {
        self.trees = self.durable.clone();
        let rows = self.trees.local.iter().map(|(key, value)| Ok((key.clone(), value.clone())));
        let (head, applied) =
            load_head(Path::new("memory"), rows).expect("memory holds what was written");
        self.head = Arc::new(head);
        self.applied = applied;
        self.dirty = 0;
    }
}

impl Trees {
    fn put(&mut self, tree: Tree, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let pages = match tree {
            Tree::Rows => &mut self.rows,
            Tree::Index => &mut self.index,
            Tree::Local => &mut self.local,
        };
        let pages = Arc::make_mut(pages);
        match value {
            Some(value) => pages.insert(key.to_vec(), value.to_vec()),
            None => pages.remove(key),
        };
        Ok(())
    }
}

impl StateStore for SimStore {
    type View = SimView;

    fn view(&self) -> SimView {
        SimView { trees: self.trees.clone(), head: Arc::clone(&self.head) }
    }

    fn applied(&self) -> Applied {
        self.applied.clone()
    }

    fn commit(
        &mut self,
        applied: Applied,
        changes: &[Arc<Changes>],
        head: &Head,
    ) -> Result<(), StoreError> {
        let (trees, dirty) = (&mut self.trees, &mut self.dirty);
        let put: crate::rows::Put<'_> = &mut |tree, key, value| {
            *dirty += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
            trees.put(tree, key, value)
        };
        put_changes(changes, put)?;
        put_head(Some(&self.head), head, &applied, put)?;
        self.head = Arc::new(head.clone());
        self.applied = applied;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<Option<LogId>, StoreError> {
        self.durable = self.trees.clone();
        self.dirty = 0;
        Ok(self.applied.log)
    }

    fn dirty_bytes(&self) -> u64 {
        self.dirty
    }
}

impl View for SimView {
    fn head(&self) -> &Head {
        &self.head
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, ReadError> {
        let found = self.trees.rows.get(&row_key(table, key));
        found.map(|bytes| rowcodec::decode_value(table, key, bytes)).transpose()
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for (key, bytes) in self.trees.rows.range(row_key(table, from)..) {
            let Some(key) = key.strip_prefix(&[table.0]) else { break };
            if each(key, rowcodec::decode_value(table, key, bytes)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl IndexView for SimView {
    fn scan_index(&self, from: &[u8], each: EachRaw<'_>) -> Result<(), ReadError> {
        let range = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in self.trees.index.range::<[u8], _>(range) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
