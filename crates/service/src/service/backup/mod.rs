//! Backups: a job, one view, a sealed tar, its sidecars, and what the ledger says about them.
//!
//! Order, for both ways: the job record is committed; the view is taken after it; the tar is sealed from
//! that view while the node serves; then one transaction records the archive, its session keys and
//! the ledger's entry *archive*; *stored* follows when the whole object was read back, and with it
//! *verified* where the vault itself read it: it kept the session keys, so it opens what it reads.
//! Backups begin one after the other: the next one's job gets a revision above this one's view, and since an
//! archive is named by its view's revision, no two of a vault have one name.
//! A backup lives in this process: after a restart the job is reported as unknown and is begun again.

mod job;
mod jobs;
mod recorded;
mod run;
mod seal;
mod share;
mod spare;
mod stream;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use holdfast_types::{IdentityId, JobId, Kind};

use super::Service;
use crate::audit::Resource;
use crate::{
    Action, ArchiveInfo, BackupInfo, BackupProgress, BackupStarted, BackupTo, Caller,
    CustodianSelector, Error, Sidecars, StartBackup, StoredReport,
};

pub(super) use job::Backup;
use job::State;
pub use stream::BackupStream;

/// How long a backup waits for its reader, and how long a reader may take nothing. Meanwhile it holds a view,
/// whose room the store cannot use again, and the place of another backup.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

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
        if backup.is_stored() {
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
}
