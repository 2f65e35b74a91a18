//! The state's file as redb wants it, through the seam.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{File, Fs, FsError, Open};
use redb::StorageBackend;

use crate::{Fence, StoreError};

/// The state's file in its directory.
const FILE: &str = "state.redb";
/// Stands beside it after a sync that failed.
const UNSYNCED: &str = "UNSYNCED";
/// Bytes that are written again at a time.
const CHUNK: usize = 1 << 20;

/// Where the state's file is.
pub(crate) fn state_file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// The seam, as redb wants it.
///
/// After a sync that failed the pages it was for may be in memory and not on the disk, and no later sync
/// writes them: Linux takes them for written. redb, opened again, finds them whole and builds on them. So the
/// failure is noted beside the file, and the next start writes it again as it finds it. The note needs no
/// sync: what stops the machine takes it away together with those pages.
#[derive(Debug)]
pub(crate) struct Backend {
    fs: Arc<dyn Fs>,
    file: Arc<dyn File>,
    unsynced: PathBuf,
    fence: Fence,
}

impl Backend {
    /// Begins a new file.
    pub(crate) fn create(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, StoreError> {
        let file = fs.open(&state_file(dir), Open::CreateNew)?;
        Ok(Self { fs, file, unsynced: dir.join(UNSYNCED), fence: Fence::default() })
    }

    /// Opens a file that holds something, all of which is as durable as redb takes it for on return.
    ///
    /// Errors: [`StoreError::Corrupt`] also where there is none.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<Self, StoreError> {
        let path = state_file(dir);
        let file = fs.open(&path, Open::Write).map_err(|error| {
            if error.is_not_found() {
                return StoreError::corrupt(&path, "it is missing");
            }
            error.into()
        })?;
        if file.len()? == 0 {
            return Err(StoreError::corrupt(&path, "it is empty"));
        }
        let unsynced = dir.join(UNSYNCED);
        if fs.exists(&unsynced)? {
            write_again(&*file)?;
            fs.remove_file(&unsynced)?;
        }
        Ok(Self { fs, file, unsynced, fence: Fence::default() })
    }

    /// What ends its writing.
    pub(crate) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    fn sync(&self) -> Result<(), FsError> {
        let synced = self.file.sync_data();
        if synced.is_err() {
            // Where not even a name can be made, nothing more can be done; the sync's error is the one to report.
            _ = self.fs.open(&self.unsynced, Open::Create);
        }
        synced
    }
}

/// Writes every byte of a file as it is read, and syncs.
fn write_again(file: &dyn File) -> Result<(), StoreError> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return Ok(file.sync_data()?);
        }
        file.write_at(&chunk[..read], at)?;
        at += read as u64;
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.file.len()?)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        if self.file.read_at(out, offset)? < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.fence.pass(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.fence.pass(|| self.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.fence.pass(|| self.file.write_at(data, offset))
    }
}
