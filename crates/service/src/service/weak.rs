//! What is weak in a vault, and the command that mends it. Pure: facts in, warnings out.
//!
//! A warning is never about convenience: each says how keys could be lost, or how nobody would notice.

use holdfast_cluster::ROOM_BYTES_MIN;
use holdfast_types::{Millis, Revision};

use crate::{ArchiveInfo, CustodianInfo, Level, Warning};

const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
/// How old the newest stored archive may be.
const ARCHIVE_AGE_WARNING: u64 = DAY;
const ARCHIVE_AGE_CRITICAL: u64 = 7 * DAY;
/// How old the newest full drill may be.
const DRILL_AGE_WARNING: u64 = 90 * DAY;
/// How long before its end a custodian's certificate is mentioned.
const EXPIRY_NOTICE: u64 = 60 * DAY;
/// How far this host's clock may be behind the state's time.
const CLOCK_BEHIND: u64 = 5 * 60 * 1000;
/// How far the clock may be from where it should be.
const CLOCK_JUMP: u64 = HOUR;
/// How many of the newest stored archives are recent: only these are looked for.
pub(super) const RECENT: usize = 10;
/// Free space on the data's disk, in bytes, below which somebody should look.
const FREE_WARNING: u64 = 64 << 20;

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
    /// All archives, newest first.
    pub archives: Vec<ArchiveInfo>,
    /// When the newest archive that lies on another disk than the data was stored there.
    pub elsewhere: Option<Millis>,
    /// Keys made, rotated, deleted or undeleted after the newest stored archive.
    pub keys_changed: u64,
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
    /// What the audit log lacked at the start.
    pub audit_gap: Option<AuditGap>,
    /// Bytes that are free on the data's disk, where that is known.
    pub free: Option<u64>,
    /// The disks of archives, soft key and data did not answer: nothing is known of them.
    pub disks_silent: bool,
    /// Why state or log could not be written.
    pub storage_fault: Option<String>,
    /// What starting this node found.
    pub node: Vec<Warning>,
}

/// Where the audit log is not the one whose head the state recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AuditGap {
    /// It had fewer lines.
    Short { lines: u64, recorded: u64 },
    /// It had as many, and that line was another one, or not behind a whole chain.
    Other { recorded: u64 },
}

/// What is weak, worst first.
pub(super) fn points(facts: &Facts) -> Vec<Warning> {
    let mut found = facts.node.clone();
    custodians(facts, &mut found);
    archives(facts, &mut found);
    soft_key(facts, &mut found);
    clock(facts, &mut found);
    audit(facts, &mut found);
    disk(facts, &mut found);
    if facts.administrators == 1 {
        let what = "one administrator: whoever holds its API key is alone";
        let next = "holdfast identity create NAME --privilege admin --save FILE";
        found.push(warning(Level::Info, what, next));
    }
    // Stable: within a level the order above, which is that of the damage.
    found.sort_by_key(|warning| std::cmp::Reverse(warning.level));
    found
}

fn custodians(facts: &Facts, found: &mut Vec<Warning>) {
    let add = "holdfast custodian add CERTIFICATE_FILE";
    match facts.custodians.as_slice() {
        [] => found.push(warning(
            Level::Critical,
            "no custodian: nobody could restore this vault, and no archive can be made",
            add,
        )),
        [one] => found.push(warning(
            Level::Warning,
            format!("one custodian, {}: if that key is lost, no archive opens", one.name),
            add,
        )),
        _ => {}
    }
    for custodian in &facts.custodians {
        let name = &custodian.name;
        if custodian.slot.is_none() {
            found.push(warning(
                Level::Critical,
                format!("custodian {name} holds no slot of the current root: archives open for them only halfway"),
                add,
            ));
        }
        let Some(expires) = custodian.expires else { continue };
        let renew = "holdfast custodian add RENEWED_CERTIFICATE_FILE";
        if expires <= facts.now {
            let what = format!(
                "the certificate of custodian {name} has expired; archives are still sealed to it"
            );
            found.push(warning(Level::Warning, what, renew));
        } else if expires.since(facts.now) < EXPIRY_NOTICE {
            let days = expires.since(facts.now) / DAY;
            let what = format!("the certificate of custodian {name} expires in {days} days");
            found.push(warning(Level::Warning, what, renew));
        }
    }
}

