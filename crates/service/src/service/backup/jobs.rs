//! Job records: who does what. A job counts while its holder has it, so what it ends in is recorded once.

use std::collections::HashSet;

use holdfast_machine::View;
use holdfast_records::{Job, JobKind, JobState, Stored, put};
use holdfast_types::{Draft, Expect, IdentityId, JobId, Kind, Millis, NodeId};

use super::Service;
use crate::service::read::{get, list};
use crate::{Action, Error};

/// The fence of a job that only its own node ever held.
const TOKEN: u64 = 1;

impl Service {
    /// Records that this node begins a backup.
    pub(super) async fn job_begins(&self, actor: IdentityId, job: JobId) -> Result<(), Error> {
        let record = Job {
            job_id: job,
            kind: JobKind::Backup,
            holder: self.node,
            token: TOKEN,
            state: JobState::Running,
            started: self.clock.now(),
            ended: None,
            note: String::new(),
        };
        let rule = |_: &dyn View| {
            let mut draft = Draft::default();
            put(&mut draft, Expect::Absent, &record);
            Ok((draft, ()))
        };
        self.decide(actor, Action::BackupStart.verb(), rule).await.map(drop)
    }

    /// Records that a job failed. Where that cannot be recorded the next start does.
    pub(super) async fn job_failed(&self, actor: IdentityId, job: JobId, why: &Error) {
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let mut draft = Draft::default();
            if let Some(found) = get::<Job>(view, job.as_bytes())? {
                put(&mut draft, Expect::At(found.rev), &failed(found.record, now, &why.message));
            }
            Ok((draft, ()))
        };
        if let Err(error) = self.carry_out(actor, Action::BackupStart.verb(), rule).await {
            tracing::warn!(%job, %error, "the failed job was not recorded");
        }
    }

    /// Records that jobs failed which this node held when it ended, and says how many. A chore of the node's, once
    /// after its start.
    pub async fn lost_jobs(&self) -> Result<u64, Error> {
        // None is begun meanwhile that would not be among those of this process.
        let _turn = self.beginning.lock().await;
        let own: HashSet<JobId> = self.backups.lock().keys().copied().collect();
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let (mut draft, mut lost) = (Draft::default(), 0);
            for found in list::<Job>(view, &[])? {
                if is_held(&found.record, self.node) && !own.contains(&found.record.job_id) {
                    let job = failed(found.record, now, "the server ended before it did");
                    put(&mut draft, Expect::At(found.rev), &job);
                    lost += 1;
                }
            }
            Ok((draft, lost))
        };
        let verb = Action::BackupStart.verb();
        let (_, lost) = self.carry_out(IdentityId::SYSTEM, verb, rule).await?;
        Ok(lost)
    }
}

/// The record of a job that this node has still.
pub(super) fn held(view: &dyn View, job: JobId, node: NodeId) -> Result<Stored<Job>, Error> {
    let found = get::<Job>(view, job.as_bytes())?;
    found.filter(|found| is_held(&found.record, node)).ok_or_else(|| {
        Error::new(Kind::Refused, format!("backup {job} is no longer this node's"))
            .next("begin another one: holdfast backup")
    })
}

fn is_held(job: &Job, node: NodeId) -> bool {
    job.state == JobState::Running && (job.holder, job.token) == (node, TOKEN)
}

fn failed(job: Job, now: Millis, why: &str) -> Job {
    Job { state: JobState::Failed, ended: Some(now), note: why.to_owned(), ..job }
}
