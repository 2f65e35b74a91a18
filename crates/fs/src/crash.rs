//! What a crash could have left: images built from a record of operations.
//!
//! For every point of the record, and several times per point with other damage, an image keeps all
//! that was synced by then and any part of what was not:
//!
//! - bytes: none, all, all up to some write, one torn write, a random choice of writes (dropped or
//!   reordered), or each 512-byte sector at any of its versions;
//! - names: none, all, all up to some change, or a random choice of changes since the directory's sync.
//!
//! What was written before a sync that failed is lost from then on: that is the worst that may be.
//! A rename happens or not, never by half. Images are the same for the same seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Mem;
use crate::content::Content;
use crate::mem::{Node, Tree, parent_dir};

/// Bytes a disk writes or does not write as a whole.
const SECTOR: u64 = 512;

/// A recorded change.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create { path: PathBuf, node: Node },
    Rename { from: PathBuf, to: PathBuf, node: Node },
    Remove { path: PathBuf, node: Node },
    Write { inode: u64, at: u64, data: Arc<[u8]> },
    SetLen { inode: u64, len: u64 },
    Sync { inode: u64 },
    SyncFailed { inode: u64 },
    SyncDir { path: PathBuf },
}

/// The record of a [`Mem`], from the moment it was asked for.
#[derive(Clone, Debug)]
pub struct Recorder {
    base: Arc<Tree>,
    ops: Arc<Mutex<Vec<Op>>>,
}

/// How what was not synced came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// All of it is lost.
    Lost,
    /// All of it is there: the process died, not the machine.
    Kept,
    /// Everything up to some operation, the rest lost.
    Prefix,
    /// As `Prefix`, with the last write torn at some byte.
    Torn,
    /// A random choice of operations: some dropped, later ones there.
    Choice,
    /// Each sector, and each name's change, on its own.
    Sectors,
}

const DAMAGES: [Damage; 6] =
    [Damage::Kept, Damage::Lost, Damage::Prefix, Damage::Torn, Damage::Choice, Damage::Sectors];

/// What a crash left.
#[derive(Debug)]
pub struct CrashImage {
    /// How many recorded operations had returned, or begun to.
    pub at: usize,
    /// What became of the unsynced ones.
    pub damage: Damage,
    /// The file system found after the crash.
    pub fs: Mem,
}

/// How many images a test looks at: its share, in percent, of what `HOLDFAST_CRASH_IMAGES` asks for, or of
/// the quick profile's 10 000.
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn crash_images_wanted(percent: usize) -> usize {
    let asked = std::env::var("HOLDFAST_CRASH_IMAGES").ok();
    let all = asked.map_or(10_000, |n| n.parse().expect("HOLDFAST_CRASH_IMAGES is a number"));
    (all * percent).div_ceil(100)
}

impl Recorder {
    pub(crate) fn new(base: Tree, ops: Arc<Mutex<Vec<Op>>>) -> Self {
        Self { base: Arc::new(base), ops }
    }

    /// Operations recorded so far: what was promised by now must hold in images `at` and later.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.lock().len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many images for every point make at least `wanted` of the whole record; no fewer than `least`.
    #[must_use]
    pub fn per_point(&self, wanted: usize, least: usize) -> usize {
        wanted.div_ceil(self.len() + 1).max(least)
    }

    /// `per_point` images for every point of the record so far, in order of points. The first six of
    /// a point have one kind of damage each.
    #[must_use]
    pub fn images(&self, per_point: usize, seed: u64) -> CrashImages {
        CrashImages {
            ops: self.ops.lock().clone(),
            durable: (*self.base).clone(),
            pending: Vec::new(),
            at: 0,
            nth: 0,
            per_point,
            random: Random(seed ^ 0x9e37_79b9_7f4a_7c15),
        }
    }
}

/// Iterates over the crash images of a record.
#[derive(Debug)]
pub struct CrashImages {
    ops: Vec<Op>,
    durable: Tree,
    pending: Vec<Op>,
    at: usize,
    nth: usize,
    per_point: usize,
    random: Random,
}

impl Iterator for CrashImages {
    type Item = CrashImage;

    fn next(&mut self) -> Option<CrashImage> {
        while self.nth == self.per_point {
            let op = self.ops.get(self.at)?.clone();
            self.advance(op);
            self.at += 1;
            self.nth = 0;
        }
        let damage = DAMAGES[self.nth % DAMAGES.len()];
        self.nth += 1;
        Some(CrashImage { at: self.at, damage, fs: self.image(damage) })
    }
}

