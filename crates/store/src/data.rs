//! The data directory of a node.
//!
//! ```text
//! LOCK          held by the one process that works here
//! vault.json    {"format":1,"vault_id":"...","node_id":"..."}
//! CURRENT       the state in use, "state.1\n"
//! INCOMPLETE    there while an init or a restore is at work
//! state.N/  log/  audit/  archives/
//! ```
//!
//! [`DataDir::create`] writes `INCOMPLETE` before anything else and [`DataDir::finish`] removes it
//! after everything: a crash leaves a directory that opens as a whole, or one that says it is
//! incomplete and may be created again, or none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{Fs, FsError, Lock, Open, parent, read_to_vec, write_atomic};
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

/// Whose directory it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The vault.
    pub vault_id: VaultId,
    /// This node.
    pub node_id: NodeId,
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

/// Opens a finished data directory; see [`DataDir::open`].
pub fn open_data(fs: Arc<dyn Fs>, dir: &Path) -> Result<DataDir, StoreError> {
    DataDir::open(fs, dir)
}

impl DataDir {
    /// Opens a finished directory and locks it.
    ///
    /// Errors: [`StoreError::NoVault`], [`StoreError::Incomplete`], [`FsError::Locked`] while another
    /// process works there, [`StoreError::Corrupt`].
    pub fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self, StoreError> {
        let no_vault = || StoreError::NoVault(root.to_path_buf());
        if !fs.exists(&root.join(MARKER))? && !fs.exists(&root.join(INCOMPLETE))? {
            return Err(no_vault());
        }
        let lock = fs.lock(&root.join(LOCK))?;
        if fs.exists(&root.join(INCOMPLETE))? {
            return Err(StoreError::Incomplete(root.to_path_buf()));
        }
        let marker = read_marker(fs.as_ref(), &root.join(MARKER))?;
        let state = read_current(fs.as_ref(), &root.join(CURRENT))?;
        Ok(Self { fs, root: root.to_path_buf(), marker, state, _lock: lock })
    }

    /// Begins a new directory: absent, empty, or left incomplete by an earlier attempt, whose
    /// remains are removed. Its log, audit and archives directories exist on return, its state does
    /// not.
    ///
    /// Errors: [`StoreError::NotEmpty`].
    pub fn create(fs: Arc<dyn Fs>, root: &Path, marker: Marker) -> Result<Self, StoreError> {
        fs.create_dir_all(root)?;
        fs.sync_dir(parent(root))?;
        let entries = fs.read_dir(root)?;
        let unfinished = entries.iter().any(|entry| entry.name == INCOMPLETE);
        if !unfinished && entries.iter().any(|entry| entry.name != LOCK) {
            return Err(StoreError::NotEmpty(root.to_path_buf()));
        }
        let lock = fs.lock(&root.join(LOCK))?;
        fs.open(&root.join(INCOMPLETE), Open::Create)?.sync_all()?;
        fs.sync_dir(root)?;
        for entry in entries.iter().filter(|e| e.name != LOCK && e.name != INCOMPLETE) {
            let path = root.join(&entry.name);
            if entry.is_dir { fs.remove_dir_all(&path)? } else { fs.remove_file(&path)? }
        }
        for name in ["log", "audit", "archives"] {
            fs.create_dir_all(&root.join(name))?;
        }
        fs.sync_dir(root)?;
        let state = state_name(1);
        Ok(Self { fs, root: root.to_path_buf(), marker, state, _lock: lock })
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

fn state_name(n: u64) -> String {
    format!("state.{n}")
}

fn state_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("state.")?;
    digits.parse().ok().filter(|n| state_name(*n) == name)
}

fn read_marker(fs: &dyn Fs, path: &Path) -> Result<Marker, StoreError> {
    let bytes = read_small(fs, path)?;
    let json: MarkerJson = serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::corrupt(path, error.to_string()))?;
    if json.format != FORMAT {
        return Err(StoreError::Newer { path: path.to_path_buf(), found: json.format });
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
