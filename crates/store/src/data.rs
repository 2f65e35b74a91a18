//! The data directory of a node.
//!
//! ```text
//! LOCK          held by the one process that works here
//! vault.json    {"format":1,"vault_id":"...","node_id":"..."}
//! CURRENT       the state in use, "state.1\n"
//! INCOMPLETE    there while an init or a restore is at work; says what it makes elsewhere
//! state.N/  log/  audit/  archives/
//! ```
//!
//! [`DataDir::create`] writes `INCOMPLETE` before anything else and [`DataDir::finish`] removes it
//! after everything: a crash leaves a directory that opens as a whole, or one that says it is
//! incomplete and may be created again, or none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{Fs, FsError, Lock, Open, make_dirs, read_to_vec, write_atomic};
use holdfast_types::{NodeId, VaultId};
use serde::{Deserialize, Serialize};

use crate::StoreError;

const LOCK: &str = "LOCK";
const MARKER: &str = "vault.json";
const CURRENT: &str = "CURRENT";
const INCOMPLETE: &str = "INCOMPLETE";
const FORMAT: u32 = 1;
/// Most bytes of a marker.
const MARKER_BYTES_MAX: usize = 4096;
/// Most bytes of what `INCOMPLETE` says.
const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Whose directory it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The vault.
    pub vault_id: VaultId,
    /// This node.
    pub node_id: NodeId,
}

/// What every format says.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkerJson {
    format: u32,
    vault_id: VaultId,
    node_id: String,
}

/// A data directory, locked for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    marker: Marker,
    state: String,
    _lock: Box<dyn Lock>,
}

impl DataDir {
    /// Opens a finished directory and locks it.
    ///
    /// Errors: [`StoreError::NoVault`], [`StoreError::Incomplete`], [`FsError::Locked`] while another
    /// process works there, [`StoreError::Corrupt`].
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self, StoreError> {
        if !fs.exists(&root.join(MARKER))? && !fs.exists(&root.join(INCOMPLETE))? {
            // A marker is the first that a finished directory gets, and the last that it loses.
            return Err(match fs.exists(&root.join(CURRENT))? {
                true => StoreError::corrupt(&root.join(MARKER), "it is missing"),
                false => StoreError::NoVault(root.to_path_buf()),
            });
        }
        let lock = fs.lock(&root.join(LOCK))?;
        // A marker that is gone may come back in a power cut, and CURRENT's old content, until this.
        fs.sync_dir(root)?;
        if fs.exists(&root.join(INCOMPLETE))? {
            return Err(StoreError::Incomplete(root.to_path_buf()));
        }
        let marker = read_marker(fs.as_ref(), &root.join(MARKER))?;
        let state = read_current(fs.as_ref(), &root.join(CURRENT))?;
        Ok(Self { fs, root: root.to_path_buf(), marker, state, _lock: lock })
    }

    /// Whether [`Self::create`] would begin a new directory there; changes nothing.
    ///
    /// Errors: as those of [`Self::create`].
    pub fn may_be_created(fs: &dyn Fs, root: &Path) -> Result<(), StoreError> {
        if fs.exists(root)? { may_be_created(fs, root).map(drop) } else { Ok(()) }
    }

    /// Begins a new directory: absent, empty, or left incomplete by an earlier attempt, whose
    /// remains in it are removed. Its log, audit and archives directories exist on return, its state does
    /// not. What the earlier attempt said that it makes elsewhere is still [`Self::unfinished`].
    ///
    /// Errors: [`StoreError::NotEmpty`], [`StoreError::Vault`]; [`FsError::Locked`] while another attempt is at work.
    pub fn create(fs: Arc<dyn Fs>, root: &Path, marker: Marker) -> Result<Self, StoreError> {
        make_dirs(fs.as_ref(), root)?;
        may_be_created(fs.as_ref(), root)?;
        let lock = fs.lock(&root.join(LOCK))?;
        // Another attempt may have ended between the look and the lock.
        let remains = may_be_created(fs.as_ref(), root)?;
        fs.open(&root.join(INCOMPLETE), Open::Create)?.sync_all()?;
        fs.sync_dir(root)?;
        for (path, is_dir) in remains {
            if is_dir { fs.remove_dir_all(&path)? } else { fs.remove_file(&path)? }
        }
        for name in ["log", "audit", "archives"] {
            fs.create_dir_all(&root.join(name))?;
        }
        fs.sync_dir(root)?;
        let state = state_name(1);
        Ok(Self { fs, root: root.to_path_buf(), marker, state, _lock: lock })
    }

