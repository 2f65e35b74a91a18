//! The soft key: 32 random bytes in a file outside the data, named by slot, made exclusively, mode 0600.
//!
//! Whoever has the data and this file has the keys; whoever loses this file needs a custodian.

use std::path::{Component, Path, PathBuf};

use holdfast_fs::{Fs, FsError, read_to_vec};
use holdfast_keyring::SoftKey;
use holdfast_service::{Level, Warning};
use holdfast_types::{Kind, SlotId};
use zeroize::Zeroizing;

use crate::NodeError;
use crate::beside::{absolute, path_text};

/// A file longer than this is no soft key.
const FILE_BYTES_MAX: usize = 4096;

/// Where the soft key of a slot lies when nothing is said: the XDG configuration directory.
#[must_use]
pub fn default_soft_key(slot: SlotId) -> Option<PathBuf> {
    let context = holdfast_client::default_path()?;
    Some(context.with_file_name(format!("soft-{slot}.key")))
}

/// The path a soft key gets: absolute, never under the data, and text as the data is: the vault keeps both so.
pub(crate) fn place(asked: Option<&Path>, slot: SlotId, data: &Path) -> Result<PathBuf, NodeError> {
    let path = match asked {
        Some(path) => path.to_owned(),
        None => default_soft_key(slot).ok_or_else(|| {
            NodeError::new(Kind::SoftKey, "there is no configuration directory for the soft key")
                .next("say where it goes with --soft-key FILE")
        })?,
    };
    let path = absolute(&path)?;
    let data = absolute(data)?;
    path_text(&path).and(path_text(&data))?;
    if real(&path)?.starts_with(real(&data)?) {
        let message = format!("the soft key {} would lie under the data", path.display());
        return Err(NodeError::new(Kind::SoftKey, message)
            .next("whoever copies the data would have the keys: choose another --soft-key FILE"));
    }
    Ok(path)
}

/// Where a path leads. It may not exist yet: then its nearest ancestor that does decides, and what is missing must
/// be plain names, for nobody knows yet where a link or `..` will lead.
fn real(path: &Path) -> Result<PathBuf, NodeError> {
    for known in path.ancestors() {
        let Ok(real) = known.canonicalize() else { continue };
        let missing = path.strip_prefix(known).unwrap_or(Path::new(""));
        let next = missing.components().next().map(|name| known.join(name));
        let leads_nowhere = next.is_some_and(|next| next.is_symlink());
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if leads_nowhere || !missing.components().all(is_plain) {
            let message = format!("it cannot be told where {} leads", path.display());
            return Err(NodeError::new(Kind::BadInput, message)
                .next("give a path without .. or links behind what does not exist yet"));
        }
        return Ok(real.components().chain(missing.components()).collect());
    }
    Ok(path.to_owned())
}

/// There is one already.
pub(crate) fn exists(path: &Path) -> NodeError {
    NodeError::new(Kind::Exists, format!("a soft key exists at {}", path.display()))
        .next("it may be a live vault's: choose another place with --soft-key FILE")
}

/// Writes a new soft key, durable with its directory: whole or absent, never over something.
pub(crate) fn write_new(fs: &dyn Fs, path: &Path, key: &SoftKey) -> Result<(), NodeError> {
    holdfast_fs::write_new(fs, path, key.expose_secret()).map_err(|error| {
        let shown = path.display();
        let failed = match error {
            FsError::Exists { .. } => return exists(path),
            FsError::NoSpace { .. } => {
                NodeError::new(Kind::NoSpace, format!("no space for the soft key {shown}"))
            }
            error => {
                NodeError::new(Kind::SoftKey, format!("cannot write the soft key {shown}: {error}"))
            }
        };
        failed.next("choose another place with --soft-key FILE")
    })
}

