//! Custodians: recipient of archives and holder of a slot, added and removed together.

use holdfast_records::{Custodian, Record as _, Slot, Stored, put};
use holdfast_types::limits::{RECIPIENTS_MAX, SLOTS_MAX};
use holdfast_types::{Draft, Expect};

use crate::RuleError;

/// A custodian with a slot for the current root. `others` are those there are, `slots` how many.
pub fn add_custodian(
    new: &Custodian,
    slot: &Slot,
    others: &[Stored<Custodian>],
    slots: usize,
) -> Result<Draft, RuleError> {
    let same = |other: &&Stored<Custodian>| {
        other.record.fingerprint == new.fingerprint || other.record.name == new.name
    };
    if let Some(other) = others.iter().find(same) {
        let Custodian { name, fingerprint, .. } = &other.record;
        return Err(RuleError::Exists(format!("custodian {name} ({fingerprint})")));
    }
    if others.len() >= RECIPIENTS_MAX || slots >= SLOTS_MAX {
        return Err(RuleError::refused(
            format!("there are {} custodians and {slots} slots already", others.len()),
            "remove one first: holdfast custodian rm NAME",
        ));
    }
    let mut draft = Draft::default();
    put(&mut draft, Expect::Absent, new);
    put(&mut draft, Expect::Absent, slot);
    Ok(draft)
}

/// Drops recipient and slots. Archives that were sealed to them still open with their key.
#[must_use]
pub fn remove_custodian(custodian: &Stored<Custodian>, slots: &[Stored<Slot>]) -> Draft {
    let mut draft = Draft::default();
    draft.delete(Custodian::TABLE, custodian.record.key(), custodian.rev);
    let theirs =
        |slot: &&Stored<Slot>| slot.record.custodian == Some(custodian.record.custodian_id);
    for slot in slots.iter().filter(theirs) {
        draft.delete(Slot::TABLE, slot.record.key(), slot.rev);
    }
    draft
}

#[cfg(test)]
mod tests {
    use holdfast_records::SlotKind;
    use holdfast_types::{CustodianId, Generation, Millis, Revision, SlotId};

    use super::*;

    fn custodian(byte: u8, name: &str) -> (Stored<Custodian>, Stored<Slot>) {
        let custodian_id = CustodianId([byte; 16]);
        let custodian = Custodian {
            custodian_id,
            name: name.parse().unwrap(),
            fingerprint: format!("{byte:040X}"),
            certificate: vec![byte],
            added: Millis(0),
            expires: None,
        };
        let slot = Slot {
            generation: Generation::FIRST,
            slot_id: SlotId([byte; 16]),
            kind: SlotKind::OpenPgp,
            custodian: Some(custodian_id),
            recipient: custodian.fingerprint.clone(),
            sealed: vec![byte],
        };
        let rev = Revision(u64::from(byte));
        (
            Stored { rev, at: Millis(0), record: custodian },
            Stored { rev, at: Millis(0), record: slot },
        )
    }

    #[test]
    fn both_layers_come_and_go_together() {
        let (john, johns) = custodian(1, "john");
        let (mary, marys) = custodian(2, "mary");
        let draft = add_custodian(&john.record, &johns.record, &[], 0).unwrap();
        assert_eq!(draft.write.len(), 2);
        let again = add_custodian(&john.record, &johns.record, &[john.clone()], 1);
        assert!(matches!(again, Err(RuleError::Exists(_))));
        let full = add_custodian(&john.record, &johns.record, &[], SLOTS_MAX);
        assert!(matches!(full, Err(RuleError::Refused { .. })));
        let draft = remove_custodian(&john, &[johns.clone(), marys]);
        let gone: Vec<_> = draft.write.iter().map(|write| write.1.clone()).collect();
        assert_eq!(gone, [john.record.key(), johns.record.key()]);
        assert!(mary.record.custodian_id != john.record.custodian_id);
    }
}
