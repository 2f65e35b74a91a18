//! The audit chain's head in the state, so that whoever shortens the log has to change the state, too.

use std::sync::Arc;
use std::time::Duration;

use holdfast_records::{AuditHead, Record as _, put};
use holdfast_types::{Draft, Expect, IdentityId};

use super::Service;
use super::read::get;
use crate::Error;

/// How often the head is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// Its verb in transactions: beyond those of callers.
const VERB: u16 = 1000;

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

    /// Takes the audit head into the state if it moved, and says whether it did.
    pub async fn record_audit_head(&self) -> Result<bool, Error> {
        let head = self.audit.head();
        let record = AuditHead { node: self.node, count: head.count, hash: head.hash };
        let rule = |view: &dyn holdfast_machine::View| {
            let mut draft = Draft::default();
            let known = get::<AuditHead>(view, &record.key())?;
            let moved = known.as_ref().is_none_or(|known| known.record.count < record.count);
            if moved {
                let expect = known.map_or(Expect::Absent, |known| Expect::At(known.rev));
                put(&mut draft, expect, &record);
            }
            Ok((draft, moved))
        };
        let (_, moved) = self.decide(IdentityId::SYSTEM, VERB, rule).await?;
        Ok(moved)
    }
}
