//! How a backup goes, from its job record to its end.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use holdfast_crypto::random_array;
use holdfast_types::{ArchiveId, IdentityId, JobId, Kind};

use super::job::{Backup, State};
use super::spare::in_spare_time;
use super::{PATIENCE, Service, seal, stream};
use crate::{BackupTo, CustodianSelector, Error};

/// How many may run or wait for their reader at once: each holds a view.
const RUNNING_MAX: usize = 4;
/// How long a backup that waits for its reader keeps its place where others want it.
const PLACE_KEPT: Duration = Duration::from_secs(10);

impl Service {
    /// The job record, then the view and what makes the archive from it.
    pub(super) async fn begin(
        self: &Arc<Self>,
        actor: IdentityId,
        to: BackupTo,
        custodians: Option<&[CustodianSelector]>,
    ) -> Result<Arc<Backup>, Error> {
        let _turn = self.beginning.lock().await;
        self.forget_old();
        if room(&self.backups.lock()).is_err() {
            self.make_room().await;
        }
        // Nobody else takes a place meanwhile.
        room(&self.backups.lock())?;
        // Refused before a job is recorded when there is nobody to seal to.
        seal::choose(&self.cluster.view(), custodians)?;
        let (job, archive_id) = (JobId(random_array()), ArchiveId(random_array()));
        self.job_begins(actor, job).await?;
        let maker = match self.maker(archive_id, custodians) {
            Ok(maker) => maker,
            Err(error) => {
                self.job_failed(actor, job, &error).await;
                return Err(error);
            }
        };
        let backup = Arc::new(Backup::new(job, archive_id, to, maker));
        self.backups.lock().insert(job, backup.clone());
        if to == BackupTo::Client {
            tokio::spawn(unread(Arc::downgrade(self), actor, Arc::downgrade(&backup)));
        }
        Ok(backup)
    }

    /// Gives up the backup that waits longest for its reader, who is likely gone: whoever comes needs its place more.
    async fn make_room(&self) {
        let waits = |backup: &Arc<Backup>| {
            let since = backup.unread_since().filter(|since| since.elapsed() >= PLACE_KEPT)?;
            Some((since, Arc::clone(backup)))
        };
        let longest = {
            let backups = self.backups.lock();
            backups.values().filter_map(waits).min_by_key(|(since, _)| *since)
        };
        let Some((_, backup)) = longest else { return };
        let why = format!("nobody came to read backup {}, and others needed its place", backup.job);
        // Whoever came to read it meanwhile was faster: then there is no room.
        _ = self.give_up(IdentityId::SYSTEM, &backup, why).await;
    }

    pub(super) async fn run_to_client(
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
    pub(super) async fn settle(
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

    /// Gives a backup up that was not read yet; the reason is kept in it, for whoever asks.
    pub(super) async fn give_up(
        &self,
        actor: IdentityId,
        backup: &Backup,
        why: String,
    ) -> Result<(), Error> {
        let error = Error::new(Kind::Refused, why).next("begin another one: holdfast backup");
        if backup.fail_unread(&error)? {
            self.job_failed(actor, backup.job, &error).await;
        }
        Ok(())
    }

    pub(super) fn for_a_reader(&self, job: JobId) -> Result<Arc<Backup>, Error> {
        let backup = self.backup(job)?;
        if backup.to == BackupTo::Vault {
            let message = format!("backup {job} goes to the vault's own directory");
            return Err(Error::new(Kind::Refused, message));
        }
        Ok(backup)
    }

    pub(super) fn backup(&self, job: JobId) -> Result<Arc<Backup>, Error> {
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
