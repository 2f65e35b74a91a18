//! What can be said of an archive without any secret: signed by whom, and whole.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use holdfast_crypto::Sha256;
use holdfast_fs::{Fs, FsError, Open, Reader, read_to_vec};
use holdfast_seal::verify_detached;
use holdfast_types::limits::{MANIFEST_BYTES_MAX, SIGNATURE_BYTES_MAX};
use holdfast_types::{Millis, hex};

use crate::name::{JSON, SIGNATURE, TAR};
use crate::open::read_manifest;
use crate::public::is_fingerprint;
use crate::{ArchiveError, Public, Unseal};

/// Bytes hashed at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// The three objects of an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveFiles {
    /// `NAME.tar.gpg`.
    pub tar: PathBuf,
    /// `NAME.json`.
    pub json: PathBuf,
    /// `NAME.json.sig`.
    pub signature: PathBuf,
}

impl ArchiveFiles {
    /// The set that `path` belongs to: the sealed tar, or its path without extension.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        // A path is bytes, and need not be UTF-8.
        let path = path.as_os_str().as_bytes();
        let ends = [TAR, SIGNATURE, JSON];
        let stem = ends.iter().find_map(|end| path.strip_suffix(end.as_bytes())).unwrap_or(path);
        let with = |extension: &str| {
            PathBuf::from(OsString::from_vec([stem, extension.as_bytes()].concat()))
        };
        Self { tar: with(TAR), json: with(JSON), signature: with(SIGNATURE) }
    }

    /// The sealed tar, to be read. Unbuffered.
    ///
    /// Errors: it is not there; the system does not open it.
    pub fn open_tar(&self, fs: &dyn Fs) -> Result<Reader, ArchiveError> {
        let file = fs.open(&self.tar, Open::Read).map_err(|error| missing(&self.tar, error))?;
        Ok(Reader::new(file))
    }
}

/// Whose signature counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// The signer with this fingerprint (hex, in any case, spaces allowed); another one is
    /// [`ArchiveError::OtherSigner`].
    Fingerprint(String),
    /// Nobody is known here: the answer is [`ArchiveError::UnknownSigner`], with the fingerprint.
    Nobody,
}

impl Trust {
    /// Whoever has this fingerprint, as it may be typed from paper; `None` where the text is none.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let plain = plain(text);
        is_fingerprint(&plain).then_some(Self::Fingerprint(plain))
    }
}

/// An archive whose signature, signer, size and SHA-256 agree; or one that was accepted without.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// What its JSON says; where it is unsigned, what its manifest says.
    pub public: Public,
    /// The signer's fingerprint; where it is unsigned, of whom the manifest names.
    pub signer: String,
    /// Nobody vouches for it: no signature held, and the caller accepted that. The seal and everything inside
    /// must agree all the same, but anybody who has the custodian's certificate could have sealed it.
    pub unsigned: bool,
}

/// Checks signature, signer, size and SHA-256, in this order. Opens nothing.
///
/// Errors: a part is missing, changed or cut; the signer is not trusted; a newer format.
pub fn check_sidecars(
    fs: &dyn Fs,
    files: &ArchiveFiles,
    trust: &Trust,
    now: Millis,
) -> Result<Signed, ArchiveError> {
    let signed = check_json(fs, files, trust, now)?;
    check_tar(files.open_tar(fs)?, files, &signed.public)?;
    Ok(signed)
}

/// Checks size and SHA-256 of the sealed tar of an archive, which is read from `tar`, by what its JSON says.
///
/// Errors: the tar cannot be read; it is another one.
pub fn check_tar(
    tar: impl Read,
    files: &ArchiveFiles,
    public: &Public,
) -> Result<(), ArchiveError> {
    let (size, sha256) = hash_all(tar).map_err(unreadable)?;
    if size != public.size || hex::encode(&sha256) != public.sha256 {
        return Err(ArchiveError::damaged(format!(
            "{} has {size} bytes, SHA-256 {}; its signed JSON says {} bytes, {}",
            files.tar.display(),
            hex::encode(&sha256),
            public.size,
            public.sha256
        )));
    }
    Ok(())
}

