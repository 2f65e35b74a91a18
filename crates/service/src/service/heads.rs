//! The audit chain's head in the state, so that whoever shortens the log has to change the state, too; and what
//! becomes of a log that does not hold it: an entry of the ledger, critical until it is acknowledged.
//!
//! The head goes on with the new log in the same transaction that records the gap: what comes after a gap is
//! held as what came before. So lines that are put back are a gap of their own.

use std::sync::Arc;
use std::time::Duration;

use holdfast_ledger::EntryKind;
use holdfast_machine::View;
use holdfast_records::{AuditHead, Record as _, put};
use holdfast_types::{Draft, Expect, IdentityId, Millis, NodeId, hex};

use super::read::{aside, get};
use super::{Service, archives};
use crate::audit::{Audit, ChainHead, Resource};
use crate::{Action, Caller, Error};

/// How often the head is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// Its verb in transactions: beyond those of callers.
const VERB: u16 = 1000;

/// Where the audit log of a node was not the one whose head the state had recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct AuditGap {
    /// The node, 16 hex digits.
    pub node: String,
    /// Lines up to the recorded head.
    pub count: u64,
    /// SHA-256 of the last of them.
    pub hash: [u8; 32],
    /// Lines that the log had.
    pub lines: u64,
    /// When it was recorded.
    pub at: Option<Millis>,
}

impl Service {
    /// Takes the audit head into the state every ten seconds when it moved, for ever. A task that the
    /// node spawns and stops.
    pub async fn audit_heads(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.record_audit_head().await {
                tracing::warn!(%error, "the audit head was not recorded; next attempt in 10 s");
            }
        }
    }

    /// Takes the audit head into the state if it moved, and says whether it did. Never over a gap without
    /// recording that.
    pub async fn record_audit_head(&self) -> Result<bool, Error> {
        // A gap is recorded once, whoever comes meanwhile.
        let _turn = self.recording_head.lock().await;
        let gap = self.audit_gap.lock().clone();
        let head = self.audit.head();
        let record = AuditHead { node: self.node, count: head.count, hash: head.hash };
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let mut draft = Draft::default();
            let known = get::<AuditHead>(view, &record.key())?;
            let grown = known.as_ref().is_none_or(|known| known.record.count < record.count);
            let moved = grown || gap.is_some();
            if moved {
                let expect = known.map_or(Expect::Absent, |known| Expect::At(known.rev));
                put(&mut draft, expect, &record);
            }
            if let Some(gap) = &gap {
                let at = now.max(view.head().at);
                archives::append(view, &mut draft, at, gap.entry())?;
            }
            Ok((draft, moved))
        };
        let (_, moved) = self.decide(IdentityId::SYSTEM, VERB, rule).await?;
        if gap.is_some() {
            *self.audit_gap.lock() = None;
        }
        Ok(moved)
    }

    /// Records that an administrator has looked at the gaps of audit logs, and how many there were. They stay
    /// in the ledger.
    pub async fn acknowledge_audit_gaps(&self, caller: &Caller) -> Result<u64, Error> {
        let (action, resource) = (Action::AuditAcknowledge, Resource::Text("audit log"));
        let call = self.let_in(caller, action, resource).await?;
        // One of this start that is not in the ledger yet would come after the acknowledgement.
        let recorded = if self.audit_gap.lock().is_some() {
            self.record_audit_head().await.map(drop)
        } else {
            Ok(())
        };
        let said = match recorded.and_then(|()| open_gaps(&self.cluster.view())) {
            Ok(gaps) => gaps.iter().map(AuditGap::said).collect::<Vec<_>>().join("; "),
            Err(error) => return call.end(Err(error)),
        };
        let call = call.begin(said).await?;
        let (actor, now) = (call.actor.identity, self.clock.now());
        let rule = |view: &dyn View| {
            let mut draft = Draft::default();
            let gaps = open_gaps(view)?;
            let by = actor.to_string();
            let at = now.max(view.head().at);
            archives::append(view, &mut draft, at, EntryKind::AuditAcknowledged { by })?;
            Ok((draft, gaps.len() as u64))
        };
        let result = self.decide(actor, action.verb(), rule).await;
        call.end(result.map(|(_, count)| count))
    }
}

/// The gaps to acknowledge.
fn open_gaps(view: &dyn View) -> Result<Vec<AuditGap>, Error> {
    let gaps = aside(|| archives::told(view))?.gaps;
    if gaps.is_empty() {
        let message = "there is no gap of the audit log that was not acknowledged";
        return Err(Error::missing(message).next("nothing needs to be done"));
    }
    Ok(gaps)
}

impl AuditGap {
    /// Whether it is the same one, recorded or not.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.node, self.count, self.hash, self.lines)
            == (&other.node, other.count, other.hash, other.lines)
    }

    fn entry(&self) -> EntryKind {
        let Self { node, count, hash, lines, .. } = self;
        let (node, hash) = (node.clone(), hex::encode(hash));
        EntryKind::AuditGap { count: *count, hash, lines: *lines, node }
    }

    /// What the audit log says of it.
    fn said(&self) -> String {
        let Self { node, count, lines, .. } = self;
        format!("node {node}: {lines} lines, {count} recorded")
    }
}

/// What the audit log lacks of that which the state recorded. Its last line is that of this start, which the
/// state cannot know yet.
pub(super) fn gap(
    view: &impl View,
    node: NodeId,
    audit: &Audit,
) -> Result<Option<AuditGap>, Error> {
    let key = AuditHead { node, count: 0, hash: [0; 32] }.key();
    let Some(recorded) = get::<AuditHead>(view, &key)? else { return Ok(None) };
    let AuditHead { count, hash, .. } = recorded.record;
    let lines = audit.head().count.saturating_sub(1);
    let held = lines >= count && {
        let held = audit.holds(&ChainHead { count, hash });
        held.map_err(|error| Error::new(error.kind(), error.to_string()))?
    };
    let node = node.to_string();
    Ok((!held).then_some(AuditGap { node, count, hash, lines, at: None }))
}
