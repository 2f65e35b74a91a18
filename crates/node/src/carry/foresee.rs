//! What a restore would take away of the keys, for its plan.

use std::collections::BTreeSet;
use std::path::PathBuf;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::{Disk, Fs};
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, Foreseen, Foresight, Signed, Trust, Unseal, check_sidecars,
};
use holdfast_service::open_chained;

use super::named::{self, DeletedKey};
use crate::drill::sealed;
use crate::{NodeError, RestoreOptions};

/// What a restore would take away of the keys.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Foretold {
    /// Keys that it would delete again.
    pub keys: u64,
    /// The first of them.
    pub deleted: Vec<DeletedKey>,
    /// Newer archives that nothing would be carried from, and why.
    pub passed_over: Vec<(PathBuf, String)>,
}

/// Finds out what [`restore`](crate::restore) would take away of the keys. Reads the newer archives and the one
/// that is to be restored, and writes nothing.
///
/// Errors: an archive cannot be read; nothing would be taken away of a key that is to be revived.
pub fn foresee(
    files: &ArchiveFiles,
    signed: &Signed,
    unseal: &Unseal,
    options: &RestoreOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Foretold, NodeError> {
    crate::interrupt::watch_interruptions()?;
    let mut passed_over = Vec::new();
    let mut older = newer(&Disk, unseal, options, &mut passed_over)?.older();
    open_chained(sealed(&Disk, files)?, &signed.public, unseal, &mut older, progress)?;
    let Foreseen { keys, named, revived, unknown, enclaves, .. } = older;
    named::all_revived(&options.revive, &revived, |id| Ok(!unknown.contains(id)))?;
    let named = named.into_iter().map(|key| {
        let enclave = enclaves.get(&key.enclave_id);
        DeletedKey::new(key, enclave)
    });
    Ok(Foretold { keys, deleted: named.collect(), passed_over })
}

/// What the newer archives say: of each incarnation the newest one that is whole and opens.
fn newer(
    fs: &dyn Fs,
    unseal: &Unseal,
    options: &RestoreOptions,
    passed_over: &mut Vec<(PathBuf, String)>,
) -> Result<Foresight, NodeError> {
    let mut foresight = Foresight::new(&options.revive);
    let mut incarnations = BTreeSet::new();
    for (files, signed) in &options.newer {
        if incarnations.contains(&signed.public.incarnation) {
            continue;
        }
        match hear(fs, files, signed, unseal, &mut foresight)? {
            None => {
                foresight.believe();
                incarnations.insert(signed.public.incarnation);
            }
            Some(why) => {
                foresight.forget();
                passed_over.push((files.tar.clone(), why.to_string()));
            }
        }
    }
    Ok(foresight)
}

/// Reads a newer archive; answers with why it is of no use, where it is.
fn hear(
    fs: &dyn Fs,
    files: &ArchiveFiles,
    signed: &Signed,
    unseal: &Unseal,
    foresight: &mut Foresight,
) -> Result<Option<ArchiveError>, NodeError> {
    let trust = Trust::Fingerprint(signed.signer.clone());
    let signed = match check_sidecars(fs, files, &trust, SystemClock.now()) {
        Ok(signed) => signed,
        Err(error) => return Ok(Some(error)),
    };
    let opened = open_chained(sealed(fs, files)?, &signed.public, unseal, foresight, &mut |_| ());
    crate::interrupt::go_on()?;
    Ok(opened.err())
}