/// Reads a soft key.
pub(crate) fn read(fs: &dyn Fs, path: &Path) -> Result<SoftKey, NodeError> {
    let shown = path.display();
    let bytes = read_to_vec(fs, path, FILE_BYTES_MAX)
        .map(Zeroizing::new)
        .map_err(|error| lost(&format!("cannot read the soft key {shown}: {error}")))?;
    SoftKey::read(&bytes)
        .map_err(|error| lost(&format!("the soft key {shown} is unusable: {error}")))
}

/// A weak point where others than its owner may read or change a soft key.
pub(crate) fn readable_by_others(path: &Path) -> Option<Warning> {
    holdfast_client::others_may_read(path).then(|| Warning {
        level: Level::Warning,
        what: format!("others may read the soft key {}", path.display()),
        next: format!("chmod 600 {}", path.display()),
    })
}

/// What to do when the soft key does not open this node's slot.
pub(crate) fn lost(message: &str) -> NodeError {
    NodeError::new(Kind::SoftKey, message).next(
        "give its place with --soft-key FILE; if it is lost, a custodian can restore: holdfast \
         restore ARCHIVE --identity FILE --data NEW_DIR --soft-key NEW_FILE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_fs::Disk;

    #[test]
    fn never_under_the_data() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, dir.path().join("link")).unwrap();
        let slot = SlotId([1; 16]);
        for under in ["data/soft.key", "data/a/b/soft.key", "link/soft.key"] {
            let error = place(Some(&dir.path().join(under)), slot, &data).unwrap_err();
            assert_eq!(error.kind, Kind::SoftKey, "{under}");
        }
        assert!(place(Some(&dir.path().join("data.key")), slot, &data).is_ok());
    }

    /// What is missing is made later, and then `..` and links may lead under the data.
    #[test]
    fn what_is_missing_is_plain_names() {
        let dir = tempfile::tempdir().unwrap();
        let [data, link] = ["v", "link"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink(&data, &link).unwrap();
        let slot = SlotId([1; 16]);
        for unclear in ["new/../v/s.key", "v/../v/s.key", "link/s.key", "link", "new/.."] {
            let error = place(Some(&dir.path().join(unclear)), slot, &data).unwrap_err();
            assert_eq!(error.kind, Kind::BadInput, "{unclear}");
            assert!(error.message.contains(unclear) && error.next.is_some(), "{error}");
        }
        let error = place(Some(&dir.path().join("s.key")), slot, &link.join("v")).unwrap_err();
        assert_eq!(error.kind, Kind::BadInput);
        std::fs::create_dir(dir.path().join("new")).unwrap();
        let under = place(Some(&dir.path().join("new/../v/s.key")), slot, &data).unwrap_err();
        assert_eq!(under.kind, Kind::SoftKey);
        for clear in ["new/../s.key", "new/more/s.key"] {
            assert!(place(Some(&dir.path().join(clear)), slot, &data).is_ok(), "{clear}");
        }
    }

    #[test]
    fn places_that_are_no_text_are_refused() {
        use std::os::unix::ffi::OsStrExt as _;
        let odd = Path::new(std::ffi::OsStr::from_bytes(b"/nu\xff"));
        let slot = SlotId([1; 16]);
        for (key, data) in [(odd.join("s.key"), "/d".into()), ("/s.key".into(), odd.join("d"))] {
            let error = place(Some(&key), slot, &data).unwrap_err();
            assert_eq!(error.kind, Kind::BadInput, "{}", key.display());
        }
    }

    #[test]
    fn a_soft_key_is_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/soft.key");
        let key = SoftKey::generate();
        write_new(&Disk, &path, &key).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(read(&Disk, &path).unwrap() == key);
        assert_eq!(write_new(&Disk, &path, &SoftKey::generate()).unwrap_err().kind, Kind::Exists);
        assert!(read(&Disk, &path).unwrap() == key);
        std::fs::write(&path, b"short").unwrap();
        let error = read(&Disk, &path).unwrap_err();
        assert_eq!(error.kind, Kind::SoftKey);
        assert!(error.next.unwrap().contains("custodian"));
    }
}
