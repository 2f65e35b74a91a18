//! A disk that gives nothing back says nothing about the archive on it: nobody throws a good copy away for it.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use holdfast_fs::{File, FileLayer, Fs, FsError, FsLayer, Mem, Open};
use holdfast_recovery::{ArchiveError, Trust, check_sidecars, open_archive};
use holdfast_types::Kind;

use crate::scene::{NOW, Scene, put};

/// `EIO` of Linux.
const EIO: i32 = 5;

/// A file of which only so many bytes can be read.
struct Until<'a>(&'a [u8]);

impl Read for Until<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Ok(0) => Err(io::Error::from_raw_os_error(EIO)),
            read => read,
        }
    }
}

#[test]
fn wherever_a_disk_stops_the_archive_is_not_called_damaged() {
    let scene = Scene::small();
    let (tar, sealed) = scene.write();
    let unseal = scene.unseal(0);
    for at in (0..tar.len()).step_by(211).chain([tar.len()]) {
        let reader = BufReader::with_capacity(512, Until(&tar[..at]));
        let mut sink = scene.sink();
        let opened = open_archive(reader, Some(&sealed.public), &unseal, &mut sink, &mut |_| ());
        let error = opened.err().unwrap();
        assert!(matches!(error, ArchiveError::Unreadable(_)), "at {at}: {error:?}");
        assert_eq!(error.kind(), Kind::Other);
        assert!(error.to_string().contains("os error 5"), "{error}");
    }
}

#[derive(Debug)]
struct Failing(Mem);

#[derive(Debug)]
struct FailingFile(Arc<dyn File>);

impl FileLayer for FailingFile {
    fn below(&self) -> &dyn File {
        &*self.0
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> Result<usize, FsError> {
        Err(FsError::new("read", Path::new("/usb/a"), io::Error::from_raw_os_error(EIO)))
    }
}

impl FsLayer for Failing {
    fn below(&self) -> &dyn Fs {
        &self.0
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn File>, FsError> {
        let file = self.0.open(path, how)?;
        let fails = path.extension().is_some_and(|extension| extension == "gpg");
        if fails { Ok(Arc::new(FailingFile(file))) } else { Ok(file) }
    }
}

#[test]
fn a_tar_that_cannot_be_hashed_is_not_called_damaged() {
    let scene = Scene::small();
    let (tar, sealed) = scene.write();
    let (mem, files) = put(&sealed, &tar);
    let trust = Trust::Fingerprint(scene.signer.fingerprint());
    let error = check_sidecars(&Failing(mem), &files, &trust, NOW).unwrap_err();
    assert!(matches!(error, ArchiveError::Unreadable(_)), "{error:?}");
    assert_eq!(error.kind(), Kind::Other);
    assert!(error.to_string().contains("/usb/a"), "{error}");
}
