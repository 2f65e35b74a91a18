//! One backup of this process: what it is, and where it stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use holdfast_types::{ArchiveId, CustodianId, JobId, Kind, Revision};
use parking_lot::Mutex;

use super::seal::Maker;
use crate::{BackupInfo, BackupPhase, BackupProgress, BackupStarted, BackupTo, Error, Sidecars};

/// How long a backup is remembered after it ended.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// A backup of this process.
pub(in crate::service) struct Backup {
    pub(super) job: JobId,
    pub(super) archive_id: ArchiveId,
    pub(super) name: String,
    pub(super) revision: Revision,
    pub(super) custodians: Vec<CustodianId>,
    pub(super) to: BackupTo,
    pub(super) gauge: Gauge,
    standing: Mutex<Standing>,
}

/// Where a backup stands, and since when.
struct Standing {
    state: State,
    since: Instant,
}

impl Standing {
    fn now(state: State) -> Self {
        Self { state, since: Instant::now() }
    }
}

/// How far a running backup is.
#[derive(Clone, Default)]
pub(super) struct Gauge {
    pub(super) bytes: Arc<AtomicU64>,
    verifying: Arc<AtomicBool>,
}

impl Gauge {
    /// A phase begins.
    pub(super) fn begin(&self, phase: BackupPhase) {
        self.bytes.store(0, Ordering::Relaxed);
        self.verifying.store(phase == BackupPhase::Verifying, Ordering::Relaxed);
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn progress(&self) -> BackupProgress {
        let phase = match self.verifying.load(Ordering::Relaxed) {
            true => BackupPhase::Verifying,
            false => BackupPhase::Sealing,
        };
        BackupProgress::Running { phase, bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

pub(super) enum State {
    /// Not read yet: what makes it, with its view.
    Waiting(Maker),
    Running,
    Written(Done),
    Stored(Done),
    Failed(Error),
}

#[derive(Clone)]
pub(super) struct Done {
    pub(super) info: BackupInfo,
    pub(super) sidecars: Sidecars,
}

impl Backup {
    /// One that waits to be sealed by `maker`.
    pub(super) fn new(job: JobId, archive_id: ArchiveId, to: BackupTo, maker: Maker) -> Self {
        Self {
            job,
            archive_id,
            name: maker.name().to_owned(),
            revision: maker.to(),
            custodians: maker.custodians().iter().map(|found| found.custodian_id).collect(),
            to,
            gauge: Gauge::default(),
            standing: Mutex::new(Standing::now(State::Waiting(maker))),
        }
    }

    pub(super) fn file(&self) -> String {
        format!("{}.tar.gpg", self.name)
    }

    pub(super) fn set(&self, state: State) {
        *self.standing.lock() = Standing::now(state);
    }

    /// Whether it ended, or waits for its reader, for longer than anybody needs.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        let standing = self.standing.lock();
        !matches!(standing.state, State::Running)
            && now.saturating_duration_since(standing.since) >= REMEMBERED
    }

    /// Since when it waits for its reader; `None` where it does not.
    pub(super) fn unread_since(&self) -> Option<Instant> {
        let standing = self.standing.lock();
        matches!(standing.state, State::Waiting(_)).then_some(standing.since)
    }

    pub(super) fn started(&self) -> BackupStarted {
        BackupStarted {
            job: self.job,
            archive_id: self.archive_id,
            name: self.name.clone(),
            file: self.file(),
        }
    }

    pub(super) fn is_stored(&self) -> bool {
        matches!(self.standing.lock().state, State::Stored(_))
    }

    /// Takes the maker: only one caller gets it.
    pub(super) fn take(&self) -> Result<Maker, Error> {
        let mut standing = self.standing.lock();
        let state = &mut standing.state;
        match std::mem::replace(state, State::Running) {
            State::Waiting(maker) => Ok(maker),
            State::Failed(error) => {
                *state = State::Failed(error.clone());
                Err(error)
            }
            other => {
                *state = other;
                Err(self.read_already())
            }
        }
    }

    /// Lets go of what makes it, where nobody reads it yet. Whether it did not fail before is the answer.
    pub(super) fn fail_unread(&self, why: &Error) -> Result<bool, Error> {
        let mut standing = self.standing.lock();
        match &standing.state {
            State::Waiting(_) => {
                *standing = Standing::now(State::Failed(why.clone()));
                Ok(true)
            }
            State::Failed(_) => Ok(false),
            State::Running | State::Written(_) | State::Stored(_) => Err(self.read_already()),
        }
    }

    fn read_already(&self) -> Error {
        Error::new(Kind::Refused, format!("backup {} was read already", self.job))
            .next("begin another one: holdfast backup")
    }

    pub(super) fn progress(&self) -> BackupProgress {
        match &self.standing.lock().state {
            State::Waiting(_) => BackupProgress::Waiting,
            State::Running => self.gauge.progress(),
            State::Written(done) => BackupProgress::Written(done.info.clone()),
            State::Stored(done) => BackupProgress::Stored(done.info.clone()),
            State::Failed(error) => BackupProgress::Failed {
                kind: error.kind,
                message: error.message.clone(),
                next: error.next.clone(),
            },
        }
    }

    pub(super) fn done(&self) -> Result<Done, Error> {
        match &self.standing.lock().state {
            State::Written(done) | State::Stored(done) => Ok(done.clone()),
            State::Failed(error) => Err(error.clone()),
            State::Waiting(_) | State::Running => {
                Err(Error::new(Kind::Refused, format!("backup {} is not finished", self.job))
                    .next("read its tar to the end first"))
            }
        }
    }

    pub(super) fn holds_a_view(&self) -> bool {
        matches!(self.standing.lock().state, State::Waiting(_) | State::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_remembered_for_an_hour_after_it_ended() {
        let backup = Backup {
            job: JobId([1; 16]),
            archive_id: ArchiveId([2; 16]),
            name: "a".to_owned(),
            revision: Revision(1),
            custodians: Vec::new(),
            to: BackupTo::Client,
            gauge: Gauge::default(),
            standing: Mutex::new(Standing::now(State::Running)),
        };
        let later = |hours: u32| Instant::now() + REMEMBERED * hours;
        assert!(!backup.is_old(later(100)), "it is under way");
        let lasted = later(50);
        backup.set(State::Failed(Error::new(Kind::Other, "it failed")));
        backup.standing.lock().since = lasted;
        assert!(!backup.is_old(later(50)), "its end is new");
        assert!(backup.is_old(lasted + REMEMBERED));
    }
}
