//! A backup into the vault's own archive directory. *Stored* means: the whole object read back, hash equal.
//! *Verified*: what was read back was opened, too, with the session keys that were kept: seal, sums, counts,
//! digest, root, canary, the ledger a chain, and every key version unwrapped. Both are one reading, in constant memory.

use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use holdfast_fs::{Fs, FsError, Open, Reader, is_denied, is_full};
use holdfast_recovery::{ArchiveError, Nowhere, Placing, Unseal, check_archive, place_aids};
use holdfast_seal::SessionKey;
use holdfast_types::{IdentityId, Kind, SlotId};

use super::job::{Backup, Done, Gauge, State};
use super::spare::{Ended, competing, in_spare_time, still_fed};
use super::{Service, seal};
use crate::chained::Chained;
use crate::service::drills::VAULT;
use crate::{BackupInfo, BackupPhase, Error};

/// Bytes moved at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// What to do where a disk is full.
pub(super) const ROOM: &str = "make room, or back up elsewhere: holdfast backup --output DIR";
/// What to do where a disk gives back other bytes.
pub(super) const CHECK_DISK: &str = "check that disk; back up to another one";
/// What reads back as it was sealed has the ledger that the state has.
const BROKEN: &str = "the vault's ledger is broken, and no archive of it could be restored";
/// What to do then.
const OLDER: &str =
    "restore the newest archive that verifies: holdfast verify ARCHIVE --identity FILE";

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
    ) -> Result<Done, Error> {
        let maker = Arc::new(backup.take()?);
        let certificate = self.signer_certificate()?;
        let write = || {
            let (fs, dir, gauge) = (self.fs.clone(), self.archives.clone(), backup.gauge.clone());
            let (maker, certificate) = (maker.clone(), certificate.clone());
            move || {
                place_aids(&*fs, &dir, certificate)?;
                write_archive(&fs, &dir, &maker, &gauge)
            }
        };
        let (sealed, verified) = match in_spare_time(write()).await {
            Err(Ended::Starved) => {
                tracing::warn!(job = %backup.job, "no core was free: the backup begins again, and competes");
                competing(write()).await?
            }
            ended => ended?,
        };
        let place = self.archives.display().to_string();
        let mut done = self.record_written(actor, backup, &sealed, Some(place.clone())).await?;
        done.info.verified = verified;
        // The object was read back before its name appeared.
        let place = self.archives.join(&done.info.file).display().to_string();
        self.record_stored(actor, backup, &place, VAULT.to_owned(), verified).await?;
        Ok(done)
    }
}

/// The tar under a temporary name, synced and read back; then its name, its JSON, its signature: without
/// the last one it is unfinished. Whether it was opened, too, is the second answer.
fn write_archive(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    maker: &seal::Maker,
    gauge: &Gauge,
) -> Result<(seal::Sealed, bool), Error> {
    let slots = maker.slots();
    gauge.begin(BackupPhase::Sealing);
    let mut placing = Placing::begin(fs, dir, maker.name())?;
    let counted = Counted { inner: &mut placing, gauge };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, counted);
    let sealed = maker.seal(&mut out)?;
    out.flush().map_err(|error| write_failed(dir, &error))?;
    drop(out);
    placing.sync()?;
    let path = placing.temporary();
    // After a restore there may be nobody's slot that was opened and is still there.
    gauge.begin(BackupPhase::Verifying);
    let verified = !slots.is_empty() && open_back(&**fs, &path, &sealed, slots, gauge)?;
    if !verified {
        read_back(&placing, &sealed)?;
    }
    placing.finish(&sealed.json, &sealed.signature)?;
    Ok((sealed, verified))
}

/// Reads the whole file back and opens it. Whether one of the slots inside could be opened is the answer.
fn open_back(
    fs: &dyn Fs,
    path: &Path,
    sealed: &seal::Sealed,
    slots: &[(SlotId, SessionKey)],
    gauge: &Gauge,
) -> Result<bool, Error> {
    let unseal = Unseal::Sessions { archive: sealed.session_key.clone(), slots: slots.to_vec() };
    let reader = Fed { inner: Reader::new(fs.open(path, Open::Read)?), gauge: gauge.clone() };
    let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
    let mut nowhere = Nowhere;
    let mut chained = Chained::new(&mut nowhere);
    match check_archive(reader, Some(&sealed.public), &unseal, &mut chained) {
        Ok(_) => match chained.end(&sealed.public.ledger) {
            Ok(_) => Ok(true),
            Err(why) => Err(Error::new(Kind::Damaged, format!("{BROKEN}: {why}")).next(OLDER)),
        },
        Err(ArchiveError::WrongIdentity(_)) => Ok(false),
        // The vault's own fault, not the disk's.
        Err(error @ ArchiveError::Keys(_)) => Err(error.into()),
        Err(error) => {
            let message =
                format!("{} does not read back as it was sealed: {error}", path.display());
            Err(Error::new(error.kind(), message).next(CHECK_DISK))
        }
    }
}

/// Size and SHA-256 of the whole file are those of what was written.
fn read_back(placing: &Placing, sealed: &seal::Sealed) -> Result<(), Error> {
    if placing.read_back()? == (sealed.size, sealed.sha256) {
        return Ok(());
    }
    let path = placing.path();
    let message = format!("{} reads back differently from what was written", path.display());
    Err(Error::new(Kind::Damaged, message).next(CHECK_DISK))
}

/// Stops where the thread that reads is starved.
struct Fed<R> {
    inner: R,
    gauge: Gauge,
}

impl<R: Read> Read for Fed<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        still_fed()?;
        let read = self.inner.read(buf)?;
        self.gauge.add(read);
        Ok(read)
    }
}

struct Counted<'a> {
    inner: &'a mut Placing,
    gauge: &'a Gauge,
}

impl std::io::Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        still_fed()?;
        let written = self.inner.write(data)?;
        self.gauge.add(written);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn write_failed(path: &Path, error: &std::io::Error) -> Error {
    let (kind, next) =
        if is_full(error) { (Kind::NoSpace, ROOM) } else { (Kind::Other, CHECK_DISK) };
    Error::new(kind, format!("failed to write {}: {error}", path.display())).next(next)
}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        let (kind, next) = match &error {
            FsError::NoSpace { .. } => (Kind::NoSpace, ROOM),
            FsError::NotFound { .. } => (Kind::NotFound, "see whether its disk is mounted"),
            FsError::Exists { .. } => {
                (Kind::Exists, "move away what lies there, then back up again")
            }
            FsError::Locked { .. } => (Kind::InUse, "wait for the holdfast that uses it"),
            FsError::TooLarge { .. } => (Kind::Damaged, CHECK_DISK),
            FsError::Io { source, .. } if is_denied(source) => {
                (Kind::Other, "check whether the server may write there")
            }
            FsError::Io { .. } => (Kind::Other, CHECK_DISK),
        };
        Self::new(kind, error.to_string()).next(next)
    }
}
