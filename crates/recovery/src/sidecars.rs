//! What can be said of an archive without any secret: signed by whom, and whole.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use holdfast_crypto::Sha256;
use holdfast_fs::{Fs, FsError, Open, Reader, read_to_vec};
use holdfast_seal::verify_detached;
use holdfast_types::Millis;
use holdfast_types::limits::{MANIFEST_BYTES_MAX, SIGNATURE_BYTES_MAX};

use crate::canonical::hex;
use crate::{ArchiveError, Public};

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
        let text = path.as_os_str().to_string_lossy();
        let stem = [".tar.gpg", ".json.sig", ".json"]
            .iter()
            .find_map(|extension| text.strip_suffix(extension))
            .unwrap_or(&text);
        let with = |extension: &str| PathBuf::from(format!("{stem}{extension}"));
        Self { tar: with(".tar.gpg"), json: with(".json"), signature: with(".json.sig") }
    }
}

/// Whose signature counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// The signer with this fingerprint (hex, in any case, spaces allowed).
    Fingerprint(String),
    /// Nobody is known here: the answer is [`ArchiveError::UnknownSigner`], with the fingerprint.
    Nobody,
}

/// An archive whose signature, signer, size and SHA-256 agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// What its JSON says.
    pub public: Public,
    /// The signer's fingerprint.
    pub signer: String,
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
    let json = read(fs, &files.json, MANIFEST_BYTES_MAX)?;
    let signature = read(fs, &files.signature, SIGNATURE_BYTES_MAX)?;
    let public = Public::from_bytes(&json)?;
    let signer = verify_detached(&public.signer.certificate, &signature, &json, now)?;
    if signer != public.signer.fingerprint {
        return Err(ArchiveError::NotAuthentic("its JSON names another signer".to_owned()));
    }
    trusted(trust, &signer)?;
    let (sha256, size) = hash(fs, &files.tar)?;
    if size != public.size || hex::encode(&sha256) != public.sha256 {
        return Err(ArchiveError::damaged(format!(
            "{} has {size} bytes, SHA-256 {}; its signed JSON says {} bytes, {}",
            files.tar.display(),
            hex::encode(&sha256),
            public.size,
            public.sha256
        )));
    }
    Ok(Signed { public, signer })
}

fn trusted(trust: &Trust, signer: &str) -> Result<(), ArchiveError> {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect()
    };
    match trust {
        Trust::Fingerprint(wanted) if plain(wanted) == plain(signer) => Ok(()),
        _ => Err(ArchiveError::UnknownSigner { fingerprint: signer.to_owned() }),
    }
}

fn read(fs: &dyn Fs, path: &Path, max: usize) -> Result<Vec<u8>, ArchiveError> {
    read_to_vec(fs, path, max).map_err(|error| missing(path, error))
}

fn hash(fs: &dyn Fs, path: &Path) -> Result<([u8; 32], u64), ArchiveError> {
    let file = fs.open(path, Open::Read).map_err(|error| missing(path, error))?;
    let mut reader = Reader::new(file);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| {
            ArchiveError::damaged(format!("failed to read {}: {error}", path.display()))
        })?;
        if read == 0 {
            return Ok((hash.finish(), reader.position()));
        }
        hash.update(&buffer[..read]);
    }
}

fn missing(path: &Path, error: FsError) -> ArchiveError {
    match error {
        FsError::NotFound { .. } => ArchiveError::Missing(path.to_owned()),
        other => ArchiveError::Fs(other),
    }
}
