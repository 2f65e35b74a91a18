//! A custodian's secret key, read from a file.

use std::fmt;

use pgp::composed::{PublicOrSecret, SignedSecretKey, SignedSecretSubKey};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::packet::{KeyFlags, Signature};
use pgp::types::{
    DecryptionKey, EskType, KeyDetails, Password, PkeskBytes, S2kParams, SecretParams, StringToKey,
};
use zeroize::Zeroizing;

use crate::head::Head;
use crate::open::OpenError;
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
    /// The passphrase does not unlock it.
    #[error("the passphrase does not unlock the identity")]
    WrongPassphrase,
    /// The secret part of each of its encryption keys is elsewhere.
    #[error(
        "the file does not hold the secret part of the encryption key: it is on a card (use --identity gpg), or was \
         left out of the export"
    )]
    SecretMissing,
}

/// A secret key that opens what is sealed to its encryption keys, expired or not.
pub struct Identity {
    key: Box<SignedSecretKey>,
    password: Password,
}

impl Identity {
    /// Whether a part that decrypts is locked with a passphrase.
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

    /// Whether the password opens at least one of the keys that decrypt, if there are any.
    fn unlocks(&self) -> bool {
        let subkeys = self.key.secret_subkeys.iter().filter(|subkey| is_for_encryption(subkey));
        let mut subkeys =
            subkeys.map(|key| key.key.unlock(&self.password, |_, _| Ok(()))).peekable();
        let primary = &self.key.primary_key;
        if subkeys.peek().is_none() && decrypts(primary) {
            return matches!(primary.unlock(&self.password, |_, _| Ok(())), Ok(Ok(())));
        }
        subkeys.peek().is_none() || subkeys.any(|unlocked| matches!(unlocked, Ok(Ok(()))))
    }

    /// Tries every packet that names one of our keys, or nobody.
    pub(crate) fn session_key(&self, head: &Head) -> Result<SessionKey, OpenError> {
        let mut failure = None;
        for packet in &head.keys {
            let Ok(values) = packet.values() else { continue };
            let anonymous = packet.id().is_ok_and(|id| id.is_wildcard());
            let mut attempt = |secret: &dyn DecryptionKey, params: &SecretParams| {
                if !(anonymous || packet.id().is_ok_and(|id| *id == secret.legacy_key_id())) {
                    return None;
                }
                match self.decrypt(secret, params, values) {
                    Ok(found) => return Some(found),
                    Err(_) if anonymous => {}
                    // A key that could not be tried may be the good one: that counts for more.
                    Err(error) if failure.as_ref().is_none_or(says_little) => {
                        failure = Some(error);
                    }
                    Err(_) => {}
                }
                None
            };
            for subkey in &self.key.secret_subkeys {
                if let Some(found) = attempt(&subkey.key, subkey.key.secret_params()) {
                    return Ok(found);
                }
            }
            let primary = &self.key.primary_key;
            if let Some(found) = attempt(primary, primary.secret_params()) {
                return Ok(found);
            }
        }
        Err(failure
            .unwrap_or_else(|| OpenError::NotForThisIdentity { recipients: head.recipients() }))
    }

    /// The session key in a packet that names `secret`.
    fn decrypt(
        &self,
        secret: &dyn DecryptionKey,
        params: &SecretParams,
        values: &PkeskBytes,
    ) -> Result<SessionKey, OpenError> {
        if left_out(params) {
            let key = secret.legacy_key_id().to_string().to_ascii_uppercase();
            return Err(OpenError::SecretMissing { key });
        }
        // The outer error is of the key's lock, the inner one of what it decrypts.
        match secret.decrypt(&self.password, values, EskType::V3_4) {
            Err(_) => Err(OpenError::WrongPassphrase),
            Ok(Err(_)) => {
                Err(OpenError::Damaged { why: "its session key does not decrypt".to_owned() })
            }
            Ok(Ok(plain)) => SessionKey::from_plain(&plain),
        }
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
    let key = match (keys.pop(), keys.len()) {
        (None, _) => return Err(IdentityError::NotOpenPgp),
        (Some(PublicOrSecret::Public(_)), 0) => return Err(IdentityError::CertificateGiven),
        (Some(PublicOrSecret::Secret(key)), 0) => key,
        (Some(_), _) => return Err(IdentityError::Several),
    };
    if elsewhere(&key) { Err(IdentityError::SecretMissing) } else { Ok(key) }
}

/// Whether the secret part of each subkey that decrypts was left out; without such, the primary's.
fn elsewhere(key: &SignedSecretKey) -> bool {
    if subkeys(key).next().is_some() {
        return subkeys(key).all(left_out);
    }
    decrypts(&key.primary_key) && left_out(key.primary_key.secret_params())
}

/// The secret parts of the subkeys that decrypt.
fn subkeys(key: &SignedSecretKey) -> impl Iterator<Item = &SecretParams> {
    let subkeys = key.secret_subkeys.iter().filter(|subkey| is_for_encryption(subkey));
    subkeys.map(|subkey| subkey.key.secret_params())
}

/// Whether a subkey decrypts, and no binding gives it to another use alone: RSA does both.
fn is_for_encryption(subkey: &SignedSecretSubKey) -> bool {
    let mut flags = subkey.signatures.iter().map(Signature::key_flags);
    decrypts(&subkey.key)
        && flags.all(|flags| {
            flags.encrypt_comms() || flags.encrypt_storage() || flags == KeyFlags::default()
        })
}

fn locked(key: &SignedSecretKey) -> bool {
    let primary = Some(&key.primary_key).filter(|key| decrypts(*key));
    let mut parts = subkeys(key).chain(primary.map(|key| key.secret_params()));
    parts.any(|params| params.is_encrypted() && !left_out(params))
}

/// Whether a key of this algorithm decrypts.
fn decrypts(key: &impl KeyDetails) -> bool {
    use PublicKeyAlgorithm::{ECDH, Elgamal, ElgamalEncrypt, RSA, RSAEncrypt, X448, X25519};
    let algorithm = key.algorithm();
    matches!(algorithm, RSA | RSAEncrypt | ECDH | X25519 | X448 | Elgamal | ElgamalEncrypt)
}

/// Whether another reason counts for more: these are the stream's, and one of its packets may be of no use.
fn says_little(reason: &OpenError) -> bool {
    matches!(reason, OpenError::Damaged { .. } | OpenError::Unsupported { .. })
}

/// Whether gpg wrote a stub in the place of the secret part: the part is on a card, or was left out. That
/// is an S2K of type 101 (GnuPG, doc/DETAILS: "GNU extensions to the S2K algorithm").
fn left_out(params: &SecretParams) -> bool {
    let SecretParams::Encrypted(params) = params else { return false };
    match params.string_to_key_params() {
        S2kParams::Cfb { s2k, .. } | S2kParams::MalleableCfb { s2k, .. } => {
            matches!(s2k, StringToKey::Private { typ: 101, .. })
        }
        _ => false,
    }
}
