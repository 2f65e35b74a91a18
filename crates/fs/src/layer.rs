//! A file system over another one, which changes some of its calls: for tests of what disks do.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use crate::{DirEntry, File, Fs, FsError, Lock, Open};

/// Is an [`Fs`], by the one below but for the calls that it has of its own.
pub trait FsLayer: Send + Sync + Debug + 'static {
    /// The one below.
    fn below(&self) -> &dyn Fs;

    /// As [`Fs::open`].
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        self.below().open(path, how)
    }

    /// As [`Fs::free_bytes`].
    fn free_bytes(&self, path: &Path) -> Option<u64> {
        self.below().free_bytes(path)
    }
}

impl<T: FsLayer> Fs for T {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        FsLayer::open(self, path, how)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.below().rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.below().rename_new(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        self.below().remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError> {
        self.below().remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<(), FsError> {
        self.below().create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError> {
        self.below().read_dir(path)
    }
    fn exists(&self, path: &Path) -> Result<bool, FsError> {
        self.below().exists(path)
    }
    fn is_private(&self, path: &Path) -> Result<bool, FsError> {
        self.below().is_private(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<(), FsError> {
        self.below().sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError> {
        self.below().lock(path)
    }
    fn free_bytes(&self, path: &Path) -> Option<u64> {
        FsLayer::free_bytes(self, path)
    }
}

/// Is a [`File`], by the one below but for the calls that it has of its own.
pub trait FileLayer: Send + Sync + Debug {
    /// The one below.
    fn below(&self) -> &dyn File;

    /// As [`File::read_at`].
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        self.below().read_at(buf, offset)
    }

    /// As [`File::sync_data`].
    fn sync_data(&self) -> Result<(), FsError> {
        self.below().sync_data()
    }
}

impl<T: FileLayer> File for T {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        FileLayer::read_at(self, buf, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FsError> {
        self.below().write_at(data, offset)
    }
    fn len(&self) -> Result<u64, FsError> {
        self.below().len()
    }
    fn set_len(&self, len: u64) -> Result<(), FsError> {
        self.below().set_len(len)
    }
    fn sync_data(&self) -> Result<(), FsError> {
        FileLayer::sync_data(self)
    }
    fn sync_all(&self) -> Result<(), FsError> {
        self.below().sync_all()
    }
}
