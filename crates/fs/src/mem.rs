//! Files in memory, with faults on demand and, once asked, a record of every change from which
//! [`crate::Recorder`] builds what a crash could have left.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::content::Content;
use crate::crash::{Op, Recorder};
use crate::{DirEntry, File, Fs, FsError, Lock, Open, parent};

/// A fault to inject, at the n-th changing operation (writes, lengths, syncs, names) from now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// That operation alone fails with an I/O error and changes nothing.
    Once,
    /// That operation and every later one fail.
    From,
    /// That operation fails for want of space; a write keeps its first half.
    NoSpace,
}

/// A file system in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Mem {
    state: Arc<Mutex<State>>,
}

/// What is in it: names, and contents by inode.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tree {
    pub(crate) names: BTreeMap<PathBuf, Node>,
    pub(crate) contents: BTreeMap<u64, Content>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    Dir,
    File(u64),
}

#[derive(Default, Debug)]
struct State {
    tree: Tree,
    next_inode: u64,
    locked: BTreeSet<PathBuf>,
    record: Option<Arc<Mutex<Vec<Op>>>>,
    ops: u64,
    fault: Option<(u64, Fault)>,
    space: Option<u64>,
}

impl Default for Mem {
    fn default() -> Self {
        Self::new()
    }
}

impl Mem {
    /// An empty file system with the directory "/".
    #[must_use]
    pub fn new() -> Self {
        Self::from_tree(Tree::default(), 1)
    }

    /// As an `Arc<dyn Fs>`, the way it is passed around.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    pub(crate) fn from_tree(tree: Tree, next_inode: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { tree, next_inode, ..State::default() })) }
    }

    /// Begins to record. What is there now counts as durable.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        let mut state = self.state.lock();
        let ops = Arc::new(Mutex::new(Vec::new()));
        state.record = Some(ops.clone());
        Recorder::new(state.tree.clone(), ops)
    }

    /// Injects a fault at the `n`-th changing operation from now; 0 is the next one.
    pub fn fail_at(&self, n: u64, fault: Fault) {
        let mut state = self.state.lock();
        state.fault = Some((state.ops + n, fault));
    }

    /// Takes faults back.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.fault = None;
        state.space = None;
    }

    /// From now on at most `bytes` more can be written; the rest fails for want of space.
    pub fn limit_space(&self, bytes: u64) {
        self.state.lock().space = Some(bytes);
    }

    /// Changing operations so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.state.lock().ops
    }

    /// Flips one bit of a file, as a failing disk would.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> Result<(), FsError> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        let content = state.tree.contents.entry(inode).or_default();
        let mut byte = [0];
        content.read(bit / 8, &mut byte);
        byte[0] ^= 1 << (bit % 8);
        content.write(bit / 8, &byte);
        Ok(())
    }
}

