//! Opening an archive without a server: verify, and a drill, which is a real restore into scratch.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use holdfast_fs::{Disk, Fs, FsError, Lock, Reader};
use holdfast_machine::Head;
use holdfast_recovery::{ArchiveError, ArchiveFiles, Nowhere, Opened, Public, Unseal};
use holdfast_service::open_chained;
use holdfast_store::{Applied, DiskStore, StateStore as _};
use holdfast_types::{CustodianId, Epoch, EpochId, Kind, Revision, TableClass};

use crate::NodeError;
use crate::interrupt::{Stoppable, watch_interruptions};

/// An archive that was opened, wholly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// Key versions unwrapped against their check values.
    pub versions: u64,
    /// Rows read.
    pub rows: u64,
    /// The state digest found, hex.
    pub digest: String,
    /// How long it took.
    pub elapsed_ms: u64,
    /// The custodian whose slot opened.
    pub custodian: Option<CustodianId>,
}

impl Tried {
    fn new(opened: &Opened, began: Instant) -> Self {
        let slot = opened.manifest.slots.iter().find(|slot| slot.slot_id == opened.slot);
        Self {
            versions: opened.versions,
            rows: opened.rows,
            digest: opened.digest.to_string(),
            elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            custodian: slot.and_then(|slot| slot.custodian),
        }
    }
}

/// Reads an archive to its end, with everything checked, and keeps nothing.
pub fn verify(
    files: &ArchiveFiles,
    signed: &Public,
    unseal: &Unseal,
    progress: &mut dyn FnMut(u64),
) -> Result<Tried, NodeError> {
    watch_interruptions()?;
    let began = Instant::now();
    let (opened, _) = open_chained(sealed(&Disk, files)?, signed, unseal, &mut Nowhere, progress)?;
    Ok(Tried::new(&opened, began))
}

/// Restores an archive into a scratch directory under `scratch`, compares the digest of what was stored
/// with the archive's, and removes it.
pub fn drill(
    files: &ArchiveFiles,
    signed: &Public,
    unseal: &Unseal,
    scratch: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Tried, NodeError> {
    watch_interruptions()?;
    drill_in(&Disk::shared(), files, signed, unseal, scratch, progress)
}

/// As [`drill`], on another file system.
pub(crate) fn drill_in(
    fs: &Arc<dyn Fs>,
    files: &ArchiveFiles,
    signed: &Public,
    unseal: &Unseal,
    scratch: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Tried, NodeError> {
    let began = Instant::now();
    let scratch = Scratch::make(fs, scratch)?;
    let epoch = Epoch {
        n: signed.epoch,
        id: signed.incarnation,
        parent: EpochId::default(),
        base: Revision::epoch_base(signed.epoch).unwrap_or_default(),
    };
    let head = Head { revision: signed.to, at: signed.created, ..Head::new(epoch) };
    let mut loader = DiskStore::loader(Arc::clone(fs), &scratch.state(), head, Applied::default())?;
    let (opened, _) = open_chained(sealed(&**fs, files)?, signed, unseal, &mut loader, progress)?;
    let store = loader.finish(None)?;
    let digest = holdfast_machine::View::head(&store.view()).digest(TableClass::Archived);
    if digest != opened.digest {
        let message = "the restored state has another digest than the archive";
        return Err(NodeError::new(Kind::Damaged, message));
    }
    Ok(Tried::new(&opened, began))
}

/// The sealed tar, to read once.
pub(crate) fn sealed(
    fs: &dyn Fs,
    files: &ArchiveFiles,
) -> Result<BufReader<Stoppable<Reader>>, ArchiveError> {
    Ok(BufReader::with_capacity(256 * 1024, Stoppable(files.open_tar(fs)?)))
}

/// How a scratch directory's name begins.
const SCRATCH: &str = "holdfast-drill-";
/// Locked while a drill is at work in it.
const LOCK: &str = "LOCK";

/// A directory of our own that goes away with it.
struct Scratch {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    _lock: Box<dyn Lock>,
}

impl Scratch {
    fn make(fs: &Arc<dyn Fs>, under: &Path) -> Result<Self, NodeError> {
        fs.create_dir_all(under).map_err(|error| no_scratch(under, error))?;
        sweep(&**fs, under);
        let id: [u8; 8] = holdfast_crypto::random_array();
        let path = under.join(format!("{SCRATCH}{:016x}", u64::from_be_bytes(id)));
        fs.create_dir_all(&path)?;
        let lock = fs.lock(&path.join(LOCK))?;
        Ok(Self { fs: Arc::clone(fs), path, _lock: lock })
    }

    fn state(&self) -> PathBuf {
        self.path.join("state.1")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.fs.remove_dir_all(&self.path) {
            tracing::warn!(%error, "the scratch directory {} stays", self.path.display());
        }
    }
}

fn no_scratch(under: &Path, error: FsError) -> NodeError {
    let error = match error {
        FsError::Exists { .. } => {
            NodeError::new(Kind::Exists, format!("{} is not a directory", under.display()))
        }
        other => other.into(),
    };
    error.next("choose another directory with --scratch DIR")
}

/// Removes what killed drills left. Another user's, or one at work, stays.
fn sweep(fs: &dyn Fs, under: &Path) {
    for entry in fs.read_dir(under).unwrap_or_default() {
        let path = under.join(&entry.name);
        let ours = entry.name.to_str().is_some_and(|name| name.starts_with(SCRATCH));
        let lock = path.join(LOCK);
        if ours && entry.is_dir && fs.exists(&lock).unwrap_or(false) && fs.lock(&lock).is_ok() {
            // Whoever cannot remove it leaves it to somebody who can.
            _ = fs.remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests;
