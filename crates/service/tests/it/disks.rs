//! A disk that does not answer, such as that of an archive on a network whose server is gone.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_fs::{DirEntry, Disk, File, Fs, FsError, Lock, Open};
use holdfast_service::Level;

use crate::vault::{Vault, admin};

/// Says how much room there is once somebody is gone, or after a minute.
#[derive(Debug)]
struct Silent(Mutex<Receiver<()>>);

impl Fs for Silent {
    fn free_bytes(&self, _: &Path) -> Option<u64> {
        _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(60));
        None
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        Disk.open(path, how)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        Disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        Disk.rename_new(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), FsError> {
        Disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<(), FsError> {
        Disk.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<(), FsError> {
        Disk.create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, FsError> {
        Disk.read_dir(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, FsError> {
        Disk.exists(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), FsError> {
        Disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, FsError> {
        Disk.lock(path)
    }
}

#[tokio::test]
async fn it_holds_neither_status_nor_anybody_else() {
    let (hold, held) = channel();
    let vault = Vault::with_archives_on(Arc::new(Silent(Mutex::new(held))));
    vault.key("k").await;
    let (asker, other) = (admin(), admin());
    let (status, sealed) =
        tokio::join!(vault.service.status(&asker), vault.encrypt(&other, "k", "x"));
    assert!(sealed.is_ok());
    let warnings = status.unwrap().warnings;
    let silent = warnings.iter().find(|found| found.what.contains("a disk does not answer"));
    assert_eq!(silent.expect("it is told").level, Level::Warning);
    assert!(hold.send(()).is_ok(), "it was not waited for");
}
