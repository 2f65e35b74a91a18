//! The certificate of a custodian who stays, as a newer archive has it: what was revoked there stays revoked.

use holdfast_crypto::random_array;
use holdfast_keyring::Keyring;
use holdfast_records::{Custodian, Record as _, SessionKey, Slot, SlotKind, Stored, put};
use holdfast_seal::{Certificate, Comparison};
use holdfast_types::limits::SLOT_BYTES_MAX;
use holdfast_types::{Draft, Expect, Millis, SlotId};

use crate::{ArchiveError, seal_slot};

/// A custodian's certificate with all that is known of it, and a slot that is sealed to it.
pub(super) struct Renewed {
    custodian: Custodian,
    slot: Slot,
    session: SessionKey,
}

/// Of `who`, with what `newer` says of their certificate; nothing where that is not new.
///
/// Errors: both together are no certificate to seal to, or have too many keys for a slot.
pub(super) fn renewed(
    who: &Custodian,
    newer: &[u8],
    keyring: &Keyring,
    now: Millis,
) -> Result<Option<Renewed>, ArchiveError> {
    let refused = |error| ArchiveError::Certificate(who.name.to_string(), error);
    let (certificate, which) =
        Certificate::read_renewed_stored(&who.certificate, newer, now).map_err(refused)?;
    if which != Comparison::Newer {
        return Ok(None);
    }
    let generation = keyring.current().ok_or_else(|| ArchiveError::damaged("no root is open"))?;
    let slot_id = SlotId(random_array());
    let (sealed, session) = seal_slot(keyring, generation, slot_id, &certificate)?;
    if sealed.len() > SLOT_BYTES_MAX {
        return Err(refused(holdfast_seal::CertificateError::TooLarge));
    }
    let (custodian, recipient) = (Some(who.custodian_id), who.fingerprint.clone());
    let slot = Slot { generation, slot_id, kind: SlotKind::OpenPgp, custodian, recipient, sealed };
    let (certificate, expires) = (certificate.to_bytes(), certificate.expires());
    let custodian = Custodian { certificate, expires, ..who.clone() };
    Ok(Some(Renewed { custodian, slot, session }))
}

impl Renewed {
    /// Takes the place of what `which` has: record, and slot of the current root. Answers with the record.
    pub(super) fn replace(
        self,
        which: &Stored<Custodian>,
        slots: &[Stored<Slot>],
        draft: &mut Draft,
    ) -> Custodian {
        let Self { custodian, slot, session } = self;
        put(draft, Expect::At(which.rev), &custodian);
        let id = Some(custodian.custodian_id);
        let is_old = |old: &Slot| old.custodian == id && old.generation == slot.generation;
        for old in slots.iter().filter(|old| is_old(&old.record)) {
            draft.delete(Slot::TABLE, old.record.key(), old.rev);
        }
        put(draft, Expect::Absent, &slot);
        put(draft, Expect::Absent, &session);
        custodian
    }
}
