//! Session keys that are kept: with them the vault opens its own archives, without a custodian.
//!
//! An archive's is kept under the archive's id, a slot's under the slot's: a slot is sealed once and lies
//! in many archives. `formats/keys.md` §5.

use std::ops::ControlFlow;

use holdfast_keyring::{Keyring, SecretRef};
use holdfast_machine::{View, ViewExt as _};
use holdfast_records::{Record as _, SessionKey as Kept};
use holdfast_seal::{Certificate, SessionKey, seal_bytes};
use holdfast_types::{ArchiveId, Generation, SlotId};

use crate::{ArchiveError, Unseal};

/// The session key of an archive's outer seal, to keep.
pub fn keep_archive(
    keyring: &Keyring,
    archive: ArchiveId,
    key: &SessionKey,
) -> Result<Kept, ArchiveError> {
    keep(keyring, Kept::ARCHIVE, archive.0, key)
}

/// The session key of a slot, to keep.
pub fn keep_slot(keyring: &Keyring, slot: SlotId, key: &SessionKey) -> Result<Kept, ArchiveError> {
    keep(keyring, Kept::SLOT, slot.0, key)
}

/// Seals the root of a generation to a custodian: the slot's sealed bytes, and its session key to keep.
///
/// Errors: the root is not open; it cannot be sealed to that certificate.
pub fn seal_slot(
    keyring: &Keyring,
    generation: Generation,
    slot: SlotId,
    certificate: &Certificate,
) -> Result<(Vec<u8>, Kept), ArchiveError> {
    let payload = keyring.slot_payload(generation)?;
    let sealed = seal_bytes(payload.expose_secret(), std::slice::from_ref(certificate));
    let (sealed, key) =
        sealed.map_err(|error| ArchiveError::Recipient(certificate.fingerprint(), error))?;
    Ok((sealed, keep_slot(keyring, slot, &key)?))
}

/// All session keys of slots that are kept.
pub fn kept_slots(
    view: &(impl View + ?Sized),
    keyring: &Keyring,
) -> Result<Vec<(SlotId, SessionKey)>, ArchiveError> {
    let mut found = Vec::new();
    let from = Kept { n: Kept::SLOT, id: [0; 16], wrapped: Vec::new() }.key();
    view.scan(Kept::TABLE, &from, &mut |key, value| {
        if !value.is_tombstone() {
            found.push(Kept::decode(value.schema, key, &value.body));
        }
        ControlFlow::Continue(())
    })?;
    let open = |kept: Kept| Ok((SlotId(kept.id), unwrap(keyring, &kept)?));
    found.into_iter().map(|kept| open(kept?)).collect()
}

/// What opens an archive that this vault sealed, for a byte drill; `None` where its session key, or every
/// slot's, was not kept.
pub fn kept_sessions(
    view: &(impl View + ?Sized),
    keyring: &Keyring,
    archive: ArchiveId,
) -> Result<Option<Unseal>, ArchiveError> {
    let key = Kept { n: Kept::ARCHIVE, id: archive.0, wrapped: Vec::new() }.key();
    let Some(row) = view.live(Kept::TABLE, &key)? else { return Ok(None) };
    let archive = unwrap(keyring, &Kept::decode(row.schema, &key, &row.body)?)?;
    let slots = kept_slots(view, keyring)?;
    Ok((!slots.is_empty()).then_some(Unseal::Sessions { archive, slots }))
}

fn keep(keyring: &Keyring, n: u32, id: [u8; 16], key: &SessionKey) -> Result<Kept, ArchiveError> {
    let secret = key.to_bytes();
    let wrapped = keyring.wrap_secret(SecretRef::SessionKey { n, id }, secret.expose_secret())?;
    Ok(Kept { n, id, wrapped })
}

fn unwrap(keyring: &Keyring, kept: &Kept) -> Result<SessionKey, ArchiveError> {
    let what = SecretRef::SessionKey { n: kept.n, id: kept.id };
    let secret = keyring.unwrap_secret(what, &kept.wrapped)?;
    SessionKey::from_bytes(secret.expose_secret())
        .ok_or_else(|| ArchiveError::damaged(format!("{what} is no AES key")))
}
