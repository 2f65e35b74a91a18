//! The operating system's files.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags};

use crate::{DirEntry, File, Fs, FsError, Lock, Open};

/// The real file system. Files it makes have mode 0600, directories 0700. Where a file may be made, a symbolic
/// link is an error: whoever else may write into that directory must not choose which file is written.
#[derive(Clone, Copy, Default, Debug)]
pub struct Disk;

/// Of the last component of a path; links on the way to it are followed.
const NOFOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Where a file should be, a pipe that nobody writes into must not stop the program: of no meaning for files.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// How often a lock is taken whose file was taken away at that moment.
const LOCKS_MAX: u32 = 100;

impl Disk {
    /// As an `Arc<dyn Fs>`, the way it is passed around.
    #[must_use]
    pub fn shared() -> Arc<dyn Fs> {
        Arc::new(Self)
    }
}

impl Fs for Disk {
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let mut options = OpenOptions::new();
        options.read(true).mode(0o600);
        match how {
            Open::Read => {
                options.custom_flags(NONBLOCK);
            }
            Open::Write => {
                options.write(true);
            }
            Open::Create => {
                options.write(true).create(true).truncate(false).custom_flags(NOFOLLOW);
            }
            Open::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path).map_err(|e| FsError::new("open", path, e))?;
        Ok(Arc::new(DiskFile { file, path: path.to_path_buf() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        fs::rename(from, to).map_err(|e| FsError::new("rename", from, e))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        use rustix::io::Errno;
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(FsError::Exists { path: to.to_path_buf() }),
            // Not every file system knows NOREPLACE; a hard link also refuses an existing target.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::hard_link(from, to).map_err(|e| FsError::new("link", to, e))?;
                self.remove_file(from)
            }
            Err(e) => Err(FsError::new("rename", from, e.into())),
        }
    }

    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        fs::remove_file(path).map_err(|e| FsError::new("remove", path, e))
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError> {
        fs::remove_dir_all(path).map_err(|e| FsError::new("remove", path, e))
    }

    fn create_dir_all(&self, path: &Path) -> Result<(), FsError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| FsError::new("create directory", path, e))
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError> {
        let error = |e: io::Error| FsError::new("read directory", path, e);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(error)? {
            let entry = entry.map_err(error)?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // It went away while we looked.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(FsError::new("stat", &entry.path(), e)),
            };
            let is_file = meta.is_file();
            let len = if is_file { meta.len() } else { 0 };
            entries.push(DirEntry { name: entry.file_name(), is_dir: meta.is_dir(), is_file, len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> Result<bool, FsError> {
        path.try_exists().map_err(|e| FsError::new("stat", path, e))
    }

    fn is_private(&self, path: &Path) -> Result<bool, FsError> {
        let meta = fs::symlink_metadata(path).map_err(|e| FsError::new("stat", path, e))?;
        let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&meta.uid());
        Ok(meta.is_file() && is_ours && meta.mode() & 0o022 == 0)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FsError> {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let dir = fs::File::open(here).map_err(|e| FsError::new("open directory", path, e))?;
        dir.sync_all().map_err(|e| FsError::new("sync directory", path, e))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(NOFOLLOW);
        for _ in 0..LOCKS_MAX {
            let file = options.open(path).map_err(|e| FsError::new("open", path, e))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(e) => return Err(FsError::new("lock", path, e.into())),
            }
            // Who held it before may have taken its file away: what bears no name keeps nobody out.
            if is_named(&file, path)? {
                return Ok(Box::new(DiskLock { _file: file }));
            }
        }
        Err(FsError::Locked { path: path.to_path_buf() })
    }

    fn free_bytes(&self, path: &Path) -> Option<u64> {
        let stat = rustix::fs::statvfs(path).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }
}

/// Whether `path` is this file's name still.
fn is_named(file: &fs::File, path: &Path) -> Result<bool, FsError> {
    let error = |e| FsError::new("stat", path, e);
    let ours = file.metadata().map_err(error)?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(error(e)),
    }
}

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    path: PathBuf,
}

impl DiskFile {
    fn error(&self, op: &'static str) -> impl FnOnce(io::Error) -> FsError + '_ {
        move |e| FsError::new(op, &self.path, e)
    }
}

impl File for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, FsError> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error("read")(e)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FsError> {
        self.file.write_all_at(data, offset).map_err(self.error("write"))
    }

    fn len(&self) -> Result<u64, FsError> {
        Ok(self.file.metadata().map_err(self.error("stat"))?.len())
    }

    fn set_len(&self, len: u64) -> Result<(), FsError> {
        self.file.set_len(len).map_err(self.error("set length of"))
    }

    fn sync_data(&self) -> Result<(), FsError> {
        self.file.sync_data().map_err(self.error("sync"))
    }

    fn sync_all(&self) -> Result<(), FsError> {
        self.file.sync_all().map_err(self.error("sync"))
    }
}

/// Holds the lock by holding the file open.
#[derive(Debug)]
struct DiskLock {
    _file: fs::File,
}

impl Lock for DiskLock {}
