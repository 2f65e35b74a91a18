//! Backups: a job, one view, a sealed tar, its sidecars, and what the ledger says about them.
//!
//! Order, for both ways: the job record is committed; the view is taken after it; the tar is sealed from
//! that view while the node serves; then one transaction records the archive, its session keys and
//! the ledger's entry *archive*; *stored* follows when the whole object was read back, and with it
//! *verified* where the vault itself read it: it kept the session keys, so it opens what it reads.
//! Backups begin one after the other: the next one's job gets a revision above this one's view, and since an
//! archive is named by its view's revision, no two of a vault have one name.
//! A backup lives in this process: after a restart the job is reported as unknown and is begun again.

mod recorded;
mod seal;
mod share;
mod spare;
mod stream;
mod vault;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use holdfast_crypto::random_array;
use holdfast_records::{Job, JobKind, JobState, put};
use holdfast_types::{ArchiveId, CustodianId, Draft, Expect, IdentityId, JobId, Kind, Revision};
use parking_lot::Mutex;

use super::Service;
use super::read::get;
use crate::audit::Resource;
use crate::{
    Action, ArchiveInfo, BackupInfo, BackupPhase, BackupProgress, BackupStarted, BackupTo, Caller,
    CustodianSelector, Error, Sidecars, StartBackup, StoredReport,
};

use spare::in_spare_time;
pub use stream::BackupStream;

/// How long a backup is remembered after it ended.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// How many may run or wait for their reader at once: each holds a view.
const RUNNING_MAX: usize = 4;
/// How long a backup waits for its reader, and how long a reader may take nothing. Meanwhile it holds a view,
/// whose room the store cannot use again, and the place of another backup.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// The fence of a job that only its own node holds.
const TOKEN: u64 = 1;

