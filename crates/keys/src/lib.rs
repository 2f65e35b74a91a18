//! The rules of the key manager, run by whoever proposes a change.
//!
//! A rule takes records as they stand, with their revisions, and what is new (ids, wrapped bytes,
//! times), and answers with a [`Draft`](holdfast_types::Draft): what must still stand, and what to
//! write. So rules may change in a rolling upgrade without nodes diverging. Nothing here reads a
//! clock, draws a random byte or sees a secret.
//!
//! States and their names: NIST SP 800-57 part 1 rev. 5, §7.

mod custodian;
mod enclave;
mod error;
mod identity;
mod key;
pub mod policy;
mod uses;

pub use custodian::{add_custodian, remove_custodian};
pub use enclave::{close_enclave, create_enclave, remove_enclave};
pub use error::RuleError;
pub use identity::{create_identity, remove_identity};
pub use key::{NewKey, NewVersion, create_key, delete_key, rotate_key, undelete_key};
pub use uses::{Use, check_use};
