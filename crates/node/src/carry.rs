//! What a newer archive took away stays away in the restore of an older one.

use holdfast_fs::Fs;
use holdfast_ledger::EntryKind;
use holdfast_machine::SinkError;
use holdfast_recovery::{ArchiveError, Carry, Unseal};
use holdfast_store::StateStore as _;
use holdfast_types::{Draft, Kind, Name};

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
    /// Why the newer archive could not be opened by whoever restores; nothing was carried then.
    pub unopened: Option<String>,
}

/// Opens the newer archive, if there is one, and takes away again what it took away.
///
/// Errors: it is damaged. That this identity does not open it is no error: it is said in the answer.
pub(crate) fn carry(
    fs: &dyn Fs,
    transactions: &mut Transactions<'_>,
    unseal: &Unseal,
    options: &RestoreOptions,
) -> Result<Carrying, NodeError> {
    let Some((files, signed)) = &options.newer else { return Ok(Carrying::default()) };
    let view = transactions.store.view();
    let mut apply = |draft| {
        transactions.apply(draft).map_err(|error| match error.kind {
            Kind::NoSpace => SinkError::NoSpace(error.message),
            _ => SinkError::Failed(error.message),
        })
    };
    let mut carry = Carry::new(&view, &options.revive, &mut apply);
    let opened = open_chained(sealed(fs, files)?, &signed.public, unseal, &mut carry, &mut |_| ());
    match opened {
        Ok(_) => {}
        Err(ArchiveError::WrongIdentity(why)) => {
            return Ok(Carrying { unopened: Some(why), ..Carrying::default() });
        }
        Err(error) => return Err(error.into()),
    }
    let carried = carry.finish().map_err(ArchiveError::from)?;
    let mut entries = Draft::default();
    for custodian_id in &carried.custodians {
        let custodian_id = *custodian_id;
        transactions.record(&mut entries, EntryKind::CustodianRemoved { custodian_id });
    }
    if !entries.write.is_empty() {
        transactions.apply(entries)?;
    }
    Ok(Carrying {
        identities: carried.identities,
        policies: carried.policies,
        keys: carried.keys,
        versions: carried.versions,
        custodians: carried.custodians.len() as u64,
        kept: carried.kept,
        unopened: None,
    })
}
