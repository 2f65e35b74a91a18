//! A disk whose syncs hang, or whose reads fail, when a test says so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use holdfast_fs::{File, FileLayer, Fs, FsError, FsLayer, Mem, Open};

/// How long something that happens soon may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

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
        let nobody = |state: &mut State| state.waiting == 0;
        let (_state, waited) =
            self.gate.changed.wait_timeout_while(state, PATIENCE, nobody).unwrap();
        assert!(!waited.timed_out(), "nobody syncs");
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

impl FileLayer for UnreliableFile {
    fn below(&self) -> &dyn File {
        &*self.file
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        if self.disk.blind.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the disk gives nothing back");
            return Err(FsError::new("read", Path::new("state"), source));
        }
        self.file.read_at(buf, offset)
    }

    fn sync_data(&self) -> Result<(), FsError> {
        self.disk.gate.pass();
        self.file.sync_data()
    }
}

impl FsLayer for Unreliable {
    fn below(&self) -> &dyn Fs {
        &self.mem
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let file = self.mem.open(path, how)?;
        Ok(Arc::new(UnreliableFile { file, disk: self.clone() }))
    }
}