impl State {
    fn file(&self, path: &Path) -> Result<u64, FsError> {
        match self.tree.names.get(path) {
            Some(Node::File(inode)) => Ok(*inode),
            Some(Node::Dir) => Err(io_error("open", path, io::ErrorKind::IsADirectory)),
            None => Err(FsError::NotFound { path: path.to_path_buf() }),
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        is_root(path) || self.tree.names.get(path) == Some(&Node::Dir)
    }

    /// Counts a changing operation and says whether it must fail, and how.
    fn step(&mut self, op: &'static str, path: &Path) -> Result<(), Injected> {
        let n = self.ops;
        self.ops += 1;
        match self.fault {
            Some((at, Fault::Once)) if at == n => {
                Err(Injected::Io(io_error(op, path, io::ErrorKind::Other)))
            }
            Some((at, Fault::From)) if at <= n => {
                Err(Injected::Io(io_error(op, path, io::ErrorKind::Other)))
            }
            Some((at, Fault::NoSpace)) if at == n => Err(Injected::NoSpace),
            _ => Ok(()),
        }
    }

    fn change(&mut self, op: &'static str, path: &Path) -> Result<(), FsError> {
        self.step(op, path).map_err(|injected| injected.into_error(path))
    }

    fn record(&self, op: impl FnOnce() -> Op) {
        if let Some(ops) = &self.record {
            ops.lock().push(op());
        }
    }

    fn write(&mut self, inode: u64, path: &Path, data: &[u8], at: u64) -> Result<(), FsError> {
        let injected = self.step("write", path);
        let mut room = self.space.unwrap_or(u64::MAX).min(data.len() as u64);
        match &injected {
            Err(Injected::Io(_)) => room = 0,
            Err(Injected::NoSpace) => room = room.min(data.len() as u64 / 2),
            Ok(()) => {}
        }
        let kept = &data[..usize::try_from(room).unwrap_or(data.len())];
        if let Some(space) = &mut self.space {
            *space -= room;
        }
        if !kept.is_empty() {
            self.tree.contents.entry(inode).or_default().write(at, kept);
            self.record(|| Op::Write { inode, at, data: kept.into() });
        }
        injected.map_err(|injected| injected.into_error(path))?;
        if kept.len() < data.len() {
            return Err(FsError::NoSpace { path: path.to_path_buf() });
        }
        Ok(())
    }

    fn move_name(&mut self, from: &Path, to: &Path) -> Result<(), FsError> {
        let node = self.tree.names.get(from).copied();
        let node = node.ok_or_else(|| FsError::NotFound { path: from.to_path_buf() })?;
        if !self.is_dir(parent_dir(to)) {
            return Err(FsError::NotFound { path: to.to_path_buf() });
        }
        if self.is_dir(to) {
            return Err(FsError::Exists { path: to.to_path_buf() });
        }
        self.change("rename", from)?;
        self.record(|| Op::Rename { from: from.into(), to: to.into(), node });
        self.tree.rename(from, to, node);
        Ok(())
    }
}

/// What a fault makes of an operation.
enum Injected {
    Io(FsError),
    NoSpace,
}

impl Injected {
    fn into_error(self, path: &Path) -> FsError {
        match self {
            Self::Io(error) => error,
            Self::NoSpace => FsError::NoSpace { path: path.to_path_buf() },
        }
    }
}

impl Tree {
    /// Moves a name and all below it. The source may be missing: in a crash image the operation that
    /// made it may have been lost.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path, node: Node) {
        if self.names.get(from) == Some(&node) {
            self.names.remove(from);
        }
        self.names.insert(to.to_path_buf(), node);
        if node == Node::Dir {
            for path in self.below(from) {
                if let (Ok(rest), Some(node)) = (path.strip_prefix(from), self.names.remove(&path))
                {
                    self.names.insert(to.join(rest), node);
                }
            }
        }
    }

    pub(crate) fn below(&self, dir: &Path) -> Vec<PathBuf> {
        let inside = |p: &&PathBuf| p.starts_with(dir) && p.as_path() != dir;
        self.names.keys().filter(inside).cloned().collect()
    }
}

