//! The vault's signing key, from its wrapped parts: one primary for ever, one subkey for each epoch.
//!
//! The primary's fingerprint is what is printed on the sheet. A restore binds a new subkey to it, so two
//! restores of one archive sign with different keys, and what an older subkey signed still verifies.

use holdfast_crypto::{Secret, random_array};
use holdfast_keyring::{Keyring, SecretRef};
use holdfast_machine::View;
use holdfast_records::{ClusterSecret, SecretKind};
use holdfast_seal::{SigningKey, SigningPart};
use holdfast_types::{Millis, SecretId, VaultId};

use crate::ArchiveError;
use crate::walk::all;

/// The user id of a vault's signing certificate. Constant: the certificate is made from it.
#[must_use]
pub fn signer_user_id(vault: VaultId) -> String {
    format!("holdfast vault {vault}")
}

/// The key that signs archives: its newest subkey does.
///
/// Errors: the state holds no such key; it does not unwrap.
pub fn signer(view: &(impl View + ?Sized), keyring: &Keyring) -> Result<SigningKey, ArchiveError> {
    let Parts { primary, subkeys, .. } = parts(view, keyring)?;
    Ok(SigningKey::from_parts(&signer_user_id(keyring.vault_id()), &primary, &subkeys)?)
}

/// A new subkey, made `now`, bound to the same primary: its record, for a new epoch's first transaction,
/// and the key that signs from then on.
///
/// Errors: as [`signer`].
pub fn next_signer(
    view: &(impl View + ?Sized),
    keyring: &Keyring,
    now: Millis,
) -> Result<(ClusterSecret, SigningKey), ArchiveError> {
    let Parts { primary, mut subkeys, newest } = parts(view, keyring)?;
    let part = SigningPart::generate(now);
    subkeys.push(part.clone());
    let signer = SigningKey::from_parts(&signer_user_id(keyring.vault_id()), &primary, &subkeys)?;
    let (secret_id, n, kind) = (SecretId(random_array()), newest + 1, SecretKind::Signing);
    let what = SecretRef::ClusterSecret { id: secret_id, n, kind };
    let wrapped = keyring.wrap_secret(what, part.seed.expose_secret())?;
    let generation = keyring.current().ok_or(holdfast_keyring::KeyringError::Sealed)?;
    let public = signer.certificate_bytes();
    let created = part.created;
    Ok((ClusterSecret { secret_id, n, kind, created, public, generation, wrapped }, signer))
}

struct Parts {
    primary: SigningPart,
    /// In the order in which they were made.
    subkeys: Vec<SigningPart>,
    /// The number of the last one.
    newest: u32,
}

fn parts(view: &(impl View + ?Sized), keyring: &Keyring) -> Result<Parts, ArchiveError> {
    let (mut primary, mut subkeys) = (None, Vec::new());
    for secret in all::<ClusterSecret>(view)? {
        let ClusterSecret { secret_id, n, kind, created, wrapped, .. } = secret;
        if !matches!(kind, SecretKind::SigningPrimary | SecretKind::Signing) {
            continue;
        }
        let seed =
            keyring.unwrap_secret(SecretRef::ClusterSecret { id: secret_id, n, kind }, &wrapped)?;
        let seed = Secret::from_slice(seed.expose_secret())
            .ok_or_else(|| ArchiveError::damaged("a signing seed is not 32 bytes"))?;
        let part = SigningPart { seed, created };
        match kind {
            SecretKind::SigningPrimary => primary = Some(part),
            _ => subkeys.push((n, part)),
        }
    }
    let primary = primary.ok_or_else(|| ArchiveError::damaged("the vault has no signing key"))?;
    subkeys.sort_by_key(|(n, _)| *n);
    let newest = subkeys.last().map_or(0, |(n, _)| *n);
    let subkeys = subkeys.into_iter().map(|(_, part)| part).collect();
    Ok(Parts { primary, subkeys, newest })
}
