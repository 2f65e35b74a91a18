//! An archive's way into a directory: its three objects get their names when all of them are there.
//!
//! The tar is written under a temporary name while it is sealed, synced, read back by whoever wrote it;
//! then tar, JSON and signature are named, in this order: where the signature stands the archive is whole.
//! See [`FileSet`] for what a crash leaves, and who clears it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{File, FileSet, Fs, FsError, Open, Reader, make_dirs, read_to_vec, write_shared};
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;

use crate::aids;
use crate::name::{JSON, SIGNATURE, TAR};
use crate::sidecars::hash_all;

/// Largest file that [`place_aids`] compares with what it would write.
const AID_BYTES_MAX: usize = CERTIFICATE_BYTES_MAX;

/// An archive that is being written. Dropped before [`Placing::finish`] it leaves nothing behind.
///
/// As a writer it takes the sealed tar, unbuffered.
#[derive(Debug)]
pub struct Placing {
    fs: Arc<dyn Fs>,
    set: FileSet,
    tar: Arc<dyn File>,
    at: u64,
}

impl Placing {
    /// Begins the archive `name` in `dir`, which is made if need be, and clears what killed writers left
    /// there.
    ///
    /// Errors: [`FsError::Exists`] where there is such an archive, [`FsError::Locked`] while another
    /// process writes it.
    pub fn begin(fs: &Arc<dyn Fs>, dir: &Path, name: &str) -> Result<Self, FsError> {
        let set = FileSet::begin(fs, dir, name, &[TAR, JSON, SIGNATURE])?;
        let tar = set.create(TAR)?;
        Ok(Self { fs: Arc::clone(fs), set, tar, at: 0 })
    }

    /// Where the sealed tar will be.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.set.path(TAR)
    }

    /// Where the sealed tar is until then.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.set.temporary(TAR)
    }

    /// Makes the sealed tar durable.
    pub fn sync(&self) -> Result<(), FsError> {
        self.tar.sync_all()
    }

    /// Size and SHA-256 of what the disk gives back of the sealed tar.
    pub fn read_back(&self) -> Result<(u64, [u8; 32]), FsError> {
        let path = self.temporary();
        let reader = Reader::new(self.fs.open(&path, Open::Read)?);
        hash_all(reader).map_err(|source| FsError::new("read back", &path, source))
    }

    /// Writes JSON and signature, and gives all three their names. On return the archive is durable.
    pub fn finish(self, json: &[u8], signature: &[u8]) -> Result<(), FsError> {
        self.set.put(JSON, json)?;
        self.set.put(SIGNATURE, signature)?;
        self.set.finish()
    }
}

impl io::Write for Placing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.tar.write_at(data, self.at)?;
        self.at += data.len() as u64;
        Ok(data.len())
    }

    /// Does not sync: that is [`Placing::sync`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What lies at the root of every target, so that recovery by hand can begin there: written where it is
/// missing, or another one. Whether another vault's `cluster.pgp` was replaced.
pub fn place_aids(fs: &dyn Fs, dir: &Path, certificate: Vec<u8>) -> Result<bool, FsError> {
    make_dirs(fs, dir)?;
    let there = |name| read_to_vec(fs, &dir.join(name), AID_BYTES_MAX).ok();
    let aids = aids(certificate, there("cluster.pgp").as_deref());
    for (name, bytes) in &aids.files {
        // Several backups into one directory, each by a process of its own, may end at once.
        write_shared(fs, &dir.join(name), bytes)?;
    }
    Ok(aids.another)
}