impl CrashImages {
    /// Takes one more operation into account; a sync moves pending ones into what is durable.
    fn advance(&mut self, op: Op) {
        let settled: Vec<Op>;
        match &op {
            Op::Sync { inode } => {
                let of = *inode;
                (settled, self.pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|op| matches!(op, Op::Write { inode, .. } | Op::SetLen { inode, .. } if *inode == of));
            }
            // No later sync brings back what this one was for (Linux forgets that it was never written).
            Op::SyncFailed { inode: of } => {
                self.pending.retain(|op| !matches!(op, Op::Write { inode, .. } if inode == of));
                return;
            }
            Op::SyncDir { path } => {
                (settled, self.pending) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|op| names_in(op, path));
            }
            _ => {
                self.pending.push(op);
                return;
            }
        }
        for op in &settled {
            apply(&mut self.durable, op);
        }
    }

    fn image(&mut self, damage: Damage) -> Mem {
        let mut tree = self.durable.clone();
        let n = self.pending.len();
        match damage {
            Damage::Lost => {}
            Damage::Kept => self.pending.iter().for_each(|op| apply(&mut tree, op)),
            Damage::Prefix => {
                let cut = self.random.below(n + 1);
                self.pending[..cut].iter().for_each(|op| apply(&mut tree, op));
            }
            Damage::Torn => {
                let cut = self.random.below(n + 1);
                self.pending[..cut].iter().for_each(|op| apply(&mut tree, op));
                if let Some(Op::Write { inode, at, data }) = self.pending.get(cut) {
                    let kept = self.random.below(data.len() + 1);
                    content(&mut tree, *inode).write(*at, &data[..kept]);
                }
            }
            Damage::Choice => {
                for op in &self.pending {
                    if self.random.below(2) == 0 {
                        apply(&mut tree, op);
                    }
                }
            }
            Damage::Sectors => self.sectors(&mut tree),
        }
        prune(&mut tree);
        // A name may stand whose bytes are all lost: its inode is taken nevertheless.
        let named = tree.names.values().filter_map(|node| match node {
            Node::File(inode) => Some(*inode),
            Node::Dir => None,
        });
        let next = 1 + named.chain(tree.contents.keys().copied()).max().unwrap_or(0);
        Mem::from_tree(tree, next)
    }

    /// Each sector of each file at one of its versions since the last sync, names one by one.
    fn sectors(&mut self, tree: &mut Tree) {
        let mut versions: BTreeMap<u64, Vec<Content>> = BTreeMap::new();
        for op in &self.pending {
            match op {
                Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
                    let all = versions
                        .entry(*inode)
                        .or_insert_with(|| vec![content(tree, *inode).clone()]);
                    let mut last = all.last().cloned().unwrap_or_default();
                    apply_content(&mut last, op);
                    all.push(last);
                }
                _ => {
                    if self.random.below(2) == 0 {
                        apply(tree, op);
                    }
                }
            }
        }
        for (inode, all) in versions {
            let mixed = self.mix(&all);
            *content(tree, inode) = mixed;
        }
    }

    fn mix(&mut self, all: &[Content]) -> Content {
        let len = all[self.random.below(all.len())].len;
        let mut mixed = all[0].clone();
        mixed.set_len(len);
        let mut sector = [0; SECTOR as usize];
        let mut before = [0; SECTOR as usize];
        let mut at = 0;
        while at < len {
            let pick = &all[self.random.below(all.len())];
            let n = (len - at).min(SECTOR) as usize;
            sector.fill(0);
            before.fill(0);
            pick.read(at, &mut sector[..n]);
            mixed.read(at, &mut before[..n]);
            if sector != before {
                mixed.write(at, &sector[..n]);
            }
            at += SECTOR;
        }
        mixed
    }
}

fn names_in(op: &Op, dir: &Path) -> bool {
    match op {
        Op::Create { path, .. } | Op::Remove { path, .. } => parent_dir(path) == dir,
        // Durable with the target's directory: the seam renames within one directory.
        Op::Rename { to, .. } => parent_dir(to) == dir,
        _ => false,
    }
}

fn content(tree: &mut Tree, inode: u64) -> &mut Content {
    tree.contents.entry(inode).or_default()
}

fn apply_content(content: &mut Content, op: &Op) {
    match op {
        Op::Write { at, data, .. } => content.write(*at, data),
        Op::SetLen { len, .. } => content.set_len(*len),
        _ => {}
    }
}

fn apply(tree: &mut Tree, op: &Op) {
    match op {
        Op::Create { path, node } => {
            tree.names.insert(path.clone(), *node);
        }
        Op::Rename { from, to, node } => tree.rename(from, to, *node),
        Op::Remove { path, node } => {
            if tree.names.get(path) == Some(node) {
                tree.names.remove(path);
            }
        }
        Op::Write { inode, .. } | Op::SetLen { inode, .. } => {
            apply_content(content(tree, *inode), op);
        }
        Op::Sync { .. } | Op::SyncFailed { .. } | Op::SyncDir { .. } => {}
    }
}

/// Drops names whose directory is not there.
fn prune(tree: &mut Tree) {
    let lost: Vec<PathBuf> = tree
        .names
        .keys()
        .filter(|path| {
            path.ancestors().skip(1).any(|dir| {
                !dir.as_os_str().is_empty()
                    && dir != Path::new("/")
                    && tree.names.get(dir) != Some(&Node::Dir)
            })
        })
        .cloned()
        .collect();
    for path in lost {
        tree.names.remove(&path);
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough to choose damage.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % (n.max(1) as u64)) as usize
    }
}
