//! What a newer archive took away stays away in the restore of an older one.

use holdfast_fs::Fs;
use holdfast_machine::SinkError;
use holdfast_recovery::{ArchiveError, Carry, Unseal};
use holdfast_store::StateStore as _;
use holdfast_types::Kind;

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
    let (identities, policies) = (carried.identities, carried.policies);
    let (keys, versions) = (carried.keys, carried.versions);
    Ok(Carrying { identities, policies, keys, versions, unopened: None })
}