impl Fs for Mem {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let mut state = self.state.lock();
        let inode = match (state.file(path), how) {
            (Ok(_), Open::CreateNew) => {
                return Err(FsError::Exists { path: path.to_path_buf() });
            }
            (Ok(inode), _) => inode,
            (Err(FsError::NotFound { .. }), Open::Create | Open::CreateNew) => {
                if !state.is_dir(parent_dir(path)) {
                    return Err(FsError::NotFound { path: path.to_path_buf() });
                }
                state.change("open", path)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.tree.names.insert(path.to_path_buf(), Node::File(inode));
                state.tree.contents.insert(inode, Content::default());
                state.record(|| Op::Create { path: path.into(), node: Node::File(inode) });
                inode
            }
            (Err(error), _) => return Err(error),
        };
        let writable = how != Open::Read;
        Ok(Arc::new(MemFile { mem: self.clone(), inode, path: path.into(), writable }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.state.lock().move_name(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        let mut state = self.state.lock();
        if state.tree.names.contains_key(to) {
            return Err(FsError::Exists { path: to.to_path_buf() });
        }
        state.move_name(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        let mut state = self.state.lock();
        let inode = state.file(path)?;
        state.change("remove", path)?;
        state.tree.names.remove(path);
        state.record(|| Op::Remove { path: path.into(), node: Node::File(inode) });
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError> {
        let mut state = self.state.lock();
        if state.tree.names.get(path) != Some(&Node::Dir) {
            return Err(FsError::NotFound { path: path.to_path_buf() });
        }
        let mut all = state.tree.below(path);
        all.sort_by(|a, b| b.cmp(a)); // children before their directory
        all.push(path.to_path_buf());
        for path in all {
            state.change("remove", &path)?;
            if let Some(node) = state.tree.names.remove(&path) {
                state.record(|| Op::Remove { path, node });
            }
        }
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> Result<(), FsError> {
        let mut state = self.state.lock();
        let mut missing: Vec<&Path> = Vec::new();
        let mut at = path;
        while !state.is_dir(at) {
            missing.push(at);
            at = parent_dir(at);
        }
        for dir in missing.into_iter().rev() {
            if state.tree.names.contains_key(dir) {
                return Err(FsError::Exists { path: dir.to_path_buf() });
            }
            state.change("create directory", dir)?;
            state.tree.names.insert(dir.to_path_buf(), Node::Dir);
            state.record(|| Op::Create { path: dir.into(), node: Node::Dir });
        }
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError> {
        let state = self.state.lock();
        if !state.is_dir(path) {
            return Err(FsError::NotFound { path: path.to_path_buf() });
        }
        let mut entries = Vec::new();
        for (name, node) in &state.tree.names {
            if parent_dir(name) != path || is_root(name) {
                continue;
            }
            let (is_dir, len) = match node {
                Node::Dir => (true, 0),
                Node::File(inode) => (false, state.tree.contents.get(inode).map_or(0, |c| c.len)),
            };
            let name = name.file_name().map_or_else(OsString::new, OsString::from);
            entries.push(DirEntry { name, is_dir, is_file: !is_dir, len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool, FsError> {
        let state = self.state.lock();
        Ok(is_root(path) || state.tree.names.contains_key(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FsError> {
        let mut state = self.state.lock();
        if !state.is_dir(path) {
            return Err(FsError::NotFound { path: path.to_path_buf() });
        }
        state.change("sync directory", path)?;
        state.record(|| Op::SyncDir { path: path.into() });
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError> {
        self.open(path, Open::Create)?;
        if !self.state.lock().locked.insert(path.to_path_buf()) {
            return Err(FsError::Locked { path: path.to_path_buf() });
        }
        Ok(Box::new(MemLock { mem: self.clone(), path: path.to_path_buf() }))
    }

    fn free_bytes(&self, _path: &Path) -> Option<u64> {
        self.state.lock().space
    }
}

#[derive(Debug)]
struct MemFile {
    mem: Mem,
    inode: u64,
    path: PathBuf,
    writable: bool,
}

impl MemFile {
    fn writable(&self, op: &'static str) -> Result<(), FsError> {
        if self.writable {
            return Ok(());
        }
        Err(io_error(op, &self.path, io::ErrorKind::PermissionDenied))
    }

    fn sync(&self) -> Result<(), FsError> {
        let mut state = self.mem.state.lock();
        let synced = state.change("sync", &self.path);
        let inode = self.inode;
        let op = if synced.is_ok() { Op::Sync { inode } } else { Op::SyncFailed { inode } };
        state.record(|| op);
        synced
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        let state = self.mem.state.lock();
        Ok(state.tree.contents.get(&self.inode).map_or(0, |content| content.read(offset, buf)))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FsError> {
        self.writable("write")?;
        self.mem.state.lock().write(self.inode, &self.path, data, offset)
    }

    fn len(&self) -> Result<u64, FsError> {
        let state = self.mem.state.lock();
        Ok(state.tree.contents.get(&self.inode).map_or(0, |content| content.len))
    }

    fn set_len(&self, len: u64) -> Result<(), FsError> {
        self.writable("set length of")?;
        let mut state = self.mem.state.lock();
        state.change("set length of", &self.path)?;
        state.tree.contents.entry(self.inode).or_default().set_len(len);
        state.record(|| Op::SetLen { inode: self.inode, len });
        Ok(())
    }

    fn sync_data(&self) -> Result<(), FsError> {
        self.sync()
    }

    fn sync_all(&self) -> Result<(), FsError> {
        self.sync()
    }
}

#[derive(Debug)]
struct MemLock {
    mem: Mem,
    path: PathBuf,
}

impl Lock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.mem.state.lock().locked.remove(&self.path);
    }
}

/// The directory a name stands in, as it is written: "" for a bare name, which counts as a root.
pub(crate) fn parent_dir(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/") || path == parent(Path::new("x"))
}

fn io_error(op: &'static str, path: &Path, kind: io::ErrorKind) -> FsError {
    FsError::Io { op, path: path.to_path_buf(), source: kind.into() }
}