    /// What an attempt that did not end said of itself with [`Self::note`]; `None` where there is none.
    pub fn unfinished(fs: &dyn Fs, root: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        match read_to_vec(fs, &root.join(INCOMPLETE), NOTE_BYTES_MAX) {
            Ok(note) => Ok(Some(note)),
            Err(FsError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says in the marker of an unfinished directory what belongs to this attempt elsewhere, so that the
    /// next one can clear it; durable on return.
    pub fn note(&self, note: &[u8]) -> Result<(), StoreError> {
        Ok(write_atomic(self.fs.as_ref(), &self.root.join(INCOMPLETE), note)?)
    }

    /// Takes the content of an unfinished directory away, its marker last; the directory stays.
    ///
    /// Errors: [`StoreError::Vault`], [`StoreError::NotEmpty`] where it is finished.
    pub fn abandon(self) -> Result<(), StoreError> {
        let fs = self.fs.as_ref();
        for (path, is_dir) in may_be_created(fs, &self.root)? {
            if is_dir { fs.remove_dir_all(&path)? } else { fs.remove_file(&path)? }
        }
        fs.sync_dir(&self.root)?;
        for name in [INCOMPLETE, LOCK] {
            let path = self.root.join(name);
            if fs.exists(&path)? {
                fs.remove_file(&path)?;
            }
        }
        Ok(fs.sync_dir(&self.root)?)
    }

    /// Ends an init or a restore: everything in it must be durable. From here on it opens.
    pub fn finish(&self) -> Result<(), StoreError> {
        let json = MarkerJson {
            format: FORMAT,
            vault_id: self.marker.vault_id,
            node_id: self.marker.node_id.to_string(),
        };
        let mut text = serde_json::to_vec(&json).expect("three plain fields can be encoded");
        text.push(b'\n');
        write_atomic(self.fs.as_ref(), &self.root.join(MARKER), &text)?;
        self.point_at(&self.state)?;
        self.fs.remove_file(&self.root.join(INCOMPLETE))?;
        Ok(self.fs.sync_dir(&self.root)?)
    }

    /// Whose directory it is.
    #[must_use]
    pub fn marker(&self) -> Marker {
        self.marker
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the state in use.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join(&self.state)
    }

    /// The log's directory.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The audit log's directory.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// The directory of archives.
    #[must_use]
    pub fn archives(&self) -> PathBuf {
        self.root.join("archives")
    }

    /// Where to load another state, to switch to later: a directory that does not exist.
    pub fn next_state(&self) -> Result<PathBuf, StoreError> {
        let path = self.root.join(self.next_name());
        if self.fs.exists(&path)? {
            self.fs.remove_dir_all(&path)?;
        }
        Ok(path)
    }

    /// Switches to the state loaded at [`Self::next_state`], which must be durable, and removes the
    /// old one, which must be closed.
    pub fn switch_state(&mut self) -> Result<(), StoreError> {
        let next = self.next_name();
        self.point_at(&next)?;
        let old = std::mem::replace(&mut self.state, next);
        Ok(self.fs.remove_dir_all(&self.root.join(old))?)
    }

    fn next_name(&self) -> String {
        state_name(state_number(&self.state).map_or(1, |n| n + 1))
    }

    fn point_at(&self, state: &str) -> Result<(), StoreError> {
        let text = format!("{state}\n");
        Ok(write_atomic(self.fs.as_ref(), &self.root.join(CURRENT), text.as_bytes())?)
    }
}

/// What an earlier attempt left in a directory that may be made (again): paths, and whether directories.
fn may_be_created(fs: &dyn Fs, root: &Path) -> Result<Vec<(PathBuf, bool)>, StoreError> {
    let entries = fs.read_dir(root)?;
    let unfinished = entries.iter().any(|entry| entry.name == INCOMPLETE);
    let others = entries.iter().filter(|entry| entry.name != LOCK && entry.name != INCOMPLETE);
    let remains: Vec<_> = others.map(|entry| (root.join(&entry.name), entry.is_dir)).collect();
    if unfinished || remains.is_empty() {
        return Ok(remains);
    }
    if entries.iter().any(|entry| entry.name == MARKER) {
        return Err(StoreError::Vault(root.to_path_buf()));
    }
    Err(StoreError::NotEmpty(root.to_path_buf()))
}

fn state_name(n: u64) -> String {
    format!("state.{n}")
}

fn state_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("state.")?;
    digits.parse().ok().filter(|n| state_name(*n) == name)
}

fn read_marker(fs: &dyn Fs, path: &Path) -> Result<Marker, StoreError> {
    let bytes = read_small(fs, path)?;
    let corrupt = |error: serde_json::Error| StoreError::corrupt(path, error.to_string());
    // The number first: a newer format may say more.
    let AnyFormat { format } = serde_json::from_slice(&bytes).map_err(corrupt)?;
    if format > FORMAT {
        return Err(StoreError::Newer { path: path.to_path_buf(), found: format });
    }
    let json: MarkerJson = serde_json::from_slice(&bytes).map_err(corrupt)?;
    if json.format != FORMAT {
        return Err(StoreError::corrupt(path, "there is no such format"));
    }
    let node = u64::from_str_radix(&json.node_id, 16).ok().map(NodeId);
    let node_id = node
        .filter(|node| node.to_string() == json.node_id)
        .ok_or_else(|| StoreError::corrupt(path, "node_id is not 16 hex digits"))?;
    Ok(Marker { vault_id: json.vault_id, node_id })
}

fn read_current(fs: &dyn Fs, path: &Path) -> Result<String, StoreError> {
    let bytes = read_small(fs, path)?;
    let name = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let name = name.filter(|name| state_number(name).is_some());
    Ok(name.ok_or_else(|| StoreError::corrupt(path, "it names no state"))?.to_owned())
}

fn read_small(fs: &dyn Fs, path: &Path) -> Result<Vec<u8>, StoreError> {
    read_to_vec(fs, path, MARKER_BYTES_MAX).map_err(|error| match error {
        FsError::NotFound { .. } => StoreError::corrupt(path, "it is missing"),
        FsError::TooLarge { .. } => {
            StoreError::corrupt(path, io::Error::from(io::ErrorKind::InvalidData).to_string())
        }
        error => error.into(),
    })
}
