//! Each weak point is named, and a good vault has none.

use holdfast_types::{ArchiveId, CustodianId, SlotId};

use super::archives::RECENT;
use super::*;
use crate::Recipient;

const NOW: Millis = Millis(400 * DAY);

fn custodian(name: &str) -> CustodianInfo {
    CustodianInfo {
        name: name.parse().unwrap(),
        custodian_id: id_of(name),
        fingerprint: String::new(),
        added: Millis(0),
        expires: None,
        slot: Some(SlotId([2; 16])),
    }
}

/// Each has another first letter.
fn id_of(name: &str) -> CustodianId {
    CustodianId([name.as_bytes()[0]; 16])
}

fn sealed_to(names: &[&str]) -> Vec<Recipient> {
    let recipient = |name: &&str| Recipient { custodian_id: id_of(name), name: None };
    names.iter().map(recipient).collect()
}

fn archive(place: &str) -> ArchiveInfo {
    ArchiveInfo {
        archive_id: ArchiveId([3; 16]),
        name: "a".to_owned(),
        from: Revision(0),
        to: Revision(9),
        sha256: [0; 32],
        size: 1,
        digest: String::new(),
        custodians: sealed_to(&["anna", "ben"]),
        written: Some(NOW),
        stored: Some(NOW),
        stored_by: Some("vault".to_owned()),
        verified: None,
        drilled: Some(NOW),
        drilled_full: Some(NOW),
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
        drilled_by: HashSet::from([id_of("anna"), id_of("ben")]),
        archives: vec![archive("/mnt/usb"), archive("/data/archives")],
        elsewhere: Some(NOW),
        unseen: None,
        changed: Changed::default(),
        epoch_base: Revision(1),
        soft_key_on_data_disk: None,
        administrators: 2,
        audit_dropped: 0,
        audit_counted: 0,
        audit_fault: None,
        audit_gaps: Vec::new(),
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
    check(all_gone, Critical, "no recent archive is left where it was stored, the newest at /mnt");
    check(|f| f.archives[0].gone = true, Warning, "archive a is no longer at /mnt/usb");
    check(|f| f.archives[1].gone = true, Info, "archive a is no longer at /data/archives");
    check(|f| f.now = Millis(NOW.0 + 2 * DAY), Warning, "archive is 2 days old");
    check(|f| f.now = Millis(NOW.0 + 8 * DAY), Critical, "archive is 8 days old");
    check(|f| f.elsewhere = None, Warning, "archives are on the data's own disk");
    check(|f| f.elsewhere = Some(Millis(NOW.0 - 8 * DAY)), Warning, "on another disk is 8 days");
    check(|f| f.disks_silent = true, Warning, "a disk does not answer");
    check(|f| f.changed.keys = 1, Warning, "1 key was made");
    check(|f| f.changed.keys = 7, Warning, "7 keys were made");
    check(|f| f.changed.access = 1, Warning, "identities, policies or custodians were changed");
    check(|f| f.unseen = Some("/shelf/a".to_owned()), Info, "/shelf/a, cannot be seen");
    check(|f| f.epoch_base = Revision(10), Warning, "since this vault was restored");
    check(|f| f.soft_key_on_data_disk = Some("/k".to_owned()), Info, "soft key /k");
    check(|f| f.state_at = Millis(NOW.0 + 6 * 60 * 1000), Warning, "6 minutes behind");
    check(|f| f.archives.iter_mut().for_each(|a| a.drilled_full = None), Warning, "no full drill");
    check(
        |f| f.archives.iter_mut().for_each(|a| (a.drilled, a.drilled_full) = (None, None)),
        Warning,
        "no archive was ever opened",
    );
    check(
        |f| {
            f.archives.iter_mut().for_each(|a| a.drilled_full = None);
            f.archives[1].verified = Some(NOW);
        },
        Warning,
        "no full drill yet: the vault opened an archive itself",
    );
    check(|f| f.now = Millis(NOW.0 + 100 * DAY), Warning, "full drill is 100 days old");
    check(
        |f| f.archives.iter_mut().for_each(|a| a.drilled_full = Some(Millis(NOW.0 - 99 * DAY))),
        Warning,
        "full drill is 99 days old",
    );
    check(|f| f.state_at = Millis(NOW.0 + 365 * DAY), Warning, "365 days behind");
    check(|f| f.clock_drift_ms = 365 * DAY, Warning, "jumped by 365 days");
    check(|f| f.audit_dropped = 3, Warning, "3 audit records");
    check(|f| f.audit_counted = 3, Info, "3 calls of strangers");
    check(|f| f.audit_fault = Some("no space".to_owned()), Critical, "no space");
    let gap = |lines, at| {
        let node = "00000000000000ab".to_owned();
        let gap = AuditGap { node, count: 9, hash: [0; 32], lines, at };
        move |f: &mut Facts| f.audit_gaps.push(gap)
    };
    check(gap(2, None), Critical, "node 00000000000000ab had 2 lines at this start");
    let before = Some(Millis(NOW.0 - 3 * DAY));
    check(gap(9, before), Critical, "node 00000000000000ab was at a start 3 days ago not the one");
    check(|f| _ = f.drilled_by.remove(&id_of("ben")), Info, "no full drill yet by ben:");
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

#[test]
fn who_cannot_open_what_is_stored_is_named() {
    use Level::{Critical, Warning};
    let came = |f: &mut Facts| f.custodians.extend([custodian("carla"), custodian("dora")]);
    check(came, Warning, "the newest stored archive does not open for carla, dora");
    let one = |f: &mut Facts| f.archives[0].custodians = sealed_to(&["anna"]);
    check(one, Warning, "the newest stored archive does not open for ben");
    // The newest that is left counts, and whoever opens an older one only is told so.
    let gone = |f: &mut Facts| {
        f.archives[0].gone = true;
        f.archives[1].custodians = sealed_to(&["ben"]);
    };
    check(gone, Warning, "the newest stored archive does not open for anna");
    let replaced = |f: &mut Facts| f.custodians = vec![custodian("next")];
    check(replaced, Critical, "no stored archive opens for any custodian");
    let older = |f: &mut Facts| {
        f.custodians = vec![custodian("next")];
        f.archives[1].custodians = sealed_to(&["next"]);
    };
    check(older, Warning, "the newest stored archive does not open for next");
    let older_is_gone = |f: &mut Facts| {
        older(f);
        f.archives[1].gone = true;
    };
    check(older_is_gone, Critical, "no stored archive opens for any custodian");
}