fn archives(facts: &Facts, found: &mut Vec<Warning>) {
    if facts.custodians.is_empty() {
        return;
    }
    let backup = "holdfast backup --output DIR_ON_ANOTHER_DISK";
    gone(&facts.archives, backup, found);
    let Some((newest, stored)) = newest_left(&facts.archives) else { return };
    let age = facts.now.since(stored);
    if age >= ARCHIVE_AGE_WARNING {
        let critical = age >= ARCHIVE_AGE_CRITICAL;
        let level = if critical { Level::Critical } else { Level::Warning };
        let what = format!("the newest stored archive is {} old", span(age));
        found.push(warning(level, what, backup));
    }
    if newest.to < facts.epoch_base {
        let what = "no archive since this vault was restored: its new administrator is in none";
        found.push(warning(Level::Warning, what, backup));
    }
    if facts.keys_changed > 0 {
        let what = match facts.keys_changed {
            1 => "1 key was made or changed after the newest stored archive".to_owned(),
            n => format!("{n} keys were made or changed after the newest stored archive"),
        };
        found.push(warning(Level::Warning, what, backup));
    }
    match facts.elsewhere.map(|stored| facts.now.since(stored)) {
        None if facts.disks_silent => {}
        None => {
            let what = "archives are on the data's own disk: one failure takes both";
            found.push(warning(Level::Warning, what, backup));
        }
        Some(age) if age >= ARCHIVE_AGE_CRITICAL => {
            let what = format!("the newest archive on another disk is {} old", span(age));
            found.push(warning(Level::Warning, what, backup));
        }
        Some(_) => {}
    }
    let full = facts.archives.iter().filter(|archive| archive.drilled_full);
    let drill = format!("holdfast drill '{}' --identity SECRET_KEY_FILE", newest.place);
    match full.filter_map(|archive| archive.drilled).max() {
        None => {
            let opened = facts.archives.iter().any(|archive| archive.verified.is_some());
            let what = if opened {
                "no full drill yet: the vault opened an archive itself, that a custodian can was never tried"
            } else {
                "no full drill yet, and no archive was ever opened: that one can be was never tried"
            };
            found.push(warning(Level::Warning, what, drill));
        }
        Some(at) if facts.now.since(at) >= DRILL_AGE_WARNING => {
            let what = format!("the newest full drill is {} old", span(facts.now.since(at)));
            found.push(warning(Level::Warning, what, drill));
        }
        Some(_) => {}
    }
}

/// Archives that were stored, the newest ones of them.
pub(super) fn recent(archives: &[ArchiveInfo]) -> impl Iterator<Item = &ArchiveInfo> {
    archives.iter().filter(|archive| archive.stored.is_some()).take(RECENT)
}

/// The newest recent archive that is not gone, and when it was stored.
pub(super) fn newest_left(archives: &[ArchiveInfo]) -> Option<(&ArchiveInfo, Millis)> {
    recent(archives).filter(|archive| !archive.gone).find_map(|left| Some((left, left.stored?)))
}

