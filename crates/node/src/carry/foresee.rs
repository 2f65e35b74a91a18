//! What a restore would take away of the keys, for its plan.

use std::path::PathBuf;

use holdfast_fs::{Disk, Fs};
use holdfast_recovery::{ArchiveError, ArchiveFiles, Foreseen, Foresight, Signed, Unseal};
use holdfast_service::open_chained;

use super::named::{self, DeletedKey};
use super::{check_again, each_newest};
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
    let mut foresight = Foresight::new(&options.revive);
    let passed_over =
        each_newest(options, |files, signed| hear(&Disk, files, signed, unseal, &mut foresight))?;
    let mut older = foresight.older();
    open_chained(sealed(&Disk, files)?, &signed.public, unseal, &mut older, progress)?;
    let Foreseen { keys, named, revived, unknown, enclaves, .. } = older;
    named::all_revived(&options.revive, &revived, |id| Ok(!unknown.contains(id)))?;
    let named = named.into_iter().map(|key| {
        let enclave = enclaves.get(&key.enclave_id);
        DeletedKey::new(key, enclave)
    });
    Ok(Foretold { keys, deleted: named.collect(), passed_over })
}

/// Reads a newer archive; answers with why it is of no use, where it is.
fn hear(
    fs: &dyn Fs,
    files: &ArchiveFiles,
    signed: &Signed,
    unseal: &Unseal,
    foresight: &mut Foresight,
) -> Result<Result<(), ArchiveError>, NodeError> {
    let signed = match check_again(fs, files, signed) {
        Ok(signed) => signed,
        Err(error) => return Ok(Err(error)),
    };
    let opened = open_chained(sealed(fs, files)?, &signed.public, unseal, foresight, &mut |_| ());
    match &opened {
        Ok(_) => foresight.believe(),
        Err(_) => foresight.forget(),
    }
    Ok(opened.map(drop))
}
