//! What the state learns of a backup: the archive with its session key, then that it is stored.

use std::sync::Arc;

use holdfast_ledger::EntryKind;
use holdfast_machine::View;
use holdfast_records::{ArchiveState, Job, JobState, Stored, put};
use holdfast_recovery::keep_archive;
use holdfast_types::{ArchiveId, Draft, Expect, IdentityId, Kind, Millis, Revision, hex};

use super::job::{Backup, Done};
use super::jobs::held;
use super::{Service, seal};
use crate::service::archives;
use crate::service::read::get;
use crate::{Action, ArchiveInfo, BackupInfo, Error, Sidecars};

/// What is remembered of a finished backup.
pub(super) fn done(backup: &Backup, sealed: &seal::Sealed, directory: Option<String>) -> Done {
    let info = BackupInfo {
        archive_id: backup.archive_id,
        name: sealed.name.clone(),
        file: backup.file(),
        directory,
        size: sealed.size,
        sha256: sealed.sha256,
        verified: false,
    };
    let sidecars = Sidecars {
        name: sealed.name.clone(),
        json: sealed.json.clone(),
        signature: sealed.signature.clone(),
        sha256: sealed.sha256,
        size: sealed.size,
    };
    Done { info, sidecars }
}

impl Service {
    /// The archive, its session key, the ledger's entry and the job, in one transaction.
    pub(super) async fn record_written(
        &self,
        actor: IdentityId,
        backup: &Arc<Backup>,
        sealed: &seal::Sealed,
        place: Option<String>,
    ) -> Result<Done, Error> {
        let archive_id = backup.archive_id;
        let key = keep_archive(&self.keyring, archive_id, &sealed.session_key)?;
        let kind = EntryKind::Archive {
            archive_id,
            custodians: backup.custodians.clone(),
            digest: sealed.digest.to_string(),
            from: Revision::ZERO,
            name: sealed.name.clone(),
            sha256: hex::encode(&sealed.sha256),
            size: sealed.size,
            to: backup.revision,
        };
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let mut draft = Draft::default();
            let at = now.max(view.head().at);
            archives::append(view, &mut draft, at, kind.clone())?;
            let state = ArchiveState {
                archive_id,
                name: sealed.name.clone(),
                from: Revision::ZERO,
                to: backup.revision,
                sha256: sealed.sha256,
                size: sealed.size,
                written: Some(at),
                stored: None,
                verified: None,
                drilled: None,
                where_: place.clone().unwrap_or_default(),
            };
            put(&mut draft, Expect::Absent, &state);
            put(&mut draft, Expect::Absent, &key);
            let Stored { rev, record, .. } = held(view, backup.job, self.node)?;
            let (state, ended, note) = (JobState::Done, Some(at), sealed.name.clone());
            put(&mut draft, Expect::At(rev), &Job { state, ended, note, ..record });
            Ok((draft, ()))
        };
        self.carry_out(actor, Action::BackupStart.verb(), rule).await?;
        Ok(done(backup, sealed, place))
    }

    /// That the whole object was read back where it lies; where `verified`, that it was opened, too. The vault's
    /// own word.
    pub(super) async fn record_stored(
        &self,
        actor: IdentityId,
        backup: &Arc<Backup>,
        place: &str,
        by: String,
        verified: bool,
    ) -> Result<ArchiveInfo, Error> {
        let rule = stored(backup.archive_id, place, by, verified, self.clock.now());
        self.carry_out(actor, Action::BackupStored.verb(), rule).await?;
        self.archive(backup.archive_id)
    }

    /// That `actor` says so: whoever was removed meanwhile is not believed.
    pub(super) async fn record_reported(
        &self,
        actor: IdentityId,
        backup: &Arc<Backup>,
        place: &str,
    ) -> Result<ArchiveInfo, Error> {
        let rule = stored(backup.archive_id, place, actor.to_string(), false, self.clock.now());
        self.decide(actor, Action::BackupStored.verb(), rule).await?;
        self.archive(backup.archive_id)
    }
}

/// Decides that an archive lies whole at `place`, on the word of `by`; where `verified`, that it opened, too.
fn stored(
    archive_id: ArchiveId,
    place: &str,
    by: String,
    verified: bool,
    now: Millis,
) -> impl FnMut(&dyn View) -> Result<(Draft, ()), Error> {
    let place = place.to_owned();
    let stored = EntryKind::Stored { archive_id, by: by.clone(), place: place.clone() };
    let opened = verified.then_some(EntryKind::Verified { archive_id, by });
    let kinds: Vec<EntryKind> = [stored].into_iter().chain(opened).collect();
    move |view| {
        let mut draft = Draft::default();
        let at = now.max(view.head().at);
        archives::append_all(view, &mut draft, at, kinds.clone())?;
        let found = get::<ArchiveState>(view, archive_id.as_bytes())?;
        let found = found.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no archive {archive_id}"))
        })?;
        let mut state = found.record;
        (state.stored, state.where_) = (Some(at), place.clone());
        // A copy that was opened before is proved still.
        state.verified = verified.then_some(at).or(state.verified);
        put(&mut draft, Expect::At(found.rev), &state);
        Ok((draft, ()))
    }
}
