//! Archives, backups and drills.

use holdfast_types::{ArchiveId, CustodianId, JobId, Kind, Millis, Name, Revision};

use super::CustodianSelector;

/// How far an archive has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveInfo {
    /// Its id.
    pub archive_id: ArchiveId,
    /// Its name, without file extensions.
    pub name: String,
    /// It holds what changed after this revision; zero for a base.
    pub from: Revision,
    /// It holds the state at this revision.
    pub to: Revision,
    /// SHA-256 of the sealed tar.
    pub sha256: [u8; 32],
    /// Bytes of the sealed tar.
    pub size: u64,
    /// The digest of what it holds, hex.
    pub digest: String,
    /// When it was made, in state time.
    pub written: Option<Millis>,
    /// When the whole object was read back from where it lies.
    pub stored: Option<Millis>,
    /// Who says that it was: `vault`, or the identity that reported it.
    pub stored_by: Option<String>,
    /// When that copy was opened and its digest was equal.
    pub verified: Option<Millis>,
    /// When it was last restored into scratch.
    pub drilled: Option<Millis>,
    /// When that was done last through a custodian's layers: a full drill.
    pub drilled_full: Option<Millis>,
    /// Whether this host looked for it where it was stored, and it is not there.
    pub gone: bool,
    /// Where it lies: a path, or what a client reported.
    pub place: String,
    /// Whom it is sealed to.
    pub custodians: Vec<Recipient>,
}

/// A custodian whom an archive is sealed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    /// Their id.
    pub custodian_id: CustodianId,
    /// Their name; `None` where they were removed since.
    pub name: Option<Name>,
}

/// Where a backup goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupTo {
    /// Into the vault's own archive directory.
    Vault,
    /// To the caller, as a stream.
    Client,
}

/// The backup to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartBackup {
    /// Where it goes.
    pub to: BackupTo,
    /// Only to these custodians; to all where nothing is said.
    pub custodians: Option<Vec<CustodianSelector>>,
}

/// A backup that was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupStarted {
    /// The job, for everything that follows.
    pub job: JobId,
    /// The archive.
    pub archive_id: ArchiveId,
    /// Its name, without file extensions.
    pub name: String,
    /// The file name of the sealed tar.
    pub file: String,
}

/// How far a backup is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupProgress {
    /// Begun, no byte sealed yet.
    Waiting,
    /// At work.
    Running {
        /// At what.
        phase: BackupPhase,
        /// Bytes of the sealed tar so far in this phase.
        bytes: u64,
    },
    /// Sealed and signed; a client has to report that it stored it.
    Written(BackupInfo),
    /// Stored.
    Stored(BackupInfo),
    /// Failed.
    Failed {
        /// What kind of failure.
        kind: Kind,
        /// Why.
        message: String,
        /// What to do next, where that is known.
        next: Option<String>,
    },
}

/// What is done of a running backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackupPhase {
    /// It is made.
    Sealing,
    /// The vault reads back what it made, and opens it.
    Verifying,
}

/// A finished archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupInfo {
    /// The archive.
    pub archive_id: ArchiveId,
    /// Its name, without file extensions.
    pub name: String,
    /// The file name of the sealed tar.
    pub file: String,
    /// The directory it lies in, where that is the vault's own.
    pub directory: Option<String>,
    /// Bytes of the sealed tar.
    pub size: u64,
    /// SHA-256 of the sealed tar.
    pub sha256: [u8; 32],
    /// Whether the vault opened what it read back.
    pub verified: bool,
}

/// What lies beside a sealed tar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sidecars {
    /// The archive's name, without file extensions.
    pub name: String,
    /// `NAME.json`.
    pub json: Vec<u8>,
    /// `NAME.json.sig`.
    pub signature: Vec<u8>,
    /// SHA-256 of the sealed tar.
    pub sha256: [u8; 32],
    /// Bytes of the sealed tar.
    pub size: u64,
}

/// A client's word that it wrote, synced and read back an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredReport {
    /// SHA-256 of what it read back.
    pub sha256: [u8; 32],
    /// Bytes it read back.
    pub size: u64,
    /// Where, in the client's words.
    pub place: String,
}

/// Which layers a drill went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrillMode {
    /// By the session key the vault kept.
    Byte,
    /// Through a custodian's layers, as in a disaster.
    Full,
}

/// A drill that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillReport {
    /// Of which archive.
    pub archive_id: ArchiveId,
    /// Byte or full.
    pub mode: DrillMode,
    /// How long the restore took, in milliseconds.
    pub elapsed_ms: u64,
    /// How many key versions were unwrapped against their check values.
    pub versions: u64,
    /// The state digest it found, hex; must be the one the ledger recorded.
    pub digest: String,
    /// SHA-256 of the sealed tar it opened; must be the archive's.
    pub sha256: [u8; 32],
    /// The custodian whose key opened it, where known.
    pub custodian: Option<CustodianId>,
}

impl DrillReport {
    /// Whose key had a part in it, where known: nobody's in a byte drill.
    pub(crate) fn opened_by(&self) -> Option<CustodianId> {
        self.custodian.filter(|_| self.mode == DrillMode::Full)
    }
}

/// What became of a drill report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrillRecord {
    /// The ledger entry.
    pub seq: u64,
    /// When, in state time.
    pub at: Millis,
    /// The archive as it stands now.
    pub archive: ArchiveInfo,
}
