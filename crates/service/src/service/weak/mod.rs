//! What is weak in a vault, and the command that mends it. Pure: facts in, warnings out.
//!
//! A warning is never about convenience: each says how keys could be lost, or how nobody would notice.

mod archives;
mod custodians;
mod node;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use holdfast_types::{CustodianId, Millis, Revision};

use super::heads::AuditGap;
use crate::{ArchiveInfo, CustodianInfo, Level, Warning};

pub(super) use archives::{newest_left, recent};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;

/// What was made or changed after an archive.
#[derive(Clone, Copy, Default)]
pub(super) struct Changed {
    /// Keys made, rotated, deleted or undeleted.
    pub keys: u64,
    /// Identities, policies and custodians made, changed or removed.
    pub access: u64,
}

/// What is known about a vault.
pub(super) struct Facts {
    /// This node's clock.
    pub now: Millis,
    /// How far the clock went beyond (or stayed behind) what this process measured since it started.
    pub clock_drift_ms: u64,
    /// State time.
    pub state_at: Millis,
    /// The custodians.
    pub custodians: Vec<CustodianInfo>,
    /// Those who opened an archive in a full drill, whether they are custodians still or not.
    pub drilled_by: HashSet<CustodianId>,
    /// All archives, newest first.
    pub archives: Vec<ArchiveInfo>,
    /// When the newest archive that lies on another disk than the data was stored there.
    pub elsewhere: Option<Millis>,
    /// Where that one lies, if this host cannot look there.
    pub unseen: Option<String>,
    /// What the newest stored archive does not hold.
    pub changed: Changed,
    /// Where this incarnation begins.
    pub epoch_base: Revision,
    /// The soft key's file, where it lies on the disk of the data.
    pub soft_key_on_data_disk: Option<String>,
    /// Live administrators.
    pub administrators: usize,
    /// Audit records dropped since the start.
    pub audit_dropped: u64,
    /// Calls of strangers that the audit log only counted since the start.
    pub audit_counted: u64,
    /// Why the audit log cannot be written now.
    pub audit_fault: Option<String>,
    /// Where audit logs lacked what the state had recorded, and nobody has acknowledged it.
    pub audit_gaps: Vec<AuditGap>,
    /// Bytes that are free on the data's disk, where that is known.
    pub free: Option<u64>,
    /// The disks of archives, soft key and data did not answer: nothing is known of them.
    pub disks_silent: bool,
    /// Why state or log could not be written.
    pub storage_fault: Option<String>,
    /// What starting this node found.
    pub node: Vec<Warning>,
}

/// What is weak, worst first.
pub(super) fn points(facts: &Facts) -> Vec<Warning> {
    let mut found = facts.node.clone();
    custodians::points(facts, &mut found);
    archives::points(facts, &mut found);
    node::points(facts, &mut found);
    if facts.administrators == 1 {
        let what = "one administrator: whoever holds its API key is alone";
        let next = "holdfast identity create NAME --privilege admin --save FILE";
        found.push(warning(Level::Info, what, next));
    }
    // Stable: within a level the order above, which is that of the damage.
    found.sort_by_key(|warning| std::cmp::Reverse(warning.level));
    found
}

fn warning(level: Level, what: impl Into<String>, next: impl Into<String>) -> Warning {
    Warning { level, what: what.into(), next: next.into() }
}

/// A length of time for people.
fn span(ms: u64) -> String {
    match ms {
        0..2_000 => format!("{ms} ms"),
        2_000..120_000 => format!("{} seconds", ms / 1000),
        120_000..7_200_000 => format!("{} minutes", ms / 60_000),
        7_200_000..172_800_000 => format!("{} hours", ms / HOUR),
        _ => format!("{} days", ms / DAY),
    }
}
