//! A custodian's secret key, read from a file.

use std::fmt;

use pgp::composed::{Esk, PublicOrSecret, SignedSecretKey};
use pgp::types::{DecryptionKey, EskType, KeyDetails, Password};
use zeroize::Zeroizing;

use crate::open::{OpenError, recipients};
use crate::packets;
use crate::session::SessionKey;

/// Why an identity was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The bytes are not OpenPGP keys.
    #[error("the identity is not an OpenPGP secret key")]
    NotOpenPgp,
    /// A certificate was given: the public half.
    #[error("this is a certificate; the secret key is needed")]
    CertificateGiven,
    /// More than one key.
    #[error("the identity file holds several keys")]
    Several,
    /// It does not parse.
    #[error("the identity is damaged: {0}")]
    Damaged(String),
    /// It is locked and no passphrase came with it.
    #[error("the identity is locked: a passphrase is needed")]
    NeedsPassphrase,
    /// The passphrase does not unlock it, or its secret part is on a card.
    #[error("the passphrase does not unlock the identity (or its secret part is on a card)")]
    WrongPassphrase,
}

/// A secret key that opens what is sealed to its encryption keys, expired or not.
pub struct Identity {
    key: Box<SignedSecretKey>,
    password: Password,
}

impl Identity {
    /// Whether the secret key in `bytes` is locked with a passphrase.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn needs_passphrase(bytes: &[u8]) -> Result<bool, IdentityError> {
        Ok(locked(&parse(bytes)?))
    }

    /// Reads one secret key, armored or binary. A passphrase for a key without one is ignored.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn read(
        bytes: &[u8],
        passphrase: Option<&Zeroizing<String>>,
    ) -> Result<Self, IdentityError> {
        let key = parse(bytes)?;
        let password = match passphrase {
            _ if !locked(&key) => Password::empty(),
            None => return Err(IdentityError::NeedsPassphrase),
            Some(passphrase) => Password::from(passphrase.as_str()),
        };
        let identity = Self { key: Box::new(key), password };
        if identity.unlocks() { Ok(identity) } else { Err(IdentityError::WrongPassphrase) }
    }

    /// The primary key's fingerprint, 40 upper-case hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        packets::fingerprint(&self.key.primary_key)
    }

    /// Whether the password opens at least one of the keys that could decrypt.
    fn unlocks(&self) -> bool {
        let primary = self.key.primary_key.unlock(&self.password, |_, _| Ok(()));
        let mut subkeys =
            self.key.secret_subkeys.iter().map(|key| key.key.unlock(&self.password, |_, _| Ok(())));
        if self.key.secret_subkeys.is_empty() {
            return matches!(primary, Ok(Ok(())));
        }
        subkeys.any(|unlocked| matches!(unlocked, Ok(Ok(()))))
    }

    /// Tries every packet that names one of our keys, or nobody.
    pub(crate) fn session_key(&self, esk: &[Esk]) -> Result<SessionKey, OpenError> {
        let mut ours = false;
        for esk in esk {
            let Esk::PublicKeyEncryptedSessionKey(packet) = esk else { continue };
            let Ok(values) = packet.values() else { continue };
            let anonymous = packet.id().is_ok_and(|id| id.is_wildcard());
            let mut attempt = |public: &dyn KeyDetails, secret: &dyn DecryptionKey| {
                if !(anonymous || packet.id().is_ok_and(|id| *id == public.legacy_key_id())) {
                    return None;
                }
                ours |= !anonymous;
                let plain = secret.decrypt(&self.password, values, EskType::V3_4).ok()?.ok()?;
                SessionKey::from_plain(&plain)
            };
            for subkey in &self.key.secret_subkeys {
                if let Some(found) = attempt(subkey.key.public_key(), &subkey.key) {
                    return Ok(found);
                }
            }
            let primary = &self.key.primary_key;
            if let Some(found) = attempt(primary.public_key(), primary) {
                return Ok(found);
            }
        }
        if ours {
            return Err(OpenError::Damaged { why: "its session key does not decrypt".to_owned() });
        }
        Err(OpenError::NotForThisIdentity { recipients: recipients(esk) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint())
    }
}

fn parse(bytes: &[u8]) -> Result<SignedSecretKey, IdentityError> {
    let binary = packets::dearmor(bytes).ok_or(IdentityError::NotOpenPgp)?;
    let mut keys = packets::keys(&binary).map_err(IdentityError::Damaged)?;
    match (keys.pop(), keys.len()) {
        (None, _) => Err(IdentityError::NotOpenPgp),
        (Some(PublicOrSecret::Public(_)), 0) => Err(IdentityError::CertificateGiven),
        (Some(PublicOrSecret::Secret(key)), 0) => Ok(key),
        (Some(_), _) => Err(IdentityError::Several),
    }
}

fn locked(key: &SignedSecretKey) -> bool {
    key.primary_key.secret_params().is_encrypted()
        || key.secret_subkeys.iter().any(|subkey| subkey.key.secret_params().is_encrypted())
}
