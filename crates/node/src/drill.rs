//! Opening an archive without a server: verify, and a drill, which is a real restore into scratch.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use holdfast_fs::{Disk, Fs, Open, Reader};
use holdfast_machine::{Head, RowSink, SinkError};
use holdfast_recovery::{ArchiveFiles, Opened, Public, Unseal, open_archive};
use holdfast_store::{Applied, DiskStore, StateStore as _};
use holdfast_types::{CustodianId, Epoch, EpochId, Kind, Revision, Row, TableClass};

use crate::NodeError;

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

/// Takes rows and keeps none.
struct Nowhere;

impl RowSink for Nowhere {
    fn put(&mut self, _: &Row) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Reads an archive to its end, with everything checked, and keeps nothing.
pub fn verify(
    files: &ArchiveFiles,
    signed: &Public,
    unseal: &Unseal,
    progress: &mut dyn FnMut(u64),
) -> Result<Tried, NodeError> {
    let began = Instant::now();
    let opened = open_archive(sealed(files)?, Some(signed), unseal, &mut Nowhere, progress)?;
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
    let began = Instant::now();
    let scratch = Scratch::make(scratch)?;
    let fs: Arc<dyn Fs> = Arc::new(Disk);
    let epoch = Epoch {
        n: signed.epoch,
        id: signed.incarnation,
        parent: EpochId::default(),
        base: Revision::epoch_base(signed.epoch).unwrap_or_default(),
    };
    let head = Head { revision: signed.to, at: signed.created, ..Head::new(epoch) };
    let mut loader = DiskStore::loader(fs, &scratch.0.join("state.1"), head, Applied::default())?;
    let opened = open_archive(sealed(files)?, Some(signed), unseal, &mut loader, progress)?;
    let store = loader.finish(None)?;
    let digest = holdfast_machine::View::head(&store.view()).digest(TableClass::Archived);
    if digest != opened.digest {
        let message = "the restored state has another digest than the archive";
        return Err(NodeError::new(Kind::Damaged, message));
    }
    Ok(Tried::new(&opened, began))
}

/// The sealed tar, to read once.
pub(crate) fn sealed(files: &ArchiveFiles) -> Result<BufReader<Reader>, NodeError> {
    let file = Disk.open(&files.tar, Open::Read)?;
    Ok(BufReader::with_capacity(256 * 1024, Reader::new(file)))
}

/// A directory of our own that goes away with it.
struct Scratch(PathBuf);

impl Scratch {
    fn make(under: &Path) -> Result<Self, NodeError> {
        let id: [u8; 8] = holdfast_crypto::random_array();
        let path = under.join(format!("holdfast-drill-{:016x}", u64::from_be_bytes(id)));
        Disk.create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the scratch directory {} stays", self.0.display());
        }
    }
}
