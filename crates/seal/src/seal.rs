//! Sealing: one literal packet in SEIPDv1 (AES-256, MDC), one PKESK v3 per encryption key, no
//! compression. gpg ≥ 2.1 opens it; SEIPDv2 it would refuse.

use std::io::{self, Read, Write};

use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{PacketTrait as _, PublicKeyEncryptedSessionKey};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::head::HEAD_BYTES;
use crate::policy::EncryptionKey;
use crate::rng::Rng;
use crate::session::SessionKey;
use crate::stream::{CHUNK_BYTES, Sealing};

/// Why something was not sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The caller named nobody.
    #[error("no recipient was named")]
    NoRecipient,
    /// Their session keys would not fit before the data, and the stream could not be opened.
    #[error(
        "the recipients have too many encryption keys: name fewer of them, or revoke keys that are not in use"
    )]
    TooManyKeys,
    /// The source failed.
    #[error("reading what is to be sealed")]
    Source(#[source] io::Error),
    /// The destination failed.
    #[error("writing what was sealed")]
    Destination(#[source] io::Error),
    /// The library refused, which the policy on certificates should have prevented.
    #[error("sealing to {recipient}: {why}")]
    Library {
        /// The recipient's fingerprint.
        recipient: String,
        /// What rPGP said.
        why: String,
    },
}

/// Pulls `source` to its end and writes it to `out`, sealed to every encryption key of `recipients`.
/// Memory is constant. Answers with the session key. On error `out` holds a cut stream.
///
/// # Errors
/// See [`SealError`].
pub fn seal_reader(
    mut source: impl Read,
    recipients: &[Certificate],
    out: &mut dyn Write,
) -> Result<SessionKey, SealError> {
    seal(&mut source, recipients, out)
}

/// Seals a few bytes: a slot.
///
/// # Errors
/// See [`SealError`].
pub fn seal_bytes(
    mut plaintext: &[u8],
    recipients: &[Certificate],
) -> Result<(Vec<u8>, SessionKey), SealError> {
    let mut out = Vec::new();
    let session_key = seal(&mut plaintext, recipients, &mut out)?;
    Ok((out, session_key))
}

fn seal(
    source: &mut dyn Read,
    recipients: &[Certificate],
    out: &mut dyn Write,
) -> Result<SessionKey, SealError> {
    let key = Zeroizing::new(holdfast_crypto::random_array());
    out.write_all(&address(&key, recipients)?).map_err(SealError::Destination)?;
    let random = holdfast_crypto::random_array();
    let mut sealing = Sealing::new(&key, random, out).map_err(SealError::Destination)?;
    let mut piece = Zeroizing::new(vec![0; CHUNK_BYTES]);
    loop {
        match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => sealing.write(&piece[..read]).map_err(SealError::Destination)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SealError::Source(error)),
        }
    }
    sealing.finish().map_err(SealError::Destination)?;
    Ok(SessionKey::aes256(&key))
}

/// The session key, sealed to every encryption key of `recipients`.
fn address(key: &[u8; 32], recipients: &[Certificate]) -> Result<Vec<u8>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipient);
    }
    let keys = recipients.iter().flat_map(Certificate::encryption_keys);
    if keys.map(|key| key.sealed_bytes()).sum::<u64>() > HEAD_BYTES {
        return Err(SealError::TooManyKeys);
    }
    let mut out = Vec::new();
    for recipient in recipients {
        for to in recipient.encryption_keys() {
            sealed_to(to, key).and_then(|packet| packet.to_writer_with_header(&mut out)).map_err(
                |error| SealError::Library {
                    recipient: recipient.fingerprint(),
                    why: error.to_string(),
                },
            )?;
        }
    }
    Ok(out)
}

fn sealed_to(
    to: EncryptionKey<'_>,
    key: &[u8; 32],
) -> Result<PublicKeyEncryptedSessionKey, pgp::errors::Error> {
    let (key, algorithm) = (key.as_slice().into(), SymmetricKeyAlgorithm::AES256);
    match to {
        EncryptionKey::Primary(to) => {
            PublicKeyEncryptedSessionKey::from_session_key_v3(Rng, &key, algorithm, to)
        }
        EncryptionKey::Subkey(to) => {
            PublicKeyEncryptedSessionKey::from_session_key_v3(Rng, &key, algorithm, to)
        }
    }
}
