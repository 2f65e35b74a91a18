//! Archives, backups and drills on the wire. SHA-256 values are hex.

use serde::{Deserialize, Serialize};

/// An archive and how far it is proved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Archive {
    /// Its id, hex.
    pub archive_id: String,
    /// Its name, without file extensions.
    pub name: String,
    /// It holds what changed after this revision.
    pub from: u64,
    /// It holds the state at this revision.
    pub to: u64,
    /// SHA-256 of the sealed tar.
    pub sha256: String,
    /// Bytes of the sealed tar.
    pub size: u64,
    /// When it was made.
    pub written: Option<u64>,
    /// When it was read back from where it lies.
    pub stored: Option<u64>,
    /// Who says so: `vault`, or the identity (`h1:...`) that reported it.
    pub stored_by: Option<String>,
    /// When that copy was opened.
    pub verified: Option<u64>,
    /// When it was last drilled.
    pub drilled: Option<u64>,
    /// Whether a drill went through a custodian's layers.
    pub drilled_full: bool,
    /// Whether the vault's host looked for it where it was stored, and it is not there.
    pub gone: bool,
    /// Where the sealed tar lies: its absolute path, or what was reported.
    pub place: String,
    /// Whom it is sealed to: their names, or the ids of those who were removed since.
    pub custodians: Vec<String>,
}

/// Archives, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Archives {
    /// They.
    pub archives: Vec<Archive>,
}

/// A backup to make.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBackup {
    /// `vault` or `client`.
    pub to: String,
    /// Only to these custodians: names, fingerprints or ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custodians: Option<Vec<String>>,
}

/// A backup that was begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// The job's id, hex.
    pub job_id: String,
    /// The archive's id, hex.
    pub archive_id: String,
    /// The archive's name: that of its files without their extensions.
    pub name: String,
    /// The file name of the sealed tar: `name` and `.tar.gpg`.
    pub file: String,
}

/// How far a backup is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupState {
    /// `waiting`, `running`, `written`, `stored` or `failed`.
    pub state: String,
    /// What a running one does: `sealing`, or `verifying`, where the vault reads back and opens what it made.
    pub phase: Option<String>,
    /// Bytes of the sealed tar, so far: of a running one in its phase.
    pub size: u64,
    /// Whether the vault opened what it stored.
    pub verified: bool,
    /// Where the sealed tar lies, once it does.
    pub place: Option<String>,
    /// SHA-256 of the sealed tar, once written.
    pub sha256: Option<String>,
    /// What kind of failure, as errors say it: `no_space`.
    pub code: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
    /// What to do next.
    pub next: Option<String>,
}

/// What lies beside a sealed tar.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sidecars {
    /// The archive's name.
    pub name: String,
    /// `NAME.json`.
    pub json: super::Base64,
    /// `NAME.json.sig`.
    pub signature: super::Base64,
    /// SHA-256 of the sealed tar.
    pub sha256: String,
    /// Bytes of the sealed tar.
    pub size: u64,
}

/// A client's word that it stored an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// SHA-256 of what it read back.
    pub sha256: String,
    /// Bytes it read back.
    pub size: u64,
    /// Where.
    pub place: String,
}

/// A drill that was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// The archive's id, hex.
    pub archive_id: String,
    /// `byte` or `full`.
    pub mode: String,
    /// How long the restore took.
    pub elapsed_ms: u64,
    /// Key versions unwrapped.
    pub versions: u64,
    /// The state digest it found, hex.
    pub digest: String,
    /// SHA-256 of the sealed tar.
    pub sha256: String,
    /// The custodian whose key opened it, hex id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custodian_id: Option<String>,
}

/// A drill that was recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drilled {
    /// The ledger entry.
    pub seq: u64,
    /// When.
    pub at: u64,
    /// The archive as it stands now.
    pub archive: Archive,
}
