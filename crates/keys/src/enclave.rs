//! Enclaves: create, and remove in two steps.
//!
//! "Remove it if it is empty" is a condition on a range. First the enclave is closed: whoever was about to
//! put something into it rests on its row and meets a conflict. Then, on a view after that, it is removed
//! if nothing is in it, or opened again.

use holdfast_records::{Enclave, EnclaveName, EnclaveState, Record as _, Stored, put};
use holdfast_types::{Draft, EnclaveId, Expect, Name, Table};

use crate::{Decision, RuleError};

/// What an enclave holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Contents {
    /// Keys, deleted ones too: they can be brought back.
    pub keys: u64,
    /// Policies.
    pub policies: u64,
    /// Identities.
    pub identities: u64,
}

/// Makes an enclave. `taken` is the row of that name.
///
/// Errors: the name is taken.
pub fn create_enclave(
    name: &Name,
    taken: Option<&Stored<EnclaveName>>,
    enclave_id: EnclaveId,
) -> Decision<Enclave> {
    if taken.is_some() {
        return Err(RuleError::Exists(format!("enclave {name}")));
    }
    let enclave = Enclave { enclave_id, name: name.clone(), state: EnclaveState::Open };
    let mut draft = Draft::default();
    put(&mut draft, Expect::Absent, &enclave);
    put(&mut draft, Expect::Absent, &EnclaveName { name: name.clone(), enclave_id });
    Ok((draft, enclave))
}

/// First step of a removal: nothing new comes in. An empty draft where it is closing already.
///
/// Errors: it is visibly not empty.
pub fn close_enclave(enclave: &Stored<Enclave>, contents: Contents) -> Decision<Enclave> {
    empty(&enclave.record, contents)?;
    Ok(set(enclave, EnclaveState::Closing))
}

/// Takes a first step back, after the second found something. An empty draft where it is open.
///
/// Errors: none today.
pub fn open_enclave(enclave: &Stored<Enclave>) -> Decision<Enclave> {
    Ok(set(enclave, EnclaveState::Open))
}

/// Second step of a removal. `contents` were counted in the view that `enclave` was read from.
///
/// Errors: it is not closing; it is not empty.
pub fn remove_enclave(
    enclave: &Stored<Enclave>,
    name_row: Option<&Stored<EnclaveName>>,
    contents: Contents,
) -> Decision<Enclave> {
    let record = &enclave.record;
    if record.state != EnclaveState::Closing {
        let what = format!("enclave {} was opened again meanwhile", record.name);
        return Err(RuleError::refused(what, format!("holdfast enclave rm {}", record.name)));
    }
    empty(record, contents)?;
    let mut draft = Draft::default();
    draft.delete(Table::ENCLAVES, record.key(), enclave.rev);
    if let Some(row) = name_row.filter(|row| row.record.enclave_id == record.enclave_id) {
        draft.delete(Table::ENCLAVE_NAMES, row.record.key(), row.rev);
    }
    Ok((draft, record.clone()))
}

fn set(enclave: &Stored<Enclave>, state: EnclaveState) -> (Draft, Enclave) {
    let mut draft = Draft::default();
    let changed = Enclave { state, ..enclave.record.clone() };
    if changed != enclave.record {
        put(&mut draft, Expect::At(enclave.rev), &changed);
    }
    (draft, changed)
}

fn empty(enclave: &Enclave, contents: Contents) -> Result<(), RuleError> {
    if contents == Contents::default() {
        return Ok(());
    }
    let Contents { keys, policies, identities } = contents;
    let what = format!(
        "enclave {} is not empty: {keys} keys (deleted ones included), {policies} policies, {identities} identities",
        enclave.name
    );
    let next = if keys > 0 {
        "an enclave that ever held a key cannot be removed: deleted keys can come back, and destroying them for \
         good is not there yet"
    } else {
        "remove its policies and identities first"
    };
    Err(RuleError::refused(what, next))
}
