//! An archive's way into a directory: its three objects get their names when all of them are there.
//!
//! The tar is written under a temporary name while it is sealed, synced, read back by whoever wrote it;
//! then tar, JSON and signature are named, in this order: where the signature stands the archive is whole.
//! See [`FileSet`] for what a crash leaves, and who clears it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{File, FileSet, Fs, FsError, Open, Reader, make_dirs, read_to_vec, write_shared};
use holdfast_seal::certificate_fingerprint;
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;

use crate::members::CLUSTER;
use crate::name::{JSON, SIGNATURE, TAR};
use crate::sidecars::hash_all;
use crate::{ArchiveError, aids};

/// Largest certificate that is read at a target's root.
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
/// missing, or another one.
///
/// Errors: the target is another vault's ([`must_be_own_target`]); it cannot be written.
pub fn place_aids(fs: &dyn Fs, dir: &Path, certificate: Vec<u8>) -> Result<(), ArchiveError> {
    make_dirs(fs, dir)?;
    if let Ok(signer) = certificate_fingerprint(&certificate) {
        must_be_own_target(fs, dir, &signer)?;
    }
    for (name, bytes) in aids(certificate, cluster_of(fs, dir)?.as_deref()) {
        // Several backups into one directory, each by a process of its own, may end at once.
        write_shared(fs, &dir.join(name), &bytes)?;
    }
    Ok(())
}

/// Refuses a directory that holds the archives of another vault than `signer`'s, the fingerprint of a primary key:
/// the certificate at its root, which theirs verify with by hand, can be one vault's only.
///
/// Errors: [`ArchiveError::AnotherTarget`]; what lies there cannot be read.
pub fn must_be_own_target(fs: &dyn Fs, dir: &Path, signer: &str) -> Result<(), ArchiveError> {
    let there = cluster_of(fs, dir)?;
    match there.and_then(|there| certificate_fingerprint(&there).ok()) {
        Some(found) if found != signer => {
            Err(ArchiveError::AnotherTarget { dir: dir.to_owned(), found })
        }
        // One that is damaged is nobody's.
        _ => Ok(()),
    }
}

/// The certificate at a target's root; one that is too large is none.
fn cluster_of(fs: &dyn Fs, dir: &Path) -> Result<Option<Vec<u8>>, FsError> {
    match read_to_vec(fs, &dir.join(CLUSTER), AID_BYTES_MAX) {
        Ok(there) => Ok(Some(there)),
        Err(FsError::NotFound { .. } | FsError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
