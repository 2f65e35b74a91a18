//! A backup into the vault's own archive directory. Stored means: the whole object read back, hash equal.

use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_fs::{Fs, FsError, Open, Reader, Writer, temporary, write_atomic};
use holdfast_types::{IdentityId, Kind};

use super::{Backup, Service, State, blocking, seal};
use crate::{BackupInfo, Error};

/// Bytes moved at once.
const BUFFER_BYTES: usize = 256 * 1024;

impl Service {
    /// Seals into the archive directory, reads back, records. The error is kept in `backup`, too.
    pub(super) async fn run_to_vault(
        self: &Arc<Self>,
        actor: IdentityId,
        backup: &Arc<Backup>,
    ) -> Result<BackupInfo, Error> {
        let finished = self.make_in_vault(actor, backup).await;
        let info = finished.as_ref().map(|done| done.info.clone()).ok();
        self.settle(actor, backup, finished.map(State::Stored)).await?;
        info.ok_or_else(|| Error::new(Kind::Internal, "a finished backup without an archive"))
    }

    async fn make_in_vault(
        self: &Arc<Self>,
        actor: IdentityId,
        backup: &Arc<Backup>,
    ) -> Result<super::Done, Error> {
        let maker = backup.take()?;
        let (fs, dir) = (self.fs.clone(), self.archives.clone());
        let (file, bytes) = (backup.file(), backup.bytes.clone());
        let aids = self.recovery_aids()?;
        let sealed = blocking(move || {
            write_aids(&*fs, &dir, &aids)?;
            write_archive(&*fs, &dir, &file, maker, &bytes)
        });
        let sealed = sealed.await?;
        let place = self.archives.display().to_string();
        let done = self.record_written(actor, backup, &sealed, Some(place.clone())).await?;
        // The object was read back before its name appeared.
        self.record_stored(actor, backup, &place, "vault".to_owned()).await?;
        Ok(done)
    }
}

/// What lies at the root of every target, so that recovery by hand can begin there. Made once.
fn write_aids(fs: &dyn Fs, dir: &Path, aids: &[(&'static str, Vec<u8>)]) -> Result<(), Error> {
    fs.create_dir_all(dir)?;
    for (name, bytes) in aids {
        let path = dir.join(name);
        let same = holdfast_fs::read_to_vec(fs, &path, bytes.len()).is_ok_and(|old| old == *bytes);
        if !same {
            write_atomic(fs, &path, bytes)?;
        }
    }
    Ok(())
}

/// The tar under a temporary name, synced and read back; then its name, its JSON, its signature: without
/// the last one it is unfinished.
fn write_archive(
    fs: &dyn Fs,
    dir: &Path,
    file: &str,
    maker: seal::Maker,
    bytes: &Arc<AtomicU64>,
) -> Result<seal::Sealed, Error> {
    let path = dir.join(file);
    let temporary = temporary(&path);
    let written = write_tar(fs, &temporary, maker, bytes);
    let sealed = match written {
        Ok(sealed) => sealed,
        Err(error) => {
            // The first error is the one to report. Only names of our own making are removed.
            let _ = fs.remove_file(&temporary);
            return Err(error);
        }
    };
    fs.rename_new(&temporary, &path)?;
    fs.sync_dir(dir)?;
    write_atomic(fs, &dir.join(format!("{}.json", sealed.name)), &sealed.json)?;
    write_atomic(fs, &dir.join(format!("{}.json.sig", sealed.name)), &sealed.signature)?;
    Ok(sealed)
}

fn write_tar(
    fs: &dyn Fs,
    path: &Path,
    maker: seal::Maker,
    bytes: &Arc<AtomicU64>,
) -> Result<seal::Sealed, Error> {
    let handle = fs.open(path, Open::Create)?;
    handle.set_len(0)?;
    let counted = Counted { inner: Writer::new(handle.clone()), bytes };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, counted);
    let sealed = maker.seal(&mut out)?;
    out.flush().map_err(|error| write_failed(path, &error))?;
    drop(out);
    handle.sync_all()?;
    drop(handle);
    let (sha256, size) = read_back(fs, path)?;
    if (sha256, size) != (sealed.sha256, sealed.size) {
        let message = format!("{} reads back differently from what was written", path.display());
        return Err(
            Error::new(Kind::Damaged, message).next("check that disk; back up to another one")
        );
    }
    Ok(sealed)
}

/// SHA-256 and size of the whole file.
fn read_back(fs: &dyn Fs, path: &Path) -> Result<([u8; 32], u64), Error> {
    let mut reader = Reader::new(fs.open(path, Open::Read)?);
    let mut hash = holdfast_crypto::Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| {
            Error::new(Kind::Damaged, format!("failed to read back {}: {error}", path.display()))
        })?;
        if read == 0 {
            return Ok((hash.finish(), reader.position()));
        }
        hash.update(&buffer[..read]);
    }
}

struct Counted<'a> {
    inner: Writer,
    bytes: &'a AtomicU64,
}

impl std::io::Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn write_failed(path: &Path, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        _ => Kind::Other,
    };
    Error::new(kind, format!("failed to write {}: {error}", path.display()))
        .next("make room, or back up elsewhere: holdfast backup --output DIR")
}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        let kind = match error {
            FsError::NoSpace { .. } => Kind::NoSpace,
            FsError::NotFound { .. } => Kind::NotFound,
            FsError::Exists { .. } => Kind::Exists,
            FsError::Locked { .. } => Kind::InUse,
            FsError::TooLarge { .. } => Kind::Damaged,
            FsError::Io { .. } => Kind::Other,
        };
        Self::new(kind, error.to_string())
    }
}
