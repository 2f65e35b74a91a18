//! The one seam to files: the state store, the log, archives, audit and markers are written through it.
//!
//! Two implementations: [`Disk`] is the operating system; [`Mem`] is memory, and can play crashes.
//! What the seam promises, and what crash tests take it at:
//!
//! - [`File::write_at`] is in no way durable until [`File::sync_data`] or [`File::sync_all`] of that
//!   file returned; before that any 512-byte sector may hold any of its versions since the last sync.
//! - A new, renamed or removed name is not durable until [`Fs::sync_dir`] of its directory returned.
//! - [`Fs::rename`] replaces its target as one step, never half.
//! - After a failed sync nothing is known about what was to be synced: the caller stops writing. It may read
//!   back, in a later process too, and no later sync makes it durable: only to write it again does.
//!
//! Every error names the operation and the path, so callers add what it means and nothing else.

mod content;
mod crash;
mod disk;
mod error;
mod layer;
mod mem;
mod set;
mod tools;

use std::ffi::OsString;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

pub use crash::{CrashImage, CrashImages, Damage, Recorder, crash_images_wanted};
pub use disk::Disk;
pub use error::{FsError, is_denied, is_full};
pub use layer::{FileLayer, FsLayer};
pub use mem::{Fault, Mem};
pub use set::FileSet;
pub use tools::{
    Reader, Writer, make_dirs, parent, read_to_vec, remove_if_there, temporary, write_atomic,
    write_new, write_shared,
};

/// How to open a file. None of these truncates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new or existing file, for reading and writing. New files have mode 0600.
    Create,
    /// A file that does not exist yet, for reading and writing; mode 0600.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its last component.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Whether it is an ordinary file.
    pub is_file: bool,
    /// Length in bytes; 0 for what is not an ordinary file.
    pub len: u64,
}

/// A file system.
pub trait Fs: Send + Sync + Debug + 'static {
    /// Opens a file. The name of a new file is durable only after [`Fs::sync_dir`].
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError>;
    /// Moves a file or directory, replacing a file at `to` in one step.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError>;
    /// Moves a file or directory; [`FsError::Exists`] where there is something at `to`.
    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> Result<(), FsError>;
    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError>;
    /// Makes a directory (mode 0700) and its missing parents; an existing one is no error.
    fn create_dir_all(&self, path: &Path) -> Result<(), FsError>;
    /// What stands in a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError>;
    /// Whether there is anything at `path`.
    fn exists(&self, path: &Path) -> Result<bool, FsError>;
    /// Whether nobody else can change what `path` holds: it is an ordinary file of this user's (or root's) that
    /// others may not write to.
    fn is_private(&self, _path: &Path) -> Result<bool, FsError> {
        Ok(true)
    }
    /// Makes the names in a directory durable as they stand now.
    fn sync_dir(&self, path: &Path) -> Result<(), FsError>;
    /// Takes an exclusive lock on the file of that name, made if need be, without waiting; held until dropped.
    ///
    /// Errors: [`FsError::Locked`] while another holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError>;
    /// Bytes an ordinary user may still write below `path`; `None` where nobody knows.
    fn free_bytes(&self, path: &Path) -> Option<u64>;
}

/// An open file. Offsets and lengths are bytes. May be shared by threads.
pub trait File: Send + Sync + Debug {
    /// Reads at `offset` until `buf` is full or the file ends; how many bytes were read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError>;
    /// Writes all of `data` at `offset`, extending the file with zeros where it ends before.
    ///
    /// After an error any part of it may have been written.
    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FsError>;
    /// Its length.
    fn len(&self) -> Result<u64, FsError>;
    /// Whether it is empty.
    fn is_empty(&self) -> Result<bool, FsError> {
        Ok(self.len()? == 0)
    }
    /// Cuts it, or extends it with zeros.
    fn set_len(&self, len: u64) -> Result<(), FsError>;
    /// Makes its bytes and its length durable.
    fn sync_data(&self) -> Result<(), FsError>;
    /// Makes its bytes, length and attributes durable.
    fn sync_all(&self) -> Result<(), FsError>;
}

/// An exclusive lock, released when dropped.
pub trait Lock: Send + Sync + Debug {}
