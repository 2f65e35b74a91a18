//! Enclaves. Removing takes two transactions: closing breaks every other proposer's view of the
//! enclave, so that nothing enters it any more; then it goes, if it is empty.

use holdfast_records::{Enclave, EnclaveName, EnclaveState, Record as _, Stored, put};
use holdfast_types::{Draft, EnclaveId, Expect, Name};

use crate::RuleError;

/// An enclave under a free name.
pub fn create_enclave(
    enclave_id: EnclaveId,
    name: Name,
    taken: Option<&Stored<EnclaveName>>,
) -> Result<(Draft, Enclave), RuleError> {
    if taken.is_some() {
        return Err(RuleError::Exists(format!("enclave {name}")));
    }
    let enclave = Enclave { enclave_id, name: name.clone(), state: EnclaveState::Open };
    let mut draft = Draft::default();
    put(&mut draft, Expect::Absent, &enclave);
    put(&mut draft, Expect::Absent, &EnclaveName { name, enclave_id });
    Ok((draft, enclave))
}

/// Marks it closing; an enclave that is closing already needs nothing.
#[must_use]
pub fn close_enclave(enclave: &Stored<Enclave>) -> Draft {
    let mut draft = Draft::default();
    if enclave.record.state == EnclaveState::Open {
        let closing = Enclave { state: EnclaveState::Closing, ..enclave.record.clone() };
        put(&mut draft, Expect::At(enclave.rev), &closing);
    }
    draft
}

/// Removes a closing enclave in which nothing is left. Where `keys` or `others` (policies and
/// identities) are left, it is to be opened again: the draft does that, with the reason beside it.
pub fn remove_enclave(
    enclave: &Stored<Enclave>,
    name: &Stored<EnclaveName>,
    keys: u64,
    others: u64,
) -> (Draft, Option<RuleError>) {
    let mut draft = Draft::default();
    if keys + others > 0 {
        let open = Enclave { state: EnclaveState::Open, ..enclave.record.clone() };
        put(&mut draft, Expect::At(enclave.rev), &open);
        let what = format!(
            "enclave {} is not empty: {keys} keys, deleted ones included, and {others} policies and \
             identities",
            enclave.record.name
        );
        return (draft, Some(RuleError::refused(what, "move or remove them first")));
    }
    draft.delete(Enclave::TABLE, enclave.record.key(), enclave.rev);
    draft.delete(EnclaveName::TABLE, name.record.key(), name.rev);
    (draft, None)
}

#[cfg(test)]
mod tests {
    use holdfast_types::{Millis, Revision};

    use super::*;

    #[test]
    fn only_an_empty_one_goes() {
        let id = EnclaveId([1; 16]);
        let name: Name = "pay".parse().unwrap();
        let (_, made) = create_enclave(id, name.clone(), None).unwrap();
        let stored = |record| Stored { rev: Revision(3), at: Millis(0), record };
        let by_name = Stored {
            rev: Revision(3),
            at: Millis(0),
            record: EnclaveName { name: name.clone(), enclave_id: id },
        };
        assert!(create_enclave(id, name, Some(&by_name)).is_err());
        assert_eq!(close_enclave(&stored(made.clone())).write.len(), 1);
        let closing = stored(Enclave { state: EnclaveState::Closing, ..made });
        assert!(close_enclave(&closing).write.is_empty());
        let (draft, refused) = remove_enclave(&closing, &by_name, 1, 0);
        assert!(refused.is_some() && draft.write.len() == 1 && draft.write[0].2.is_some());
        let (draft, refused) = remove_enclave(&closing, &by_name, 0, 0);
        assert!(refused.is_none() && draft.write.iter().all(|write| write.2.is_none()));
    }
}
