//! What newer archives took away stays away in the restore of an older one.

mod foresee;
mod named;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use foresee::{Foretold, foresee};
pub use named::DeletedKey;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::Fs;
use holdfast_keyring::Keyring;
use holdfast_ledger::EntryKind;
use holdfast_machine::{SinkError, View, ViewExt as _};
use holdfast_records::{Custodian, Key, KeyState, KeyVersion, Record as _, VersionState};
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, Carried, Carry, Signed, Trust, Unseal, check_json, check_tar, each,
};
use holdfast_service::open_chained;
use holdfast_store::StateStore as _;
use holdfast_types::{Draft, KeyId, Kind, Name};

use crate::drill::sealed;
use crate::restore::Transactions;
use crate::{NodeError, RestoreOptions};

/// What became of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Carrying {
    /// Identities removed again, those in `anew` among them.
    pub identities: u64,
    /// Identities that were made anew with other rights, and are not here with any.
    pub anew: u64,
    /// Policies removed again.
    pub policies: u64,
    /// Keys deleted again.
    pub keys: u64,
    /// The first of them.
    pub deleted: Vec<DeletedKey>,
    /// Keys that were left as they are here, as was asked.
    pub revived: BTreeSet<KeyId>,
    /// Versions removed again, or in the worse state again.
    pub versions: u64,
    /// Keys that encrypt no more, as they were rotated and their new version is not here: to be rotated again.
    pub rotate: u64,
    /// Custodians removed again.
    pub custodians: u64,
    /// Custodians whose certificates were renewed again, what was revoked of them above all.
    pub renewed: BTreeSet<Name>,
    /// Custodians who were removed, and stay: nobody else opens the restored vault.
    pub kept: Vec<Name>,
    /// Newer archives that nothing was carried from, and why: damaged, or not opened by whoever restores.
    pub passed_over: Vec<(PathBuf, String)>,
}

/// Takes away again what newer archives took away: of each incarnation the newest one that is whole and opens.
///
/// Errors: the state cannot be read or changed; an archive turned out to be damaged when it had changed something.
pub(crate) fn carry(
    fs: &dyn Fs,
    transactions: &mut Transactions<'_>,
    keyring: &Keyring,
    unseal: &Unseal,
    options: &RestoreOptions,
) -> Result<Carrying, NodeError> {
    let (mut all, mut kept) = (Carrying::default(), Vec::<Custodian>::new());
    let idle_before = idle_keys(&transactions.store.view(), options)?;
    let passed_over = each_newest(options, |files, signed| {
        let carried =
            match carry_from(fs, transactions, keyring, unseal, &options.revive, files, signed)? {
                Ok(carried) => carried,
                Err(why) => return Ok(Err(why)),
            };
        all.identities += carried.identities;
        all.anew += carried.anew;
        all.policies += carried.policies;
        all.keys += carried.keys;
        all.deleted.extend(named::here(&transactions.store.view(), carried.named)?);
        all.revived.extend(carried.revived);
        all.versions += carried.versions;
        all.custodians += carried.custodians.len() as u64;
        all.renewed.extend(carried.renewed.into_iter().map(|who| who.name));
        // Whoever stays for the sake of one incarnation may be taken away, or named, by the next.
        let new = carried.kept.into_iter().filter(|who| !kept.contains(who)).collect::<Vec<_>>();
        kept.extend(new);
        kept.retain(|who| !carried.custodians.contains(who));
        Ok(Ok(()))
    })?;
    all.passed_over = passed_over;
    let view = transactions.store.view();
    named::all_revived(&options.revive, &all.revived, |id| {
        Ok(view.live(Key::TABLE, id.as_bytes())?.is_some())
    })?;
    all.rotate = idle_keys(&view, options)?.saturating_sub(idle_before);
    all.kept = kept.into_iter().map(|who| who.name).collect();
    Ok(all)
}

/// Shows `hear` newer archives: of each incarnation the newest one of which it does not say why it is passed over.
/// Answers with those and why.
fn each_newest(
    options: &RestoreOptions,
    mut hear: impl FnMut(&ArchiveFiles, &Signed) -> Result<Result<(), ArchiveError>, NodeError>,
) -> Result<Vec<(PathBuf, String)>, NodeError> {
    let (mut heard, mut passed_over) = (BTreeSet::new(), Vec::new());
    for (files, signed) in &options.newer {
        if heard.contains(&signed.public.incarnation) {
            continue;
        }
        let said = hear(files, signed);
        // Then it was not read to its end, and nothing is said of it.
        crate::interrupt::go_on()?;
        match said? {
            Ok(()) => _ = heard.insert(signed.public.incarnation),
            Err(why) => passed_over.push((files.tar.clone(), why.to_string())),
        }
    }
    Ok(passed_over)
}

/// A newer archive whose sidecars are looked at once more, now with its tar.
fn check_again(fs: &dyn Fs, files: &ArchiveFiles, signed: &Signed) -> Result<Signed, ArchiveError> {
    let trust = Trust::Fingerprint(signed.signer.clone());
    let signed = check_json(fs, files, &trust, SystemClock.now())?;
    check_tar(sealed(fs, files)?, files, &signed.public)?;
    Ok(signed)
}

