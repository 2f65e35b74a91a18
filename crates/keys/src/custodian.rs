//! Custodians: who can open archives, and the seal slot of each.

use holdfast_records::{
    Custodian, Record as _, RootGeneration, Slot, SlotKind, Stored, Vault, put,
};
use holdfast_types::limits::{RECIPIENTS_MAX, SLOT_BYTES_MAX};
use holdfast_types::{CustodianId, Draft, Expect, Millis, Name, SlotId, Table};

use crate::{Decision, RuleError, touch};

/// A custodian to add: a recipient of archives and the holder of a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewCustodian {
    /// Random.
    pub custodian_id: CustodianId,
    /// Random.
    pub slot_id: SlotId,
    /// A name, unique in the vault.
    pub name: Name,
    /// Fingerprint of the certificate, hex.
    pub fingerprint: String,
    /// The certificate, binary.
    pub certificate: Vec<u8>,
    /// When it expires.
    pub expires: Option<Millis>,
    /// The payload of `root`'s slot, sealed to the certificate.
    pub sealed: Vec<u8>,
}

/// What a custodian gets with a renewed certificate: one of the same fingerprint, with another expiry or other
/// encryption keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// The name that was given with it, if one was.
    pub name: Option<Name>,
    /// Random.
    pub slot_id: SlotId,
    /// The certificate, binary.
    pub certificate: Vec<u8>,
    /// When it expires.
    pub expires: Option<Millis>,
    /// The payload of `root`'s slot, sealed to the certificate.
    pub sealed: Vec<u8>,
}

/// Adds a custodian with a slot of the current root. `all` are those that exist; `root` is the generation
/// whose payload was sealed.
///
/// Errors: name or certificate taken (a custodian's own is renewed: [`renew_custodian`]); as many as an archive
/// has recipients; the slot is too large; the root is no longer current.
pub fn add_custodian(
    vault: &Stored<Vault>,
    root: &Stored<RootGeneration>,
    new: NewCustodian,
    all: &[Stored<Custodian>],
    now: Millis,
) -> Decision<Custodian> {
    let NewCustodian { custodian_id, slot_id, name, fingerprint, certificate, expires, sealed } =
        new;
    if all.iter().any(|found| found.record.name == name) {
        return Err(RuleError::Exists(format!("custodian {name}")));
    }
    let same =
        |found: &&Stored<Custodian>| found.record.fingerprint.eq_ignore_ascii_case(&fingerprint);
    if let Some(found) = all.iter().find(same) {
        let text = format!("custodian {} with certificate {fingerprint}", found.record.name);
        return Err(RuleError::Exists(text));
    }
    if all.len() >= RECIPIENTS_MAX {
        return Err(RuleError::refused(
            format!("an archive has at most {RECIPIENTS_MAX} custodians"),
            "remove one first: holdfast custodian rm NAME",
        ));
    }
    let record = Custodian { custodian_id, name, fingerprint, certificate, added: now, expires };
    let slot = slot_of(&record, root, slot_id, sealed)?;
    let mut draft = Draft::default();
    draft.require(Table::ROOT_GENERATIONS, root.record.key(), Expect::At(root.rev));
    put(&mut draft, Expect::Absent, &record);
    put(&mut draft, Expect::Absent, &slot);
    touch(&mut draft, vault);
    Ok((draft, record))
}

/// Puts a renewed certificate in the place of a custodian's, and a slot sealed to it in that of their slot of the
/// current root; id, name and the time of adding stay. `slots` are all slots. That it is a certificate of the
/// same fingerprint, and one that may be sealed to, was checked.
///
/// A new slot, for a slot's session key is kept under its id, and archives made before hold the old one.
///
/// Errors: it is the very certificate they have, with a slot; a name was given that is not theirs; the slot is too
/// large; the root is no longer current.
pub fn renew_custodian(
    root: &Stored<RootGeneration>,
    which: &Stored<Custodian>,
    slots: &[Stored<Slot>],
    renewal: Renewal,
) -> Decision<Custodian> {
    let Renewal { name, slot_id, certificate, expires, sealed } = renewal;
    let (id, generation) = (which.record.custodian_id, root.record.generation);
    let is_own = |slot: &Slot| slot.custodian == Some(id) && slot.generation == generation;
    let own: Vec<_> = slots.iter().filter(|slot| is_own(&slot.record)).collect();
    let theirs = &which.record.name;
    if which.record.certificate == certificate && !own.is_empty() {
        return Err(RuleError::Unchanged {
            what: format!("this is the certificate that custodian {theirs} has already"),
            next: "if they renewed it, export it again: gpg --armor --export NAME".to_owned(),
        });
    }
    if let Some(other) = name.filter(|name| name != theirs) {
        return Err(RuleError::refused(
            format!("this certificate is that of custodian {theirs}, who cannot become {other}"),
            "give no name, and it takes the place of the one they have",
        ));
    }
    let record = Custodian { certificate, expires, ..which.record.clone() };
    let slot = slot_of(&record, root, slot_id, sealed)?;
    let mut draft = Draft::default();
    draft.require(Table::ROOT_GENERATIONS, root.record.key(), Expect::At(root.rev));
    put(&mut draft, Expect::At(which.rev), &record);
    for old in own {
        draft.delete(Table::SLOTS, old.record.key(), old.rev);
    }
    put(&mut draft, Expect::Absent, &slot);
    Ok((draft, record))
}

/// A slot of the current root for a custodian.
fn slot_of(
    custodian: &Custodian,
    root: &Stored<RootGeneration>,
    slot_id: SlotId,
    sealed: Vec<u8>,
) -> Result<Slot, RuleError> {
    if sealed.len() > SLOT_BYTES_MAX {
        return Err(RuleError::BadInput(format!(
            "the certificate of {} has too many encryption keys: a slot sealed to it has {} bytes, and may have \
             {SLOT_BYTES_MAX}",
            custodian.name,
            sealed.len()
        )));
    }
    if !root.record.current {
        return Err(RuleError::refused("the root was rotated meanwhile", "try again"));
    }
    Ok(Slot {
        generation: root.record.generation,
        slot_id,
        kind: SlotKind::OpenPgp,
        custodian: Some(custodian.custodian_id),
        recipient: custodian.fingerprint.clone(),
        sealed,
    })
}

/// Removes a custodian and their slots. Archives made before still open with their key. `all` are the
/// custodians that exist, `slots` all slots.
///
/// Errors: it is the last one. A vault without any keeps keys that one disk can lose; only a first start
/// may ask for that. Who must go is replaced first.
pub fn remove_custodian(
    which: &Stored<Custodian>,
    all: &[Stored<Custodian>],
    slots: &[Stored<Slot>],
) -> Decision<Custodian> {
    let id = which.record.custodian_id;
    let other = all.iter().find(|found| found.record.custodian_id != id).ok_or_else(|| {
        RuleError::refused(
            format!(
                "{} is the last custodian: without one no archive could be made",
                which.record.name
            ),
            "add another one first: holdfast custodian add CERTIFICATE_FILE",
        )
    })?;
    let mut draft = Draft::default();
    // So two removals at once do not leave none.
    draft.require(Table::CUSTODIANS, other.record.key(), Expect::At(other.rev));
    draft.delete(Table::CUSTODIANS, which.record.key(), which.rev);
    for slot in slots.iter().filter(|slot| slot.record.custodian == Some(id)) {
        draft.delete(Table::SLOTS, slot.record.key(), slot.rev);
    }
    Ok((draft, which.record.clone()))
}
