//! Archives: whether there are any, how old, where, for whom they open, and whether that was tried.

use holdfast_types::Millis;

use super::{Changed, DAY, Facts, span, warning};
use crate::{ArchiveInfo, CustodianInfo, Level, Warning};

/// How old the newest stored archive may be.
const ARCHIVE_AGE_WARNING: u64 = DAY;
const ARCHIVE_AGE_CRITICAL: u64 = 7 * DAY;
/// How old the newest full drill may be.
const DRILL_AGE_WARNING: u64 = 90 * DAY;
/// How many of the newest stored archives are recent: only these are looked for.
pub(super) const RECENT: usize = 10;
/// The command that mends most of it.
const BACKUP: &str = "holdfast backup --output DIR_ON_ANOTHER_DISK";

pub(super) fn points(facts: &Facts, found: &mut Vec<Warning>) {
    if facts.custodians.is_empty() {
        return;
    }
    gone(&facts.archives, found);
    let Some((newest, stored)) = newest_left(&facts.archives) else { return };
    opens_for(facts, newest, found);
    let age = facts.now.since(stored);
    if age >= ARCHIVE_AGE_WARNING {
        let critical = age >= ARCHIVE_AGE_CRITICAL;
        let level = if critical { Level::Critical } else { Level::Warning };
        let what = format!("the newest stored archive is {} old", span(age));
        found.push(warning(level, what, BACKUP));
    }
    if newest.to < facts.epoch_base {
        let what = "no archive since this vault was restored: its new administrator is in none";
        found.push(warning(Level::Warning, what, BACKUP));
    }
    let Changed { keys, access } = facts.changed;
    if keys > 0 {
        let what = match keys {
            1 => "1 key was made or changed after the newest stored archive".to_owned(),
            n => format!("{n} keys were made or changed after the newest stored archive"),
        };
        found.push(warning(Level::Warning, what, BACKUP));
    }
    if access > 0 {
        let what = "identities, policies or custodians were changed after the newest stored archive: whoever \
                    restores it has them as they were";
        found.push(warning(Level::Warning, what, BACKUP));
    }
    match facts.elsewhere.map(|stored| facts.now.since(stored)) {
        None if facts.disks_silent => {}
        None => {
            let what = "archives are on the data's own disk: one failure takes both";
            found.push(warning(Level::Warning, what, BACKUP));
        }
        Some(age) if age >= ARCHIVE_AGE_CRITICAL => {
            let what = format!("the newest archive on another disk is {} old", span(age));
            found.push(warning(Level::Warning, what, BACKUP));
        }
        Some(_) => {}
    }
    if let Some(place) = &facts.unseen {
        let what =
            format!("the newest archive on another disk, {place}, cannot be seen from this host");
        let next = "where it lies: holdfast verify ARCHIVE";
        found.push(warning(Level::Info, what, next));
    }
    let drill = format!("holdfast drill '{}' --identity SECRET_KEY_FILE", newest.place);
    match facts.archives.iter().filter_map(|archive| archive.drilled_full).max() {
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
        Some(_) => never_drilled(facts, drill, found),
    }
}

/// Custodians whose own key has opened nothing yet, where another one's has.
fn never_drilled(facts: &Facts, drill: String, found: &mut Vec<Warning>) {
    let never = facts.custodians.iter().filter(|who| !facts.drilled_by.contains(&who.custodian_id));
    let never: Vec<&str> = never.map(|who| who.name.as_str()).collect();
    if !never.is_empty() {
        let what = format!(
            "no full drill yet by {}: that their keys open an archive was never tried",
            never.join(", ")
        );
        found.push(warning(Level::Info, what, drill));
    }
}

/// Custodians who cannot open what is stored: whoever came since, or was not named. And nobody can, where
/// only those who were removed could.
fn opens_for(facts: &Facts, newest: &ArchiveInfo, found: &mut Vec<Warning>) {
    let opens = |archive: &ArchiveInfo, who: &CustodianInfo| {
        archive.custodians.iter().any(|to| to.custodian_id == who.custodian_id)
    };
    let mut left =
        facts.archives.iter().filter(|archive| archive.stored.is_some() && !archive.gone);
    if !left.any(|archive| facts.custodians.iter().any(|who| opens(archive, who))) {
        let what = "no stored archive opens for any custodian, only for those who were removed";
        found.push(warning(Level::Critical, what, BACKUP));
        return;
    }
    let without = facts.custodians.iter().filter(|who| !opens(newest, who));
    let without: Vec<&str> = without.map(|who| who.name.as_str()).collect();
    if !without.is_empty() {
        let what = format!("the newest stored archive does not open for {}", without.join(", "));
        found.push(warning(Level::Warning, what, BACKUP));
    }
}

/// Archives that were stored, the newest ones of them.
pub(in crate::service) fn recent(archives: &[ArchiveInfo]) -> impl Iterator<Item = &ArchiveInfo> {
    archives.iter().filter(|archive| archive.stored.is_some()).take(RECENT)
}

/// The newest recent archive that is not gone, and when it was stored.
pub(in crate::service) fn newest_left(archives: &[ArchiveInfo]) -> Option<(&ArchiveInfo, Millis)> {
    recent(archives).filter(|archive| !archive.gone).find_map(|left| Some((left, left.stored?)))
}

/// Recent archives that are not where they were stored. One that is older than one that is left may well have
/// been cleared away.
fn gone(archives: &[ArchiveInfo], found: &mut Vec<Warning>) {
    let Some(newest) = recent(archives).next() else {
        let what = "no archive is stored anywhere: what is lost now is lost for good";
        found.push(warning(Level::Critical, what, BACKUP));
        return;
    };
    let newer = recent(archives).take_while(|archive| archive.gone).count();
    if newer == recent(archives).count() {
        let what = format!(
            "no recent archive is left where it was stored, the newest at {}: what is lost now is lost for good",
            newest.place
        );
        found.push(warning(Level::Critical, what, BACKUP));
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
            _ => BACKUP,
        };
        found.push(warning(level, what, next));
    };
    let is_gone = |archive: &&ArchiveInfo| archive.gone;
    tell(Level::Warning, &recent(archives).take(newer).collect::<Vec<_>>());
    tell(Level::Info, &recent(archives).skip(newer).filter(is_gone).collect::<Vec<_>>());
}
