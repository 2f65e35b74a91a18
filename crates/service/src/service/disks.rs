//! What lies on the disk of the data, and dies with it, and what no longer lies where it was stored. As far
//! as this host can tell: a place whose directory does not exist here is on another one, or its disk is unplugged;
//! unless the archive was seen on the disk of the data before, which is there.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_cluster::Cluster;
use holdfast_records::SeenWithData;
use holdfast_types::{ArchiveId, Kind, Millis};

use super::Service;
use crate::{ArchiveInfo, Error};

/// How many archives that lie with the data are remembered, the newest.
const SEEN_MAX: usize = 1000;

/// What the disks say.
pub(super) struct Disks {
    /// When the newest archive that lies on another disk than the data was stored there.
    pub elsewhere: Option<Millis>,
    /// Where that one lies, if this host cannot look there.
    pub unseen: Option<String>,
    /// The archives that are not where they were stored.
    pub gone: Vec<ArchiveId>,
    /// The soft key's file, where it lies on the disk of the data.
    pub soft_key: Option<PathBuf>,
    /// Bytes that are free for the data.
    pub free: Option<u64>,
}

/// Where a stored archive lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// On the disk of the data.
    WithData,
    /// On another disk.
    Elsewhere,
    /// Where this host cannot look: on another one, or on a disk that is unplugged.
    Unseen,
    /// It was here, and is no longer.
    Gone,
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
        tokio::time::timeout(self.disk_patience, look).await.ok().flatten()
    }

    fn look(&self, stored: &[ArchiveInfo]) -> Disks {
        let lies: Vec<Lies> = stored.iter().map(|archive| self.lies(archive)).collect();
        let those = |which| stored.iter().zip(&lies).filter(move |(_, lies)| **lies == which);
        self.remember(those(Lies::WithData).map(|(archive, _)| archive));
        let away = |lies| matches!(lies, Lies::Elsewhere | Lies::Unseen);
        let away = stored.iter().zip(&lies).find(|(_, lies)| away(**lies));
        let unseen = away.filter(|(_, lies)| **lies == Lies::Unseen);
        Disks {
            elsewhere: away.and_then(|(archive, _)| archive.stored),
            unseen: unseen.map(|(archive, _)| archive.place.clone()),
            gone: those(Lies::Gone).map(|(archive, _)| archive.archive_id).collect(),
            soft_key: self.soft_key_on_data_disk(),
            free: self.fs.free_bytes(&self.data),
        }
    }

    fn lies(&self, archive: &ArchiveInfo) -> Lies {
        let place = Path::new(&archive.place);
        // The vault names its own directory, a client the file; it may have written it on this host.
        let file = match place.is_dir() {
            true => place.join(format!("{}.tar.gpg", archive.name)),
            false => place.to_owned(),
        };
        match std::fs::metadata(&file) {
            Ok(found) if found.len() != archive.size => Lies::Gone,
            Ok(found) if Some(found.dev()) == device(&self.data) => Lies::WithData,
            Ok(_) => Lies::Elsewhere,
            Err(error) => self.lies_unseen(archive.archive_id, &file, error.kind()),
        }
    }

    /// Where an archive lies whose file cannot be looked at.
    fn lies_unseen(&self, id: ArchiveId, file: &Path, why: ErrorKind) -> Lies {
        let own = file.starts_with(&self.archives) || self.seen.lock().archives.contains(&id);
        let was_here = || file.is_absolute() && file.parent().is_some_and(Path::is_dir);
        match why {
            // Without its directory, a client's was never on this host, or its disk is unplugged.
            ErrorKind::NotFound if own || was_here() => Lies::Gone,
            _ if own => Lies::WithData,
            _ => Lies::Unseen,
        }
    }

    /// Keeps which archives of clients were seen on the disk of the data: where their directory goes, too, nobody
    /// shall take them for unplugged.
    fn remember<'a>(&self, with_data: impl Iterator<Item = &'a ArchiveInfo>) {
        let mut seen = self.seen.lock();
        let new = |archive: &&ArchiveInfo| {
            !Path::new(&archive.place).starts_with(&self.archives)
                && !seen.archives.contains(&archive.archive_id)
        };
        let new: Vec<ArchiveId> = with_data.filter(new).map(|archive| archive.archive_id).collect();
        if new.is_empty() {
            return;
        }
        seen.archives.extend(new);
        let too_many = seen.archives.len().saturating_sub(SEEN_MAX);
        seen.archives.drain(..too_many);
        let bytes = seen.to_bytes();
        let kept = self.cluster.with_store(|store| store.put_local(SeenWithData::KEY, &bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "which archives lie on the disk of the data is forgotten at the next start");
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

/// What this node remembers of before.
pub(super) fn seen_with_data(cluster: &Cluster) -> Result<SeenWithData, Error> {
    let row = cluster.with_store(|store| store.get_local(SeenWithData::KEY));
    let row = row.map_err(|error| {
        Error::new(Kind::Damaged, format!("a local record of this node: {error}"))
    })?;
    Ok(row.map(|bytes| SeenWithData::from_bytes(&bytes)).transpose()?.unwrap_or_default())
}
