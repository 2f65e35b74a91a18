//! The keys that a restore takes away, and those that it should not, by their names.

use std::collections::BTreeSet;

use holdfast_machine::{View, ViewExt as _};
use holdfast_records::{Enclave, Record as _};
use holdfast_recovery::{ArchiveError, TakenKey};
use holdfast_types::{KeyId, Kind, Name};

use crate::NodeError;

/// A key that a newer archive says was deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedKey {
    /// Its id, for `--revive`.
    pub key_id: KeyId,
    /// The name of its enclave; its id where it has none.
    pub enclave: String,
    /// The name that it had.
    pub name: Name,
}

impl DeletedKey {
    pub(super) fn new(key: TakenKey, enclave: Option<&Name>) -> Self {
        let enclave = enclave.map_or_else(|| key.enclave_id.to_string(), Name::to_string);
        Self { key_id: key.key_id, enclave, name: key.name }
    }
}

/// With the names of their enclaves in a restored state.
pub(super) fn here(view: &impl View, keys: Vec<TakenKey>) -> Result<Vec<DeletedKey>, ArchiveError> {
    let named = |key: TakenKey| {
        let row = key.enclave_id.as_bytes();
        let enclave = match view.live(Enclave::TABLE, row)? {
            Some(found) => Some(Enclave::decode(found.schema, row, &found.body)?.name),
            None => None,
        };
        Ok(DeletedKey::new(key, enclave.as_ref()))
    };
    keys.into_iter().map(named).collect()
}

/// Refuses a key to be revived of which nothing would have been taken away: its id may be another's.
pub(super) fn all_revived(
    revive: &[KeyId],
    revived: &BTreeSet<KeyId>,
    is_here: impl Fn(&KeyId) -> Result<bool, ArchiveError>,
) -> Result<(), NodeError> {
    let Some(id) = revive.iter().find(|id| !revived.contains(id)) else { return Ok(()) };
    let (message, next) = if is_here(id)? {
        (
            format!(
                "no newer archive that opens takes anything of key {id} away, which --revive names"
            ),
            "leave it away; where newer archives lie elsewhere, show them with --also DIR",
        )
    } else {
        (
            format!("the archive has no key {id}, which --revive names"),
            "compare it with the ids that restore names in its plan, or that --json gives in carried.deleted",
        )
    };
    Err(NodeError::new(Kind::NotFound, message).next(next))
}