/// A backup of this process.
pub(super) struct Backup {
    job: JobId,
    archive_id: ArchiveId,
    name: String,
    revision: Revision,
    custodians: Vec<CustodianId>,
    to: BackupTo,
    gauge: Gauge,
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
struct Gauge {
    bytes: Arc<AtomicU64>,
    verifying: Arc<AtomicBool>,
}

impl Gauge {
    /// A phase begins.
    fn begin(&self, phase: BackupPhase) {
        self.bytes.store(0, Ordering::Relaxed);
        self.verifying.store(phase == BackupPhase::Verifying, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
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

enum State {
    /// Not read yet: what makes it, with its view.
    Waiting(seal::Maker),
    Running,
    Written(Done),
    Stored(Done),
    Failed(Error),
}

#[derive(Clone)]
struct Done {
    info: BackupInfo,
    sidecars: Sidecars,
}

impl Backup {
    fn file(&self) -> String {
        format!("{}.tar.gpg", self.name)
    }

    fn set(&self, state: State) {
        *self.standing.lock() = Standing::now(state);
    }

    /// Whether it ended, or waits for its reader, for longer than anybody needs.
    fn is_old(&self, now: Instant) -> bool {
        let standing = self.standing.lock();
        !matches!(standing.state, State::Running)
            && now.saturating_duration_since(standing.since) >= REMEMBERED
    }

    fn started(&self) -> BackupStarted {
        BackupStarted {
            job: self.job,
            archive_id: self.archive_id,
            name: self.name.clone(),
            file: self.file(),
        }
    }

    /// Takes the maker: only one caller gets it.
    fn take(&self) -> Result<seal::Maker, Error> {
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
    fn fail_unread(&self, why: &Error) -> Result<bool, Error> {
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

    fn progress(&self) -> BackupProgress {
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

    fn done(&self) -> Result<Done, Error> {
        match &self.standing.lock().state {
            State::Written(done) | State::Stored(done) => Ok(done.clone()),
            State::Failed(error) => Err(error.clone()),
            State::Waiting(_) | State::Running => {
                Err(Error::new(Kind::Refused, format!("backup {} is not finished", self.job))
                    .next("read its tar to the end first"))
            }
        }
    }

    fn holds_a_view(&self) -> bool {
        matches!(self.standing.lock().state, State::Waiting(_) | State::Running)
    }
}

impl Service {
    /// Begins a backup. To the vault: it goes on by itself (see [`Service::backup_progress`], or wait
    /// with [`Service::backup_to_vault`]). To a client: it goes on when [`Service::backup_stream`] is read.
    pub async fn start_backup(
        self: &Arc<Self>,
        caller: &Caller,
        request: &StartBackup,
    ) -> Result<BackupStarted, Error> {
        let call = self.enter(caller, Action::BackupStart, Resource::Text("backup")).await?;
        let actor = call.actor.identity;
        let result = self.begin(actor, request.to, request.custodians.as_deref()).await;
        if let (Ok(backup), BackupTo::Vault) = (&result, request.to) {
            let (service, backup) = (self.clone(), backup.clone());
            tokio::spawn(async move { service.run_to_vault(actor, &backup).await });
        }
        let result = result.map(|backup| backup.started());
        call.end_with(result, |begun| format!("archive {} job {}", begun.name, begun.job))
    }

    /// A backup into the vault's own archive directory, until it is stored: written, synced, read back.
    pub async fn backup_to_vault(
        self: &Arc<Self>,
        caller: &Caller,
        custodians: Option<&[CustodianSelector]>,
    ) -> Result<BackupInfo, Error> {
        let call = self.enter(caller, Action::BackupStart, Resource::Text("backup")).await?;
        let actor = call.actor.identity;
        let result = match self.begin(actor, BackupTo::Vault, custodians).await {
            Ok(backup) => self.run_to_vault(actor, &backup).await,
            Err(error) => Err(error),
        };
        call.end_with(result, |made| format!("archive {}", made.name))
    }

    /// How far a backup is.
    pub async fn backup_progress(
        &self,
        caller: &Caller,
        job: JobId,
    ) -> Result<BackupProgress, Error> {
        let text = job.to_string();
        let call = self.enter(caller, Action::BackupRead, Resource::Text(&text)).await?;
        call.end(self.backup(job).map(|backup| backup.progress()))
    }

    /// The sealed tar, made while it is read, from one view. Once per job.
    pub async fn backup_stream(
        self: &Arc<Self>,
        caller: &Caller,
        job: JobId,
    ) -> Result<BackupStream, Error> {
        let text = job.to_string();
        let call = self.enter(caller, Action::BackupRead, Resource::Text(&text)).await?;
        let actor = call.actor.identity;
        let begun = self.for_a_reader(job).and_then(|backup| Ok((backup.take()?, backup)));
        let result = begun.map(|(maker, backup)| {
            let (sink, ending, stream) = stream::stream(backup.gauge.bytes.clone(), PATIENCE);
            let service = self.clone();
            tokio::spawn(async move {
                ending.say(service.run_to_client(actor, &backup, maker, sink).await);
            });
            stream
        });
        call.end(result)
    }

    /// Gives a backup up that waits for its reader: who began it cannot read it. Its view and its place are
    /// free at once. Of one that has failed or was given up the answer is how it stands.
    pub async fn cancel_backup(
        &self,
        caller: &Caller,
        job: JobId,
    ) -> Result<BackupProgress, Error> {
        let text = job.to_string();
        let call = self.enter(caller, Action::BackupCancel, Resource::Text(&text)).await?;
        let result = self.cancel(call.actor.identity, job).await;
        call.end(result)
    }

    async fn cancel(&self, actor: IdentityId, job: JobId) -> Result<BackupProgress, Error> {
        let backup = self.for_a_reader(job)?;
        let why = format!("backup {job} was given up before it was read");
        self.give_up(actor, &backup, why).await?;
        Ok(backup.progress())
    }

    /// JSON and signature of a backup whose tar was read to its end.
    pub async fn backup_sidecars(&self, caller: &Caller, job: JobId) -> Result<Sidecars, Error> {
        let text = job.to_string();
        let call = self.enter(caller, Action::BackupRead, Resource::Text(&text)).await?;
        call.end(self.backup(job).and_then(|backup| backup.done()).map(|done| done.sidecars))
    }

    /// Records that a client stored a backup: "stored, as reported by h1:...".
    pub async fn backup_stored(
        &self,
        caller: &Caller,
        job: JobId,
        report: &StoredReport,
    ) -> Result<ArchiveInfo, Error> {
        let text = job.to_string();
        let call = self.enter(caller, Action::BackupStored, Resource::Text(&text)).await?;
        let result = self.take_report(call.actor.identity, job, report).await;
        call.end_with(result, |stored| format!("archive {}", stored.name))
    }

    async fn take_report(
        &self,
        actor: IdentityId,
        job: JobId,
        report: &StoredReport,
    ) -> Result<ArchiveInfo, Error> {
        let backup = self.for_a_reader(job)?;
        let done = backup.done()?;
        if report.sha256 != done.info.sha256 || report.size != done.info.size {
            let message = format!("what was read back of {} is not what was sealed", backup.file());
            return Err(Error::new(Kind::NotAuthentic, message)
                .next("remove that copy, check the disk it lies on, and back up again"));
        }
        if report.place.is_empty() || report.place.len() > 4096 {
            return Err(Error::new(
                Kind::BadInput,
                "the place of a stored archive has 1 to 4096 bytes",
            ));
        }
        if matches!(backup.standing.lock().state, State::Stored(_)) {
            return self.reported_again(&backup, &report.place);
        }
        let info = self.record_reported(actor, &backup, &report.place).await?;
        backup.set(State::Stored(done));
        Ok(info)
    }

    /// The answer of the first report, to a client that did not hear it.
    fn reported_again(&self, backup: &Backup, place: &str) -> Result<ArchiveInfo, Error> {
        let archive = self.archive(backup.archive_id)?;
        if archive.place == place {
            return Ok(archive);
        }
        let message = format!("{} is stored already, at {}", backup.file(), archive.place);
        Err(Error::new(Kind::Exists, message)
            .next("for a record of another copy begin another backup: holdfast backup"))
    }

    /// The job record, then the view and what makes the archive from it.
    async fn begin(
        self: &Arc<Self>,
        actor: IdentityId,
        to: BackupTo,
        custodians: Option<&[CustodianSelector]>,
    ) -> Result<Arc<Backup>, Error> {
        let _turn = self.beginning.lock().await;
        let now = self.clock.now();
        self.forget_old();
        // Nobody else takes a place meanwhile.
        room(&self.backups.lock())?;
        // Refused before a job is recorded when there is nobody to seal to.
        seal::choose(&self.cluster.view(), custodians)?;
        let (job, archive_id) = (JobId(random_array()), ArchiveId(random_array()));
        let record = Job {
            job_id: job,
            kind: JobKind::Backup,
            holder: self.node,
            token: TOKEN,
            state: JobState::Running,
            started: now,
            ended: None,
            note: String::new(),
        };
        let rule = |_: &dyn holdfast_machine::View| {
            let mut draft = Draft::default();
            put(&mut draft, Expect::Absent, &record);
            Ok((draft, ()))
        };
        self.decide(actor, Action::BackupStart.verb(), rule).await?;
        let maker = self.maker(archive_id, custodians)?;
        let backup = Arc::new(Backup {
            job,
            archive_id,
            name: maker.name().to_owned(),
            revision: maker.to(),
            custodians: maker.custodians().iter().map(|found| found.custodian_id).collect(),
            to,
            gauge: Gauge::default(),
            standing: Mutex::new(Standing::now(State::Waiting(maker))),
        });
        self.backups.lock().insert(job, backup.clone());
        if to == BackupTo::Client {
            tokio::spawn(unread(Arc::downgrade(self), actor, Arc::downgrade(&backup)));
        }
        Ok(backup)
    }

    async fn run_to_client(
        self: &Arc<Self>,
        actor: IdentityId,
        backup: &Arc<Backup>,
        maker: seal::Maker,
        mut sink: stream::Sink,
    ) -> Result<(), Error> {
        let sealed = in_spare_time(move || {
            let sealed = maker.seal(&mut sink).map_err(|error| sink.why(error))?;
            let flushed = std::io::Write::flush(&mut sink);
            flushed.map_err(|error| sink.why(Error::new(Kind::Other, error.to_string())))?;
            Ok(sealed)
        });
        let finished = match sealed.await {
            Ok(sealed) => self.record_written(actor, backup, &sealed, None).await,
            Err(ended) => Err(ended.into()),
        };
        self.settle(actor, backup, finished.map(State::Written)).await
    }

    /// Keeps how a backup went, in this process and, where it failed, in its job record.
    async fn settle(
        &self,
        actor: IdentityId,
        backup: &Backup,
        finished: Result<State, Error>,
    ) -> Result<(), Error> {
        match finished {
            Ok(state) => {
                backup.set(state);
                Ok(())
            }
            Err(error) => {
                backup.set(State::Failed(error.clone()));
                self.job_failed(actor, backup.job, &error).await;
                Err(error)
            }
        }
    }

    async fn job_failed(&self, actor: IdentityId, job: JobId, why: &Error) {
        let now = self.clock.now();
        let rule = |view: &dyn holdfast_machine::View| {
            let mut draft = Draft::default();
            if let Some(found) = get::<Job>(view, job.as_bytes())? {
                let mut record = found.record;
                record.state = JobState::Failed;
                record.ended = Some(now);
                record.note.clone_from(&why.message);
                put(&mut draft, Expect::At(found.rev), &record);
            }
            Ok((draft, ()))
        };
        if let Err(error) = self.carry_out(actor, Action::BackupStart.verb(), rule).await {
            tracing::warn!(%job, %error, "the failed job was not recorded");
        }
    }

    /// Gives a backup up that was not read yet; the reason is kept in it, for whoever asks.
    async fn give_up(&self, actor: IdentityId, backup: &Backup, why: String) -> Result<(), Error> {
        let error = Error::new(Kind::Refused, why).next("begin another one: holdfast backup");
        if backup.fail_unread(&error)? {
            self.job_failed(actor, backup.job, &error).await;
        }
        Ok(())
    }

    fn for_a_reader(&self, job: JobId) -> Result<Arc<Backup>, Error> {
        let backup = self.backup(job)?;
        if backup.to == BackupTo::Vault {
            let message = format!("backup {job} goes to the vault's own directory");
            return Err(Error::new(Kind::Refused, message));
        }
        Ok(backup)
    }

    fn backup(&self, job: JobId) -> Result<Arc<Backup>, Error> {
        self.backups.lock().get(&job).cloned().ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no backup {job} on this node"))
                .next("it ended long ago, or the server was restarted: begin another one")
        })
    }

    fn forget_old(&self) {
        let now = Instant::now();
        self.backups.lock().retain(|_, backup| !backup.is_old(now));
    }
}

/// Refuses more than can run at once.
fn room(backups: &HashMap<JobId, Arc<Backup>>) -> Result<(), Error> {
    let running = backups.values().filter(|backup| backup.holds_a_view()).count();
    if running < RUNNING_MAX {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format!("{running} backups are under way"))
        .next("wait for one of them, then repeat the command"))
}

/// Gives a backup up that nobody came to read.
async fn unread(service: Weak<Service>, actor: IdentityId, backup: Weak<Backup>) {
    tokio::time::sleep(PATIENCE).await;
    let (Some(service), Some(backup)) = (service.upgrade(), backup.upgrade()) else { return };
    let minutes = PATIENCE.as_secs() / 60;
    let why = format!("nobody read backup {} for {minutes} minutes", backup.job);
    // Whoever reads it, or gave it up, was faster.
    _ = service.give_up(actor, &backup, why).await;
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