/// Checks signature and signer of the JSON alone, and does not look at the tar: to choose among archives.
///
/// Errors: as [`check_sidecars`].
pub fn check_json(
    fs: &dyn Fs,
    files: &ArchiveFiles,
    trust: &Trust,
    now: Millis,
) -> Result<Signed, ArchiveError> {
    let json = read(fs, &files.json, MANIFEST_BYTES_MAX)?;
    let signature = read(fs, &files.signature, SIGNATURE_BYTES_MAX)?;
    let public = Public::from_bytes(&json)?;
    let signer = verify_detached(&public.signer.certificate, &signature, &json, now)?;
    if signer != public.signer.fingerprint {
        return Err(ArchiveError::NotAuthentic("its JSON names another signer".to_owned()));
    }
    trusted(trust, &signer, false)?;
    Ok(Signed { public, signer, unsigned: false })
}

/// As [`check_sidecars`]; but where JSON or signature are missing or do not hold, what the sealed tar says of
/// itself is taken for it, and the answer is *unsigned*. An archive that is signed, by somebody else or for
/// other bytes, is refused as ever.
///
/// Errors: as [`check_sidecars`]; the tar does not open with `unseal`, or names another signer than `trust`.
pub fn accept_unsigned(
    fs: &dyn Fs,
    files: &ArchiveFiles,
    trust: &Trust,
    unseal: &Unseal,
    now: Millis,
) -> Result<Signed, ArchiveError> {
    match check_json(fs, files, trust, now) {
        Err(
            ArchiveError::Missing(_)
            | ArchiveError::NotAuthentic(_)
            | ArchiveError::Damaged(_)
            | ArchiveError::Fs(FsError::TooLarge { .. }),
        ) => {}
        Err(error) => return Err(error),
        Ok(_) => return check_sidecars(fs, files, trust, now),
    }
    let (size, sha256) = hash_all(files.open_tar(fs)?).map_err(unreadable)?;
    let sealed = BufReader::with_capacity(BUFFER_BYTES, files.open_tar(fs)?);
    // Not authenticated before the end of the tar: whoever opens it wholly compares it again.
    let manifest = read_manifest(sealed, unseal)?;
    let public = manifest.public(hex::encode(&sha256), size);
    let signer = public.signer.fingerprint.clone();
    // Nobody proves it, but whoever says whose it should be is not given another vault's.
    if matches!(trust, Trust::Fingerprint(_)) {
        trusted(trust, &signer, true)?;
    }
    Ok(Signed { public, signer, unsigned: true })
}

fn trusted(trust: &Trust, found: &str, unsigned: bool) -> Result<(), ArchiveError> {
    let found = found.to_owned();
    match trust {
        Trust::Nobody => Err(ArchiveError::UnknownSigner { fingerprint: found }),
        Trust::Fingerprint(wanted) => match plain(wanted) {
            wanted if wanted == found => Ok(()),
            wanted => Err(ArchiveError::OtherSigner { found, wanted, unsigned }),
        },
    }
}

/// A fingerprint as it stands in an archive: without spaces, in upper case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect()
}

fn read(fs: &dyn Fs, path: &Path, max: usize) -> Result<Vec<u8>, ArchiveError> {
    read_to_vec(fs, path, max).map_err(|error| missing(path, error))
}

/// A file whose end is where it ends: what fails is the disk.
fn unreadable(error: io::Error) -> ArchiveError {
    ArchiveError::Unreadable(error.to_string())
}

/// Size and SHA-256 of what is read to the end.
pub(crate) fn hash_all(mut reader: impl Read) -> io::Result<(u64, [u8; 32])> {
    let (mut size, mut hash) = (0, Sha256::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hash.finish()));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}

fn missing(path: &Path, error: FsError) -> ArchiveError {
    match error {
        FsError::NotFound { .. } => ArchiveError::Missing(path.to_owned()),
        other => ArchiveError::Fs(other),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_path_is_bytes_and_stays_so() {
        let path = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
        for given in [&b"a\xff/N\xfe.tar.gpg"[..], b"a\xff/N\xfe.json.sig", b"a\xff/N\xfe"] {
            let files = ArchiveFiles::of(&path(given));
            assert_eq!(files.tar, path(b"a\xff/N\xfe.tar.gpg"));
            assert_eq!(files.json, path(b"a\xff/N\xfe.json"));
            assert_eq!(files.signature, path(b"a\xff/N\xfe.json.sig"));
        }
    }
}
