//! What lies on the disk of the data, and dies with it. As far as this host can tell: a place that does
//! not exist here is on another one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Service;
use crate::ArchiveInfo;

impl Service {
    /// Whether a stored archive lies on the disk of the data.
    pub(super) fn on_data_disk(&self, archive: &ArchiveInfo) -> bool {
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
    pub(super) fn soft_key_on_data_disk(&self) -> Option<PathBuf> {
        let path = PathBuf::from(&self.soft.as_ref()?.recipient);
        let found = device(&path)?;
        (Some(found) == device(&self.data)).then_some(path)
    }
}

fn device(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.dev())
}
