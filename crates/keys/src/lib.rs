//! The rules: what may be done to keys, enclaves, policies, identities and custodians.
//!
//! Pure. Each rule takes records that were read from one view, random ids and wrapped bytes that were made
//! before, and answers with a [`Draft`] and the record as it will stand, or with a [`RuleError`] that says
//! whose turn it is. It never looks anything up: an `Option<&Stored<_>>` is what the caller found.
//!
//! Every row that a decision rests on stands in the draft's expectations, so a decision on an old view is a
//! conflict and never a wrong change. Where a rule speaks of a *range* ("the last administrator", "no such
//! name") the draft rests on, or writes, one row that every change of that range touches: another
//! administrator, the enclave, or the vault's own row, written again unchanged.

mod custodian;
mod enclave;
mod error;
mod identity;
mod key;
pub mod policy;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod usage;

use holdfast_records::{Stored, Vault, put};
use holdfast_types::{Draft, Expect};

pub use custodian::{NewCustodian, Renewal, add_custodian, remove_custodian, renew_custodian};
pub use enclave::{Contents, close_enclave, create_enclave, open_enclave, remove_enclave};
pub use error::RuleError;
pub use identity::{NewIdentity, UserOf, create_identity, remove_identity};
pub use key::{Wrapped, create_key, delete_key, rotate_key, undelete_key};
pub use usage::{Operation, check_use};

/// What a rule decided: the change, and the record as it will stand after it.
pub type Decision<R> = Result<(Draft, R), RuleError>;

/// Puts changes in order that have no row in common: names of identities and custodians are unique, and no
/// row bears such a name as its key. The vault's row is written again, unchanged; the second of two
/// concurrent changes then meets a conflict and is decided again.
fn touch(draft: &mut Draft, vault: &Stored<Vault>) {
    put(draft, Expect::At(vault.rev), &vault.record);
}
