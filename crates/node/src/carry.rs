//! What newer archives took away stays away in the restore of an older one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::Fs;
use holdfast_ledger::EntryKind;
use holdfast_machine::SinkError;
use holdfast_records::Custodian;
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, Carried, Carry, Signed, Trust, Unseal, check_sidecars,
};
use holdfast_store::StateStore as _;
use holdfast_types::{Draft, KeyId, Kind, Name};

use crate::chained::open_chained;
use crate::drill::sealed;
use crate::restore::Transactions;
use crate::{NodeError, RestoreOptions};

/// What became of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Carrying {
    /// Identities removed again.
    pub identities: u64,
    /// Policies removed again.
    pub policies: u64,
    /// Keys deleted again.
    pub keys: u64,
    /// Versions removed again, or in the worse state again.
    pub versions: u64,
    /// Custodians removed again.
    pub custodians: u64,
    /// Custodians who were removed, and stay: nobody else opens the restored vault.
    pub kept: Vec<Name>,
    /// Newer archives that nothing was carried from, and why: damaged, or not opened by whoever restores.
    pub passed_over: Vec<(PathBuf, String)>,
}

/// Takes away again what newer archives took away: of each incarnation the newest one that is whole and opens.
///
/// Errors: the state cannot be changed; an archive turned out to be damaged when it had changed something.
pub(crate) fn carry(
    fs: &dyn Fs,
    transactions: &mut Transactions<'_>,
    unseal: &Unseal,
    options: &RestoreOptions,
) -> Result<Carrying, NodeError> {
    let (mut all, mut kept) = (Carrying::default(), Vec::<Custodian>::new());
    let mut incarnations = BTreeSet::new();
    for (files, signed) in &options.newer {
        if incarnations.contains(&signed.public.incarnation) {
            continue;
        }
        match carry_from(fs, transactions, unseal, &options.revive, (files, signed))? {
            Ok(carried) => {
                incarnations.insert(signed.public.incarnation);
                all.identities += carried.identities;
                all.policies += carried.policies;
                all.keys += carried.keys;
                all.versions += carried.versions;
                all.custodians += carried.custodians.len() as u64;
                // Whoever stays for the sake of one incarnation may be taken away, or named, by the next.
                let new =
                    carried.kept.into_iter().filter(|who| !kept.contains(who)).collect::<Vec<_>>();
                kept.extend(new);
                kept.retain(|who| !carried.custodians.contains(who));
            }
            Err(why) => all.passed_over.push((files.tar.clone(), why.to_string())),
        }
    }
    all.kept = kept.into_iter().map(|who| who.name).collect();
    Ok(all)
}

/// What one newer archive took away; or why it is passed over, with nothing changed.
fn carry_from(
    fs: &dyn Fs,
    transactions: &mut Transactions<'_>,
    unseal: &Unseal,
    revive: &[KeyId],
    (files, signed): (&ArchiveFiles, &Signed),
) -> Result<Result<Carried, ArchiveError>, NodeError> {
    let trust = Trust::Fingerprint(signed.signer.clone());
    let signed = match check_sidecars(fs, files, &trust, SystemClock.now()) {
        Ok(signed) => signed,
        Err(error) => return Ok(Err(error)),
    };
    let view = transactions.store.view();
    let mut changed = false;
    let mut apply = |draft| {
        changed = true;
        transactions.apply(draft).map_err(|error| match error.kind {
            Kind::NoSpace => SinkError::NoSpace(error.message),
            _ => SinkError::Failed(error.message),
        })
    };
    let mut carry = Carry::new(&view, revive, &mut apply);
    let opened = open_chained(sealed(fs, files)?, &signed.public, unseal, &mut carry, &mut |_| ());
    if let Err(error) = opened {
        crate::interrupt::go_on()?;
        return if changed { Err(in_part(files, error)) } else { Ok(Err(error)) };
    }
    let carried = carry.finish().map_err(ArchiveError::from)?;
    let mut entries = Draft::default();
    for &Custodian { custodian_id, .. } in &carried.custodians {
        transactions.record(&mut entries, EntryKind::CustodianRemoved { custodian_id });
    }
    if !entries.write.is_empty() {
        transactions.apply(entries)?;
    }
    Ok(Ok(carried))
}

/// It was signed, and is damaged inside: what was taken from it may not be used.
fn in_part(files: &ArchiveFiles, error: ArchiveError) -> NodeError {
    match NodeError::from(error) {
        NodeError { kind: Kind::Damaged, message, .. } => {
            let message = format!("a newer archive, {}: {message}", files.tar.display());
            NodeError::new(Kind::Damaged, message)
                .next("move its three files elsewhere, then restore again")
        }
        other => other,
    }
}
