//! Drills that were done, into the ledger. Whoever reports one must have found what the ledger knows.

use holdfast_ledger::EntryKind;
use holdfast_machine::View;
use holdfast_records::{ArchiveState, put};
use holdfast_recovery::{Unseal, kept_sessions};
use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{ArchiveId, CustodianId, Draft, Expect, IdentityId, Kind};

use super::read::{aside, get};
use super::{Service, archives, said};
use crate::audit::Resource;
use crate::{Action, Caller, DrillMode, DrillRecord, DrillReport, Error};

/// Who says what the vault itself does, in the ledger.
pub(super) const VAULT: &str = "vault";

impl Service {
    /// What opens an archive of this vault for a byte drill in this process; `None` where its session keys
    /// were not kept. It opens that archive and no other.
    ///
    /// Errors: the state cannot be read.
    pub fn kept_sessions(&self, archive: ArchiveId) -> Result<Option<Unseal>, Error> {
        Ok(kept_sessions(&self.cluster.view(), &self.keyring, archive)?)
    }

    /// Records a drill.
    pub async fn record_drill(
        &self,
        caller: &Caller,
        report: &DrillReport,
    ) -> Result<DrillRecord, Error> {
        let text = report.archive_id.to_string();
        let call = self.let_in(caller, Action::DrillRecord, Resource::Text(&text)).await?;
        let call = call.begin(said::drill(report)).await?;
        let result = self.drilled(call.actor.identity, report).await;
        call.end(result)
    }

    async fn drilled(&self, actor: IdentityId, report: &DrillReport) -> Result<DrillRecord, Error> {
        let archive_id = report.archive_id;
        for (what, number) in
            [("milliseconds", report.elapsed_ms), ("key versions", report.versions)]
        {
            if number > JSON_INTEGER_MAX {
                let message = format!("a drill of {number} {what}: the ledger has no such number");
                return Err(Error::new(Kind::BadInput, message)
                    .next("report what the drill took and found"));
            }
        }
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let archive = aside(|| archives::with_id(view, archive_id))?;
            if archive.sha256 != report.sha256 || archive.digest != report.digest {
                let message = format!("the drill did not find what archive {} holds", archive.name);
                return Err(Error::new(Kind::NotAuthentic, message)
                    .next("verify that copy: holdfast verify ARCHIVE --identity FILE"));
            }
            let opens =
                |id: &CustodianId| archive.custodians.iter().any(|to| to.custodian_id == *id);
            if let Some(id) = report.custodian.filter(|id| !opens(id)) {
                let message = format!("archive {} is not sealed to custodian {id}", archive.name);
                return Err(Error::new(Kind::BadInput, message)
                    .next("report who opened it: holdfast drill ARCHIVE --identity FILE"));
            }
            let at = now.max(view.head().at);
            let mut draft = Draft::default();
            let kind = EntryKind::Drilled {
                archive_id,
                by: if actor == IdentityId::SYSTEM { VAULT.to_owned() } else { actor.to_string() },
                custodian_id: report.opened_by(),
                digest: archive.digest,
                elapsed_ms: report.elapsed_ms,
                mode: match report.mode {
                    DrillMode::Byte => holdfast_ledger::DrillMode::Byte,
                    DrillMode::Full => holdfast_ledger::DrillMode::Full,
                },
                versions: report.versions,
            };
            let seq = archives::append(view, &mut draft, at, kind)?;
            // Cluster-only: gone after a restore, when the ledger alone knows the archive.
            if let Some(found) = get::<ArchiveState>(view, archive_id.as_bytes())? {
                let mut state = found.record;
                (state.verified, state.drilled) = (Some(at), Some(at));
                put(&mut draft, Expect::At(found.rev), &state);
            }
            Ok((draft, (seq, at)))
        };
        let (_, (seq, at)) = self.decide(actor, Action::DrillRecord.verb(), rule).await?;
        let archive = self.archive(archive_id)?;
        Ok(DrillRecord { seq, at, archive })
    }
}
