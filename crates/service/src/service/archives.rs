//! Archives as the ledger tells them: it travels in archives, so a restored vault knows its past.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use holdfast_ledger::{DrillMode, Entry, EntryKind, Head};
use holdfast_machine::View;
use holdfast_records::{Custodian, LedgerRow, put};
use holdfast_recovery::without_extension;
use holdfast_types::{ArchiveId, CustodianId, Draft, Expect, Kind, Millis, Name, Table, hex};

use super::Service;
use super::heads::AuditGap;
use super::read::{aside, get, list};
use crate::audit::Resource;
use crate::{Action, ArchiveInfo, Caller, Error, Recipient};

/// How many archives of a listing are looked for.
const LOOKED_FOR: usize = 1000;

impl Service {
    /// Archives, newest first. Of the newest thousand those that are gone are told.
    pub async fn list_archives(
        self: &Arc<Self>,
        caller: &Caller,
    ) -> Result<Vec<ArchiveInfo>, Error> {
        let call = self.enter(caller, Action::ArchiveList, Resource::Text("archives")).await?;
        let mut result = self.read(|view| aside(|| all(view))).await;
        if let Ok(archives) = &mut result {
            self.look_for(archives).await;
        }
        call.end(result)
    }

    /// An archive, by name (with or without file extensions) or id.
    pub async fn show_archive(
        self: &Arc<Self>,
        caller: &Caller,
        which: &str,
    ) -> Result<ArchiveInfo, Error> {
        let call = self.enter(caller, Action::ArchiveShow, Resource::Text(which)).await?;
        let mut result = self.read(|view| aside(|| named(view, which))).await;
        if let Ok(archive) = &mut result {
            self.look_for(std::slice::from_mut(archive)).await;
        }
        call.end(result)
    }

    /// What this node's ledger says of an archive. Reads the whole of it.
    pub(super) fn archive(&self, archive_id: ArchiveId) -> Result<ArchiveInfo, Error> {
        let view = self.cluster.view();
        aside(|| with_id(&view, archive_id))
    }

    /// Marks those of the first that are gone; none where a disk does not answer.
    async fn look_for(self: &Arc<Self>, archives: &mut [ArchiveInfo]) {
        let stored = archives.iter().filter(|archive| archive.stored.is_some());
        let stored = stored.take(LOOKED_FOR).cloned().collect();
        if let Some(disks) = self.look_at_disks(stored).await {
            mark(archives, &disks.gone);
        }
    }
}

/// Marks the archives that are gone.
pub(super) fn mark(archives: &mut [ArchiveInfo], gone: &[ArchiveId]) {
    let gone: HashSet<&ArchiveId> = gone.iter().collect();
    for archive in archives {
        archive.gone = gone.contains(&archive.archive_id);
    }
}

/// How far the ledger goes. It is never pruned, so its live rows are its entries.
pub(super) fn ledger_head(view: &dyn View) -> Result<Head, Error> {
    let size = view.head().tables.get(&Table::LEDGER).map_or(0, |table| table.live);
    let Some(last) = size.checked_sub(1) else { return Ok(Head::default()) };
    let row = get::<LedgerRow>(view, &last.to_be_bytes())?
        .ok_or_else(|| Error::new(Kind::Damaged, format!("the ledger has no entry {last}")))?;
    Ok(Head::after(&decode(&row.record)?))
}

/// Adds an entry to the ledger.
pub(super) fn append(
    view: &dyn View,
    draft: &mut Draft,
    at: Millis,
    kind: EntryKind,
) -> Result<u64, Error> {
    append_all(view, draft, at, vec![kind])
}

/// Adds entries to the ledger; the number of the last one.
pub(super) fn append_all(
    view: &dyn View,
    draft: &mut Draft,
    at: Millis,
    kinds: Vec<EntryKind>,
) -> Result<u64, Error> {
    let mut head = ledger_head(view)?;
    for kind in kinds {
        let entry = holdfast_ledger::append(&head, at, kind);
        put(draft, Expect::Absent, &LedgerRow { seq: entry.seq, entry: entry.encode() });
        head = Head::after(&entry);
    }
    Ok(head.size.saturating_sub(1))
}

/// All archives, newest first.
pub(super) fn all(view: &dyn View) -> Result<Vec<ArchiveInfo>, Error> {
    Ok(told(view)?.archives)
}

