//! What lies on the disk of the data, and dies with it. As far as this host can tell: a place that does
//! not exist here is on another one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_types::Millis;

use super::Service;
use crate::ArchiveInfo;

/// How long looking may take: a network disk whose server is gone never answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the disks say.
pub(super) struct Disks {
    /// When the newest archive that lies on another disk than the data was stored there.
    pub elsewhere: Option<Millis>,
    /// The soft key's file, where it lies on the disk of the data.
    pub soft_key: Option<PathBuf>,
    /// Bytes that are free for the data.
    pub free: Option<u64>,
}

impl Service {
    /// Looks where these archives, newest first, and the soft key lie. `None` where a disk does not answer;
    /// then one thread waits for it, and no second one is sent after it.
    pub(super) async fn look_at_disks(self: &Arc<Self>, stored: Vec<ArchiveInfo>) -> Option<Disks> {
        let service = Arc::clone(self);
        let look = async move {
            let turn = Arc::clone(&service.looking).lock_owned().await;
            let looked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                service.look(&stored)
            });
            looked.await.ok()
        };
        tokio::time::timeout(PATIENCE, look).await.ok().flatten()
    }

    fn look(&self, stored: &[ArchiveInfo]) -> Disks {
        let elsewhere = stored.iter().find(|archive| !self.on_data_disk(archive));
        Disks {
            elsewhere: elsewhere.and_then(|archive| archive.stored),
            soft_key: self.soft_key_on_data_disk(),
            free: self.fs.free_bytes(&self.data),
        }
    }

    /// Whether a stored archive lies on the disk of the data.
    fn on_data_disk(&self, archive: &ArchiveInfo) -> bool {
        let place = Path::new(&archive.place);
        // The vault names its own directory, a client the file; it may have written it on this host.
        let file = match place.is_dir() {
            true => place.join(format!("{}.tar.gpg", archive.name)),
            false => place.to_owned(),
        };
        match std::fs::metadata(&file) {
            Ok(found) => found.len() == archive.size && Some(found.dev()) == device(&self.data),
            // Gone, or never here: the vault's own would be on this disk, a client's is elsewhere.
            Err(_) => place.starts_with(&self.archives),
        }
    }

    /// The soft key's file, where it lies on the disk of the data.
    fn soft_key_on_data_disk(&self) -> Option<PathBuf> {
        let path = PathBuf::from(&self.soft.as_ref()?.recipient);
        let found = device(&path)?;
        (Some(found) == device(&self.data)).then_some(path)
    }
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.dev())
}
