//! A disk whose syncs hang, or whose reads fail, when a test says so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use holdfast_fs::{DirEntry, File, Fs, FsError, Lock, Mem, Open};

/// Memory below.
#[derive(Clone, Debug, Default)]
pub struct Unreliable {
    mem: Mem,
    gate: Arc<Gate>,
    blind: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    waiting: u32,
}

impl Unreliable {
    pub fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// From now on syncs of data hang.
    pub fn shut(&self) {
        self.gate.state.lock().unwrap().shut = true;
    }

    /// Waits until one hangs.
    pub fn somebody_waits(&self) {
        let state = self.gate.state.lock().unwrap();
        drop(self.gate.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    /// They go on.
    pub fn open_up(&self) {
        self.gate.state.lock().unwrap().shut = false;
        self.gate.changed.notify_all();
    }

    /// Whether reads fail from now on.
    pub fn blind(&self, blind: bool) {
        self.blind.store(blind, Ordering::SeqCst);
    }
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.shut).unwrap();
        state.waiting -= 1;
    }
}

#[derive(Debug)]
struct UnreliableFile {
    file: Arc<dyn File>,
    disk: Unreliable,
}

impl File for UnreliableFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        if self.disk.blind.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the disk gives nothing back");
            return Err(FsError::new("read", Path::new("state"), source));
        }
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FsError> {
        self.file.write_at(data, offset)
    }
    fn len(&self) -> Result<u64, FsError> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> Result<(), FsError> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> Result<(), FsError> {
        self.disk.gate.pass();
        self.file.sync_data()
    }
    fn sync_all(&self) -> Result<(), FsError> {
        self.file.sync_all()
    }
}

impl Fs for Unreliable {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let file = self.mem.open(path, how)?;
        Ok(Arc::new(UnreliableFile { file, disk: self.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.mem.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.mem.rename_new(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        self.mem.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError> {
        self.mem.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<(), FsError> {
        self.mem.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError> {
        self.mem.read_dir(path)
    }
    fn exists(&self, path: &Path) -> Result<bool, FsError> {
        self.mem.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), FsError> {
        self.mem.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError> {
        self.mem.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> Option<u64> {
        self.mem.free_bytes(path)
    }
}
