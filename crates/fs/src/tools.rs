//! What every user of the seam needs: whole files, atomic replacement, `std::io` adapters.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::{File, Fs, FsError, Lock, Open};

/// How long it is waited for a lock that is held for a moment, or while a small file is written by each of several
/// who wait, on a slow disk; and how often it is tried meanwhile.
pub(crate) const SOON: Duration = Duration::from_secs(2);
const IN_TURN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(5);

/// The directory a path stands in; "." for a bare name.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Where [`write_atomic`] keeps what is not finished: `.NAME.tmp` beside `path`.
#[must_use]
pub fn temporary(path: &Path) -> PathBuf {
    beside(path, ".tmp")
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(extension);
    path.with_file_name(name)
}

/// Reads a whole file of at most `max` bytes.
///
/// Errors: [`FsError::TooLarge`] for a longer one; nothing of it is kept.
pub fn read_to_vec(fs: &dyn Fs, path: &Path, max: usize) -> Result<Vec<u8>, FsError> {
    let file = fs.open(path, Open::Read)?;
    let too_large = || FsError::TooLarge { path: path.to_path_buf(), max };
    let len = usize::try_from(file.len()?).map_err(|_| too_large())?;
    if len > max {
        return Err(too_large());
    }
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Replaces `path` by `bytes`: after a crash it holds the old bytes or the new, never a mixture, and
/// once this returns it holds the new.
///
/// Writes a temporary file beside it, syncs, reads back, renames, syncs the directory. One writer
/// per path at a time. On an error the old file still stands and the temporary one is removed as
/// far as that is possible; where only the sync of the directory failed, the new one stands, and a crash may
/// bring the old one back.
pub fn write_atomic(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    place(fs, path, bytes, |tmp| fs.rename(tmp, path))
}

/// Writes a temporary file whole, has it named `path`, and makes that durable.
fn place(
    fs: &dyn Fs,
    path: &Path,
    bytes: &[u8],
    rename: impl FnOnce(&Path) -> Result<(), FsError>,
) -> Result<(), FsError> {
    let tmp = temporary(path);
    // Written through this handle: by its name it might be another's file by then.
    let file = create_anew(fs, &tmp)?;
    if let Err(error) = fill(&*file, &tmp, bytes).and_then(|()| rename(&tmp)) {
        // The first error is the one to report; a leftover is replaced by the next attempt.
        let _ = fs.remove_file(&tmp);
        return Err(error);
    }
    fs.sync_dir(parent(path))
}

/// As [`write_atomic`], where others may write `path` at the same time: one after the other, who holds
/// `.NAME.lock` beside it. Writes nothing where it holds these bytes and nobody else can change them.
///
/// Errors: [`FsError::Locked`] where they take long.
pub fn write_shared(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let guard = beside(path, ".lock");
    let lock = lock_within(IN_TURN, fs, &guard)?;
    let is_there = read_to_vec(fs, path, bytes.len()).is_ok_and(|there| there == bytes);
    let written = if is_there && fs.is_private(path)? {
        remove_if_there(fs, &temporary(path))
    } else {
        write_atomic(fs, path, bytes)
    };
    // It goes while it is held, so that who waits for it makes another one. One that stays keeps nobody out.
    _ = remove_if_there(fs, &guard);
    drop(lock);
    written
}

/// Makes and locks a file that others hold for a moment only. `None` where there are no locks.
pub(crate) fn lock_within(
    time: Duration,
    fs: &dyn Fs,
    path: &Path,
) -> Result<Option<Box<dyn Lock>>, FsError> {
    let give_up = Instant::now() + time;
    loop {
        match fs.lock(path) {
            Ok(lock) => return Ok(Some(lock)),
            Err(FsError::Io { op: "lock", .. }) => return Ok(None),
            Err(FsError::Locked { .. }) if Instant::now() < give_up => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
}

/// Makes `path`, which must not exist: after a crash it is whole or absent; once this returns it is
/// durable, and so are the directories above it that had to be made.
///
/// Mode 0600 from the first byte on. A leftover of an interrupted attempt under the temporary name is
/// replaced, never followed.
///
/// Errors: [`FsError::Exists`]; nothing is left of an attempt that failed, as far as that is possible.
pub fn write_new(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    if fs.exists(path)? {
        return Err(FsError::Exists { path: path.to_path_buf() });
    }
    make_dirs(fs, parent(path))?;
    place(fs, path, bytes, |tmp| fs.rename_new(tmp, path))
}

/// Removes a file; that there is none is no error.
pub fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<(), FsError> {
    match fs.remove_file(path) {
        Err(FsError::NotFound { .. }) => Ok(()),
        done => done,
    }
}

/// Makes a directory and its missing parents, all of them durable on return: one that is there as well, as an
/// attempt may have made it that was killed before its sync.
pub fn make_dirs(fs: &dyn Fs, path: &Path) -> Result<(), FsError> {
    let mut missing = Vec::new();
    for dir in path.ancestors().take_while(|dir| !dir.as_os_str().is_empty()) {
        if fs.exists(dir).unwrap_or(false) {
            sync_name(fs, dir)?;
            break;
        }
        missing.push(dir);
    }
    for dir in missing.into_iter().rev() {
        fs.create_dir_all(dir)?;
        fs.sync_dir(parent(dir))?;
    }
    Ok(())
}

/// Makes the name of an existing directory durable. Where the one above it may not be read, or is none that
/// can be synced (autofs), it is not ours.
fn sync_name(fs: &dyn Fs, dir: &Path) -> Result<(), FsError> {
    use io::ErrorKind::{InvalidInput, PermissionDenied};
    if dir.parent().is_none() {
        return Ok(());
    }
    match fs.sync_dir(parent(dir)) {
        Err(FsError::Io { source, .. })
            if matches!(source.kind(), InvalidInput | PermissionDenied) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Makes a temporary file; a leftover of that name goes first. Never another's file: in a directory where others
/// may make files they would own what is written into theirs.
pub(crate) fn create_anew(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn File>, FsError> {
    remove_if_there(fs, path).map_err(|error| match error {
        FsError::Io { path, source, .. } => {
            FsError::Io { op: "remove a leftover that may be another user's:", path, source }
        }
        other => other,
    })?;
    fs.open(path, Open::CreateNew)
}

/// Writes an empty file, syncs it and reads it back.
pub(crate) fn fill(file: &dyn File, path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    file.write_at(bytes, 0)?;
    file.sync_all()?;
    // It may be a key.
    let mut back = Zeroizing::new(vec![0; bytes.len()]);
    let read = file.read_at(&mut back, 0)?;
    let same = read == bytes.len() && file.len()? == bytes.len() as u64 && *back == bytes;
    if !same {
        let source = io::Error::new(io::ErrorKind::InvalidData, "not what was written");
        return Err(FsError::Io { op: "read back", path: path.to_path_buf(), source });
    }
    Ok(())
}

/// `std::io::Write` over a file, from an offset on. Unbuffered: wrap it in a `BufWriter`.
#[derive(Debug)]
pub struct Writer {
    file: Arc<dyn File>,
    at: u64,
}

impl Writer {
    /// Writes from the start of the file.
    #[must_use]
    pub fn new(file: Arc<dyn File>) -> Self {
        Self { file, at: 0 }
    }

    /// Writes from `at` on.
    #[must_use]
    pub fn at(file: Arc<dyn File>, at: u64) -> Self {
        Self { file, at }
    }

    /// Where the next byte goes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl io::Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write_at(data, self.at)?;
        self.at += data.len() as u64;
        Ok(data.len())
    }

    /// Does not sync: that is the file's owner's decision.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `std::io::Read` over a file, from the start. Unbuffered: wrap it in a `BufReader`.
#[derive(Debug)]
pub struct Reader {
    file: Arc<dyn File>,
    at: u64,
}

impl Reader {
    /// Reads from the start of the file.
    #[must_use]
    pub fn new(file: Arc<dyn File>) -> Self {
        Self { file, at: 0 }
    }

    /// Where the next byte comes from.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl io::Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl io::Seek for Reader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            io::SeekFrom::Start(at) => {
                self.at = at;
                return Ok(at);
            }
            io::SeekFrom::Current(by) => (self.at, by),
            io::SeekFrom::End(by) => (self.file.len()?, by),
        };
        self.at = base
            .checked_add_signed(by)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        Ok(self.at)
    }
}