/// Recent archives that are not where they were stored. One that is older than one that is left may well have
/// been cleared away.
fn gone(archives: &[ArchiveInfo], backup: &str, found: &mut Vec<Warning>) {
    let Some(newest) = recent(archives).next() else {
        let what = "no archive is stored anywhere: what is lost now is lost for good";
        found.push(warning(Level::Critical, what, backup));
        return;
    };
    let newer = recent(archives).take_while(|archive| archive.gone).count();
    if newer == recent(archives).count() {
        let what = format!(
            "no recent archive is left where it was stored, the newest at {}: what is lost now is lost for good",
            newest.place
        );
        found.push(warning(Level::Critical, what, backup));
        return;
    }
    let mut tell = |level, gone: &[&ArchiveInfo]| {
        let [first, others @ ..] = gone else { return };
        let mut what = format!("archive {} is no longer at {}", first.name, first.place);
        match others.len() {
            0 => {}
            1 => what.push_str(", nor is 1 older one where it was"),
            n => what.push_str(&format!(", nor are {n} older ones where they were")),
        }
        let next = match level {
            Level::Info => "holdfast archive ls: nothing, where you cleared it away",
            _ => backup,
        };
        found.push(warning(level, what, next));
    };
    let is_gone = |archive: &&ArchiveInfo| archive.gone;
    tell(Level::Warning, &recent(archives).take(newer).collect::<Vec<_>>());
    tell(Level::Info, &recent(archives).skip(newer).filter(is_gone).collect::<Vec<_>>());
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
    if let Some(gap) = facts.audit_gap {
        let what = match gap {
            AuditGap::Short { lines, recorded } => format!(
                "the audit log of this node had {lines} lines at the start, the state recorded {recorded}: some were taken away"
            ),
            AuditGap::Other { recorded } => format!(
                "line {recorded} of this node's audit log was at the start not the one that the state recorded: lines were changed or replaced"
            ),
        };
        found.push(warning(Level::Critical, what, "compare the audit directory with a copy of it"));
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

#[cfg(test)]
mod tests {
    use holdfast_types::{ArchiveId, CustodianId, SlotId};

    use super::*;

    const NOW: Millis = Millis(400 * DAY);

    fn custodian(name: &str) -> CustodianInfo {
        CustodianInfo {
            name: name.parse().unwrap(),
            custodian_id: CustodianId([1; 16]),
            fingerprint: String::new(),
            added: Millis(0),
            expires: None,
            slot: Some(SlotId([2; 16])),
        }
    }

    fn archive(place: &str) -> ArchiveInfo {
        ArchiveInfo {
            archive_id: ArchiveId([3; 16]),
            name: "a".to_owned(),
            from: Revision(0),
            to: Revision(9),
            sha256: [0; 32],
            size: 1,
            written: Some(NOW),
            stored: Some(NOW),
            stored_by: Some("vault".to_owned()),
            verified: None,
            drilled: Some(NOW),
            drilled_full: true,
            gone: false,
            place: place.to_owned(),
        }
    }

    fn good() -> Facts {
        Facts {
            now: NOW,
            clock_drift_ms: 0,
            state_at: NOW,
            custodians: vec![custodian("anna"), custodian("ben")],
            archives: vec![archive("/mnt/usb"), archive("/data/archives")],
            elsewhere: Some(NOW),
            keys_changed: 0,
            epoch_base: Revision(1),
            soft_key_on_data_disk: None,
            administrators: 2,
            audit_dropped: 0,
            audit_counted: 0,
            audit_fault: None,
            audit_gap: None,
            free: Some(1 << 40),
            disks_silent: false,
            storage_fault: None,
            node: Vec::new(),
        }
    }

    fn check(change: impl FnOnce(&mut Facts), level: Level, text: &str) {
        let mut facts = good();
        change(&mut facts);
        let found = points(&facts);
        let hit = found.iter().find(|warning| warning.what.contains(text));
        let hit = hit.unwrap_or_else(|| panic!("{text:?} is not in {found:?}"));
        assert_eq!(hit.level, level, "{hit:?}");
        assert!(!hit.next.is_empty());
        assert!(found.is_sorted_by(|a, b| a.level >= b.level));
    }

    #[test]
    fn a_good_vault_has_no_weak_point() {
        assert_eq!(points(&good()), Vec::new());
    }

    #[test]
    fn each_weak_point_is_named() {
        use Level::{Critical, Info, Warning};
        check(|f| f.custodians.clear(), Critical, "no custodian");
        check(|f| f.custodians.truncate(1), Warning, "one custodian, anna");
        check(|f| f.custodians[0].slot = None, Critical, "anna holds no slot");
        check(|f| f.custodians[1].expires = Some(Millis(NOW.0 - 1)), Warning, "has expired");
        check(|f| f.custodians[1].expires = Some(Millis(NOW.0 + DAY)), Warning, "in 1 days");
        check(|f| f.archives.clear(), Critical, "no archive is stored");
        check(|f| f.archives.iter_mut().for_each(|a| a.stored = None), Critical, "no archive");
        let all_gone = |f: &mut Facts| f.archives.iter_mut().for_each(|a| a.gone = true);
        check(
            all_gone,
            Critical,
            "no recent archive is left where it was stored, the newest at /mnt",
        );
        check(|f| f.archives[0].gone = true, Warning, "archive a is no longer at /mnt/usb");
        check(|f| f.archives[1].gone = true, Info, "archive a is no longer at /data/archives");
        check(|f| f.now = Millis(NOW.0 + 2 * DAY), Warning, "archive is 2 days old");
        check(|f| f.now = Millis(NOW.0 + 8 * DAY), Critical, "archive is 8 days old");
        check(|f| f.elsewhere = None, Warning, "archives are on the data's own disk");
        check(
            |f| f.elsewhere = Some(Millis(NOW.0 - 8 * DAY)),
            Warning,
            "on another disk is 8 days",
        );
        check(|f| f.disks_silent = true, Warning, "a disk does not answer");
        check(|f| f.keys_changed = 1, Warning, "1 key was made");
        check(|f| f.keys_changed = 7, Warning, "7 keys were made");
        check(|f| f.epoch_base = Revision(10), Warning, "since this vault was restored");
        check(|f| f.soft_key_on_data_disk = Some("/k".to_owned()), Info, "soft key /k");
        check(|f| f.state_at = Millis(NOW.0 + 6 * 60 * 1000), Warning, "6 minutes behind");
        check(
            |f| f.archives.iter_mut().for_each(|a| a.drilled_full = false),
            Warning,
            "no full drill",
        );
        check(
            |f| f.archives.iter_mut().for_each(|a| (a.drilled, a.drilled_full) = (None, false)),
            Warning,
            "no archive was ever opened",
        );
        check(
            |f| {
                f.archives.iter_mut().for_each(|a| a.drilled_full = false);
                f.archives[1].verified = Some(NOW);
            },
            Warning,
            "no full drill yet: the vault opened an archive itself",
        );
        check(|f| f.now = Millis(NOW.0 + 100 * DAY), Warning, "full drill is 100 days old");
        check(|f| f.state_at = Millis(NOW.0 + 365 * DAY), Warning, "365 days behind");
        check(|f| f.clock_drift_ms = 365 * DAY, Warning, "jumped by 365 days");
        check(|f| f.audit_dropped = 3, Warning, "3 audit records");
        check(|f| f.audit_counted = 3, Info, "3 calls of strangers");
        check(|f| f.audit_fault = Some("no space".to_owned()), Critical, "no space");
        let gap = |gap| move |f: &mut Facts| f.audit_gap = Some(gap);
        check(gap(AuditGap::Short { lines: 2, recorded: 9 }), Critical, "had 2 lines");
        check(gap(AuditGap::Other { recorded: 9 }), Critical, "line 9 of this node's audit log");
        check(|f| f.free = Some(5 << 20), Warning, "only 5 MiB are free");
        check(|f| f.free = Some(99), Critical, "nothing can be changed");
        check(|f| f.storage_fault = Some("no space".to_owned()), Critical, "storage of this node");
        check(|f| f.administrators = 1, Info, "one administrator");
    }

    #[test]
    fn what_is_gone_does_not_count() {
        use Level::{Critical, Warning};
        let old = |f: &mut Facts| {
            f.archives[1].stored = Some(Millis(NOW.0 - 9 * DAY));
            f.archives[0].gone = true;
        };
        check(old, Critical, "the newest stored archive is 9 days old");
        let restored = |f: &mut Facts| {
            (f.archives[1].to, f.epoch_base) = (Revision(3), Revision(5));
            f.archives[0].gone = true;
        };
        check(restored, Warning, "no archive since this vault was restored");
        check(
            |f| {
                f.archives = vec![archive("/mnt/usb"); RECENT + 1];
                f.archives[..3].iter_mut().for_each(|archive| archive.gone = true);
            },
            Warning,
            "no longer at /mnt/usb, nor are 2 older ones where they were",
        );
        // Nobody looked for the one behind them.
        check(
            |f| {
                f.archives = vec![archive("/mnt/usb"); RECENT + 1];
                f.archives[..RECENT].iter_mut().for_each(|archive| archive.gone = true);
            },
            Critical,
            "no recent archive is left",
        );
    }
}