/// What the ledger tells, read once for all of it.
#[derive(Default)]
pub(super) struct Told {
    /// All archives, newest first.
    pub archives: Vec<ArchiveInfo>,
    /// Custodians by whose key an archive was opened in a full drill.
    pub drilled_by: HashSet<CustodianId>,
    /// Gaps of audit logs that nobody has acknowledged.
    pub gaps: Vec<AuditGap>,
}

/// Reads the ledger.
pub(super) fn told(view: &dyn View) -> Result<Told, Error> {
    let mut told = Told::default();
    let found = &mut told.archives;
    let names = list::<Custodian>(view, &[])?.into_iter().map(|custodian| custodian.record);
    let names: HashMap<CustodianId, Name> =
        names.map(|custodian| (custodian.custodian_id, custodian.name)).collect();
    let recipient =
        |custodian_id| Recipient { custodian_id, name: names.get(&custodian_id).cloned() };
    // Where each is in `found`: a ledger only grows, and is read once for all.
    let mut places: HashMap<ArchiveId, usize> = HashMap::new();
    for row in list::<LedgerRow>(view, &[])? {
        let Entry { at, kind, .. } = decode(&row.record)?;
        let mut of = |id: ArchiveId, change: &mut dyn FnMut(&mut ArchiveInfo)| {
            places.get(&id).and_then(|place| found.get_mut(*place)).map(change);
        };
        match kind {
            EntryKind::Archive { archive_id, custodians, digest, name, from, to, sha256, size } => {
                let sha256 = sha256_of(&sha256)?;
                places.insert(archive_id, found.len());
                found.push(ArchiveInfo {
                    archive_id,
                    name,
                    from,
                    to,
                    sha256,
                    size,
                    digest,
                    written: Some(at),
                    stored: None,
                    stored_by: None,
                    verified: None,
                    drilled: None,
                    drilled_full: None,
                    gone: false,
                    place: String::new(),
                    custodians: custodians.into_iter().map(recipient).collect(),
                });
            }
            EntryKind::Stored { archive_id, place, by } => of(archive_id, &mut |archive| {
                archive.stored = Some(at);
                archive.stored_by = Some(by.clone());
                archive.place.clone_from(&place);
            }),
            EntryKind::Verified { archive_id, .. } => {
                of(archive_id, &mut |archive| archive.verified = Some(at));
            }
            EntryKind::Drilled { archive_id, mode, custodian_id, .. } => {
                let full = mode == DrillMode::Full;
                told.drilled_by.extend(custodian_id.filter(|_| full));
                of(archive_id, &mut |archive| {
                    // A drill opens what it loads.
                    archive.verified = Some(at);
                    archive.drilled = Some(at);
                    if full {
                        archive.drilled_full = Some(at);
                    }
                });
            }
            EntryKind::AuditGap { count, hash, lines, node } => {
                let hash = sha256_of(&hash)?;
                told.gaps.push(AuditGap { node, count, hash, lines, at: Some(at) });
            }
            EntryKind::AuditAcknowledged { .. } => told.gaps.clear(),
            _ => {}
        }
    }
    found.reverse();
    Ok(told)
}

/// The archive with an id.
pub(super) fn with_id(view: &dyn View, id: ArchiveId) -> Result<ArchiveInfo, Error> {
    let found = all(view)?.into_iter().find(|archive| archive.archive_id == id);
    found.ok_or_else(|| Error::missing(format!("there is no archive {id}")))
}

fn named(view: &dyn View, which: &str) -> Result<ArchiveInfo, Error> {
    let file = which.rsplit('/').next().unwrap_or(which);
    let name = without_extension(file);
    let id = name.parse::<ArchiveId>().ok();
    let found = all(view)?
        .into_iter()
        .find(|archive| archive.name == name || Some(archive.archive_id) == id);
    found.ok_or_else(|| {
        Error::missing(format!("there is no archive {name}")).next("holdfast archive ls")
    })
}

fn decode(row: &LedgerRow) -> Result<Entry, Error> {
    Entry::decode(&row.entry)
        .map_err(|error| Error::new(Kind::Damaged, format!("ledger entry {}: {error}", row.seq)))
}

fn sha256_of(text: &str) -> Result<[u8; 32], Error> {
    hex::decode(text)
        .ok_or_else(|| Error::new(Kind::Damaged, "a hash in the ledger is not 64 hex digits"))
}
