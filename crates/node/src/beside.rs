//! The files that an init or a restore makes outside its data directory: soft key and client context.
//!
//! Before they are made the directory's `INCOMPLETE` marker names them, with the SHA-256 of what they will
//! hold. So the run after a killed one knows what is its predecessor's, and removes nothing else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use holdfast_client::Context;
use holdfast_crypto::sha256;
use holdfast_fs::{Fs, FsError, read_to_vec, remove_if_there, temporary, write_new};
use holdfast_store::DataDir;
use holdfast_types::Kind;
use zeroize::Zeroizing;

use crate::NodeError;

/// Largest file that an init or a restore makes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// What an attempt that did not end made, or was about to make.
#[derive(Default, Debug)]
pub(crate) struct Left(Vec<(PathBuf, [u8; 32])>);

impl Left {
    /// What the marker of an unfinished directory says; nothing where there is none.
    pub(crate) fn by(fs: &dyn Fs, data: &Path) -> Result<Self, NodeError> {
        let note = DataDir::unfinished(fs, data)
            .map_err(|error| NodeError::of_data(data, error))?
            .unwrap_or_default();
        Ok(Self(note.split(|byte| *byte == b'\n').filter_map(line).collect()))
    }

    /// Refuses a place where a file lies already that is not such a leftover, before anything is made.
    pub(crate) fn must_be_free(
        &self,
        fs: &dyn Fs,
        path: &Path,
        taken: fn(&Path) -> NodeError,
    ) -> Result<(), NodeError> {
        if !fs.exists(path)? || self.0.iter().any(|left| same(left, path) && holds(fs, left)) {
            return Ok(());
        }
        Err(taken(path))
    }

    /// Removes them, and their temporary files. What holds something else is not theirs and stays.
    pub(crate) fn clear(&self, fs: &dyn Fs) -> Result<(), NodeError> {
        for left in &self.0 {
            remove_if_there(fs, &temporary(&left.0))?;
            if holds(fs, left) {
                remove_if_there(fs, &left.0)?;
            }
        }
        Ok(())
    }
}

/// What the marker says of files about to be made.
pub(crate) fn note(files: &[(&Path, &[u8])]) -> Result<Vec<u8>, NodeError> {
    let mut note = Vec::new();
    for (path, content) in files {
        let path = as_absolute(path);
        if path.as_os_str().as_bytes().contains(&b'\n') {
            let message = format!("there is a line break in the path {}", path.display());
            return Err(NodeError::new(Kind::BadInput, message).next("choose another place"));
        }
        note.extend_from_slice(HEXLOWER.encode(&sha256(content)).as_bytes());
        note.extend_from_slice(b"  ");
        note.extend_from_slice(path.as_os_str().as_bytes());
        note.push(b'\n');
    }
    Ok(note)
}

/// Writes a new client context: mode 0600, whole or absent, never over something.
pub fn write_context(fs: &dyn Fs, path: &Path, context: &Context) -> Result<(), NodeError> {
    write_new(fs, path, context.to_text()?.as_bytes()).map_err(|error| match error {
        FsError::Exists { .. } => context_exists(path),
        other => NodeError::from(other).next("choose another place with --context FILE"),
    })
}

/// There is one already.
pub(crate) fn context_exists(path: &Path) -> NodeError {
    NodeError::new(Kind::Exists, format!("a context file exists at {}", path.display()))
        .next("it may be another vault's: choose another place with --context FILE")
}

fn line(line: &[u8]) -> Option<(PathBuf, [u8; 32])> {
    let (hex, rest) = line.split_at_checked(64)?;
    let hash = HEXLOWER.decode(hex).ok()?.try_into().ok()?;
    Some((PathBuf::from(OsStr::from_bytes(rest.strip_prefix(b"  ")?)), hash))
}

fn same(left: &(PathBuf, [u8; 32]), path: &Path) -> bool {
    left.0 == as_absolute(path)
}

fn holds(fs: &dyn Fs, (path, hash): &(PathBuf, [u8; 32])) -> bool {
    let content = read_to_vec(fs, path, FILE_BYTES_MAX).map(Zeroizing::new);
    content.is_ok_and(|content| sha256(&content) == *hash)
}

/// A path as text, for what is written down of it in the vault: lossily it would name nothing there.
///
/// Errors: it is not in UTF-8 (`BadInput`).
pub fn path_text(path: &Path) -> Result<&str, NodeError> {
    path.to_str().ok_or_else(|| {
        let message = format!("the path {} is not in UTF-8", path.display());
        NodeError::new(Kind::BadInput, message)
            .next("the vault keeps it as text: choose another place, or rename that directory")
    })
}

/// A path as it is from everywhere.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, NodeError> {
    std::path::absolute(path)
        .map_err(|error| NodeError::new(Kind::Other, format!("{}: {error}", path.display())))
}

/// As [`absolute`], or as it was given where that cannot be said.
pub(crate) fn as_absolute(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_fs::Mem;
    use holdfast_store::Marker;
    use holdfast_types::{NodeId, VaultId};

    #[test]
    fn only_what_holds_what_was_announced_is_cleared() {
        let (fs, data) = (Mem::new(), Path::new("/v/data"));
        let marker = Marker { vault_id: VaultId([1; 16]), node_id: NodeId(1) };
        let dir = DataDir::create(fs.shared(), data, marker).unwrap();
        let [ours, theirs, absent] = ["/k/ours", "/k/theirs", "/k/absent"].map(Path::new);
        dir.note(&note(&[(ours, b"1"), (theirs, b"2"), (absent, b"3")]).unwrap()).unwrap();
        drop(dir);
        write_new(&fs, ours, b"1").unwrap();
        write_new(&fs, theirs, b"not 2").unwrap();
        write_new(&fs, &temporary(absent), b"half").unwrap();

        let left = Left::by(&fs, data).unwrap();
        assert!(left.must_be_free(&fs, ours, context_exists).is_ok());
        assert_eq!(left.must_be_free(&fs, theirs, context_exists).unwrap_err().kind, Kind::Exists);
        assert!(left.must_be_free(&fs, absent, context_exists).is_ok());
        left.clear(&fs).unwrap();
        assert!(!fs.exists(ours).unwrap());
        assert!(fs.exists(theirs).unwrap());
        assert!(!fs.exists(&temporary(absent)).unwrap());
    }
}
