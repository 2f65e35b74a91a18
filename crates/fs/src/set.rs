//! Files that belong together, such as the three objects of an archive: all of them get their names, or none.
//!
//! `.STEM.writing` is made, durable and locked, before anything else, and goes last. Each file is written
//! under its temporary name and synced; then they are named in order, each durable before the next. So
//! where the last one stands the set is whole. What a killed process left bears its `.STEM.writing`, which
//! nobody holds any more: the next set begun in the directory clears it, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::tools::{SOON, create_anew, fill, lock_within};
use crate::{File, Fs, FsError, Lock, make_dirs, remove_if_there, temporary};

const WRITING: &str = ".writing";

/// A set that is being written. Dropped before [`FileSet::finish`] it leaves nothing behind.
#[derive(Debug)]
pub struct FileSet {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    stem: String,
    parts: &'static [&'static str],
    /// How many of the parts have their names.
    named: usize,
    done: bool,
    /// Not every file system has locks: without one nobody clears what is left, either.
    _lock: Option<Box<dyn Lock>>,
}

impl FileSet {
    /// Begins the set of `STEM` + each of `parts` in `dir`, which is made if need be, and clears what
    /// killed writers of such sets left there.
    ///
    /// Errors: [`FsError::Exists`] where one of the names is taken, [`FsError::Locked`] while another
    /// process writes the same set.
    pub fn begin(
        fs: &Arc<dyn Fs>,
        dir: &Path,
        stem: &str,
        parts: &'static [&'static str],
    ) -> Result<Self, FsError> {
        make_dirs(&**fs, dir)?;
        sweep(&**fs, dir, parts)?;
        for part in parts {
            let path = named(dir, stem, part);
            if fs.exists(&path)? {
                return Err(FsError::Exists { path });
            }
        }
        // Another set that begins here may take the marker for a leftover before it is locked, and clears it.
        let lock = lock_within(SOON, &**fs, &marker(dir, stem))?;
        let set = Self {
            fs: Arc::clone(fs),
            dir: dir.to_path_buf(),
            stem: stem.to_owned(),
            parts,
            named: 0,
            done: false,
            _lock: lock,
        };
        fs.sync_dir(dir)?;
        Ok(set)
    }

    /// Makes a part's file under its temporary name.
    pub fn create(&self, part: &str) -> Result<Arc<dyn File>, FsError> {
        create_anew(&*self.fs, &self.temporary(part))
    }

    /// Where a part is written, to be synced before [`FileSet::finish`].
    #[must_use]
    pub fn temporary(&self, part: &str) -> PathBuf {
        temporary(&self.path(part))
    }

    /// Where a part will be.
    #[must_use]
    pub fn path(&self, part: &str) -> PathBuf {
        named(&self.dir, &self.stem, part)
    }

    /// Writes a whole part, syncs it and reads it back.
    pub fn put(&self, part: &str, bytes: &[u8]) -> Result<(), FsError> {
        fill(&*self.create(part)?, &self.temporary(part), bytes)
    }

    /// Gives the parts their names, in order. On return the set is whole and durable; a marker that could not be
    /// removed may still stand beside it.
    ///
    /// Errors: [`FsError::Exists`] where somebody else took a name; nothing of the set is left then.
    pub fn finish(mut self) -> Result<(), FsError> {
        for part in self.parts {
            self.fs.rename_new(&self.temporary(part), &self.path(part))?;
            self.named += 1;
            self.fs.sync_dir(&self.dir)?;
        }
        self.done = true;
        // The set is whole and durable whether or not the marker goes: the next set takes away one that stays.
        _ = remove_if_there(&*self.fs, &marker(&self.dir, &self.stem));
        Ok(())
    }
}

impl Drop for FileSet {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // The error that led here is the one to report; what stays is cleared by the next set.
        _ = clear(&*self.fs, &self.dir, &self.stem, self.parts, &self.parts[..self.named]);
    }
}

/// Clears what killed writers left. A set whose last part has its name is whole and stays.
fn sweep(fs: &dyn Fs, dir: &Path, parts: &'static [&'static str]) -> Result<(), FsError> {
    for entry in fs.read_dir(dir)? {
        let stem =
            entry.name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(WRITING));
        let Some(stem) = stem.filter(|stem| !stem.is_empty() && entry.is_file) else { continue };
        // Whoever holds it is at work; where it cannot be taken it is left to somebody who can.
        let Ok(_lock) = fs.lock(&marker(dir, stem)) else { continue };
        let Some(last) = parts.last() else { continue };
        let whole = fs.exists(&named(dir, stem, last))?;
        match clear(fs, dir, stem, parts, if whole { &[] } else { parts }) {
            // Another user's, who alone may remove it.
            Err(FsError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::PermissionDenied => {}
            cleared => cleared?,
        }
    }
    Ok(())
}

/// Removes temporary files and `named` parts, the last one first; the marker when that is durable.
fn clear(
    fs: &dyn Fs,
    dir: &Path,
    stem: &str,
    parts: &[&str],
    unfinished: &[&str],
) -> Result<(), FsError> {
    for part in unfinished.iter().rev() {
        remove_if_there(fs, &named(dir, stem, part))?;
    }
    for part in parts {
        remove_if_there(fs, &temporary(&named(dir, stem, part)))?;
    }
    fs.sync_dir(dir)?;
    remove_if_there(fs, &marker(dir, stem))
}

fn named(dir: &Path, stem: &str, part: &str) -> PathBuf {
    dir.join(format!("{stem}{part}"))
}

fn marker(dir: &Path, stem: &str) -> PathBuf {
    dir.join(format!(".{stem}{WRITING}"))
}
