//! The node: its clock, its soft key, its disk, its audit log.

use holdfast_cluster::ROOM_BYTES_MIN;

use super::{AuditGap, Facts, HOUR, span, warning};
use crate::{Level, Warning};

/// How far this host's clock may be behind the state's time.
const CLOCK_BEHIND: u64 = 5 * 60 * 1000;
/// How far the clock may be from where it should be.
const CLOCK_JUMP: u64 = HOUR;
/// Free space on the data's disk, in bytes, below which somebody should look.
const FREE_WARNING: u64 = 64 << 20;

pub(super) fn points(facts: &Facts, found: &mut Vec<Warning>) {
    soft_key(facts, found);
    clock(facts, found);
    audit(facts, found);
    disk(facts, found);
}

fn soft_key(facts: &Facts, found: &mut Vec<Warning>) {
    if let Some(path) = &facts.soft_key_on_data_disk {
        let what = format!("the soft key {path} is on the data's own disk: a thief of it has both");
        let next = "mv it to another disk, then: holdfast server --data DIR --soft-key FILE";
        found.push(warning(Level::Info, what, next));
    }
}

fn clock(facts: &Facts, found: &mut Vec<Warning>) {
    let set = "set this host's clock (timedatectl set-ntp true)";
    let behind = facts.state_at.since(facts.now);
    if behind >= CLOCK_BEHIND {
        let what = format!(
            "this host's clock is {} behind the state's time, which never goes back",
            span(behind)
        );
        found.push(warning(Level::Warning, what, set));
    } else if facts.clock_drift_ms >= CLOCK_JUMP {
        let what = format!("this host's clock jumped by {}", span(facts.clock_drift_ms));
        found.push(warning(Level::Warning, what, set));
    }
}

fn disk(facts: &Facts, found: &mut Vec<Warning>) {
    let room = "make room on the disk of the data directory";
    if let Some(why) = &facts.storage_fault {
        let what = format!("the storage of this node failed, and nothing can be changed: {why}");
        found.push(warning(Level::Critical, what, format!("{room}, restart the server")));
    }
    if facts.disks_silent {
        let what = "a disk does not answer: that of an archive, of the soft key, or of the data";
        found.push(warning(Level::Warning, what, "holdfast archive ls; then look at those disks"));
    }
    match facts.free {
        Some(free) if free < ROOM_BYTES_MIN => {
            let what = format!("only {free} bytes are free for the data: nothing can be changed");
            found.push(warning(Level::Critical, what, room));
        }
        Some(free) if free < FREE_WARNING => {
            let what = format!("only {} MiB are free for the data", free >> 20);
            found.push(warning(Level::Warning, what, room));
        }
        _ => {}
    }
}

fn audit(facts: &Facts, found: &mut Vec<Warning>) {
    if let Some(why) = &facts.audit_fault {
        let what = format!("the audit log cannot be written, and administration is refused: {why}");
        found.push(warning(Level::Critical, what, "make room on the disk of the data directory"));
    }
    for gap in &facts.audit_gaps {
        let AuditGap { node, count, lines, at, .. } = gap;
        let when = at.map_or_else(
            || "at this start".to_owned(),
            |at| format!("at a start {} ago", span(facts.now.since(at))),
        );
        let what = if lines < count {
            format!(
                "the audit log of node {node} had {lines} lines {when}, the state had recorded {count}: some were taken away"
            )
        } else {
            format!(
                "line {count} of the audit log of node {node} was {when} not the one that the state had recorded: lines were changed or replaced"
            )
        };
        let next = "compare the audit directory with a copy; then: holdfast audit acknowledge";
        found.push(warning(Level::Critical, what, next));
    }
    if facts.audit_dropped > 0 {
        let what = format!("{} audit records were dropped since the start", facts.audit_dropped);
        found.push(warning(Level::Warning, what, "grep audit.dropped in the audit directory"));
    }
    if facts.audit_counted > 0 {
        let what = format!(
            "{} calls of strangers came too fast since the start and are only counted in the audit log",
            facts.audit_counted
        );
        let next = "grep audit.counted in the audit directory: the lines before it say from where they came";
        found.push(warning(Level::Info, what, next));
    }
}