/// Keys that are there and do not encrypt, since their newest version may not; where anything can change that.
fn idle_keys(view: &impl View, options: &RestoreOptions) -> Result<u64, ArchiveError> {
    let mut idle = 0;
    if options.newer.is_empty() {
        return Ok(idle);
    }
    each::<Key>(view, |found| {
        let key = found.record;
        let row = [&key.key_id.0[..], &key.primary.0.to_be_bytes()].concat();
        let encrypts = match view.live(KeyVersion::TABLE, &row)? {
            None => false,
            Some(found) => {
                let version = KeyVersion::decode(found.schema, &row, &found.body)?;
                version.state == VersionState::Active
            }
        };
        idle += u64::from(key.state == KeyState::Active && !encrypts);
        Ok(())
    })?;
    Ok(idle)
}

/// What one newer archive took away; or why it is passed over, with nothing changed.
fn carry_from(
    fs: &dyn Fs,
    transactions: &mut Transactions<'_>,
    keyring: &Keyring,
    unseal: &Unseal,
    revive: &[KeyId],
    files: &ArchiveFiles,
    signed: &Signed,
) -> Result<Result<Carried, ArchiveError>, NodeError> {
    let signed = match check_again(fs, files, signed) {
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
    let carry = Carry::new(&view, revive, &mut apply);
    let mut carry = carry.sealing(keyring, SystemClock.now());
    let opened = open_chained(sealed(fs, files)?, &signed.public, unseal, &mut carry, &mut |_| ());
    if let Err(error) = opened {
        return not_opened(files, error, changed).map(Err);
    }
    let carried = carry.finish().map_err(|error| of_the_state(files, error))?;
    let mut entries = Draft::default();
    for &Custodian { custodian_id, .. } in &carried.custodians {
        transactions.record(&mut entries, EntryKind::CustodianRemoved { custodian_id });
    }
    for Custodian { custodian_id, fingerprint, name, .. } in carried.renewed.iter().cloned() {
        let kind = EntryKind::CustodianAdded { custodian_id, fingerprint, name };
        transactions.record(&mut entries, kind);
    }
    if !entries.write.is_empty() {
        transactions.apply(entries)?;
    }
    Ok(Ok(carried))
}

/// Why an archive is passed over that did not open: the fault is its own, and nothing was changed by then.
///
/// Errors: else.
fn not_opened(
    files: &ArchiveFiles,
    error: ArchiveError,
    changed: bool,
) -> Result<ArchiveError, NodeError> {
    match error {
        ArchiveError::Sink(error) => Err(of_the_state(files, error)),
        error if changed => Err(in_part(files, error)),
        error => Ok(error),
    }
}

/// The restored state was not read, or not changed: no fault of the newer archive's, which would bring back
/// what it took away if it were passed over.
fn of_the_state(files: &ArchiveFiles, error: SinkError) -> NodeError {
    let file = files.tar.display();
    let next = match error {
        SinkError::NoSpace(_) => "make room there, then restore again",
        _ => "check the disk of the data directory, then restore again",
    };
    let error = ArchiveError::from(error);
    let message = format!("what a newer archive took away, {file}, cannot be carried: {error}");
    NodeError::new(error.kind(), message).next(next)
}

/// It was signed, and is damaged inside, or not for this program: what was taken from it may not be used.
fn in_part(files: &ArchiveFiles, error: ArchiveError) -> NodeError {
    let NodeError { kind, message, next } = NodeError::from(error);
    let next = match kind {
        Kind::Damaged => Some("move its three files elsewhere, then restore again".to_owned()),
        Kind::Newer => next,
        _ => return NodeError { kind, message, next },
    };
    let message = format!("a newer archive, {}: {message}", files.tar.display());
    NodeError { kind, message, next }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use holdfast_keyring::KeyringError;

    use super::*;

    #[test]
    fn a_fault_of_the_restored_state_is_no_reason_to_pass_an_archive_over() {
        let files = ArchiveFiles::of(Path::new("newer.tar.gpg"));
        for (fault, kind) in [
            (SinkError::Failed("read state: input/output error".to_owned()), Kind::Other),
            (SinkError::NoSpace("again/state.1".to_owned()), Kind::NoSpace),
        ] {
            for changed in [false, true] {
                let error = ArchiveError::from(fault.clone());
                let error = not_opened(&files, error, changed).expect_err("it is not passed over");
                assert_eq!(error.kind, kind);
                assert!(error.message.contains("newer.tar.gpg"), "{error}");
                assert!(error.message.contains(&fault.to_string()) && error.next.is_some());
            }
        }
        // Its own fault is one, as long as nothing was taken from it.
        let damaged = || ArchiveError::Damaged("END does not fit".to_owned());
        let why = not_opened(&files, damaged(), false).map(|why| why.kind());
        assert_eq!(why, Ok(Kind::Damaged));
        let error = not_opened(&files, damaged(), true).unwrap_err();
        assert!(error.next.unwrap().contains("move its three files"));
        let newer = ArchiveError::from(KeyringError::WrappedFormat("key k".to_owned()));
        let error = not_opened(&files, newer, true).unwrap_err();
        assert_eq!(error.kind, Kind::Newer);
        assert!(error.message.contains("newer.tar.gpg") && error.next.is_some(), "{error}");
    }
}
