//! Sealing: one literal packet in SEIPDv1 (AES-256, MDC), one PKESK v3 per encryption key, no
//! compression. gpg ≥ 2.1 opens it; SEIPDv2 it would refuse.

use std::io::{self, Read, Write};

use bytes::Bytes;
use pgp::composed::{EncryptionSeipdV1, MessageBuilder, PlainSessionKey};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::frame;
use crate::policy::EncryptionKey;
use crate::rng::Rng;
use crate::session::SessionKey;
use crate::watch::Watch;

/// Size of a partial packet: what is held of a stream, and encrypted, at a time, in bytes.
const CHUNK_BYTES: u32 = 64 * 1024;

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
        /// The recipient's fingerprint, or "the stream".
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
pub fn seal_reader<R: Read>(
    source: R,
    recipients: &[Certificate],
    file_name: &str,
    out: &mut dyn Write,
) -> Result<SessionKey, SealError> {
    let (source, source_error) = Watch::new(source);
    let (out, out_error) = Watch::new(out);
    let mut builder = MessageBuilder::from_reader(file_name.to_owned(), source)
        .seipd_v1(Rng, SymmetricKeyAlgorithm::AES256);
    let stream = |error: pgp::errors::Error| library("the stream", &error);
    builder.partial_chunk_size(CHUNK_BYTES).map_err(stream)?;
    let session_key = address(&mut builder, recipients)?;
    builder.to_writer(Rng, out).map_err(|error| {
        // What the two ends reported counts for more than what the library made of it.
        match (source_error.take(), out_error.take()) {
            (Some(error), _) => SealError::Source(error),
            (None, Some(error)) => SealError::Destination(error),
            (None, None) => stream(error),
        }
    })?;
    Ok(session_key)
}

/// Seals a few bytes: a slot. The library reads them from a buffer that is wiped, and encrypts them where it puts
/// them: a reader's it would copy into buffers that it does not wipe.
///
/// # Errors
/// See [`SealError`].
pub fn seal_bytes(
    plaintext: &[u8],
    recipients: &[Certificate],
    file_name: &str,
) -> Result<(Vec<u8>, SessionKey), SealError> {
    let plaintext = Bytes::from_owner(Zeroizing::new(plaintext.to_vec()));
    let mut builder = MessageBuilder::from_bytes(file_name.to_owned(), plaintext)
        .seipd_v1(Rng, SymmetricKeyAlgorithm::AES256);
    let session_key = address(&mut builder, recipients)?;
    let mut out = Vec::new();
    builder.to_writer(Rng, &mut out).map_err(|error| library("the stream", &error))?;
    Ok((out, session_key))
}

/// Seals the session key to every encryption key of `recipients`, and answers with it.
fn address<R: Read>(
    builder: &mut MessageBuilder<'_, R, EncryptionSeipdV1>,
    recipients: &[Certificate],
) -> Result<SessionKey, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipient);
    }
    let keys = recipients.iter().flat_map(Certificate::encryption_keys);
    if keys.map(|key| key.sealed_bytes()).sum::<u64>() > frame::HEAD_BYTES {
        return Err(SealError::TooManyKeys);
    }
    for recipient in recipients {
        for key in recipient.encryption_keys() {
            let added = match key {
                EncryptionKey::Primary(key) => builder.encrypt_to_key(Rng, key),
                EncryptionKey::Subkey(key) => builder.encrypt_to_key(Rng, key),
            };
            added.map_err(|error| library(&recipient.fingerprint(), &error))?;
        }
    }
    SessionKey::from_plain(&PlainSessionKey::V3_4 {
        sym_alg: SymmetricKeyAlgorithm::AES256,
        key: builder.session_key().clone(),
    })
    .ok_or_else(|| SealError::Library {
        recipient: "the stream".to_owned(),
        why: "the session key is not AES-256".to_owned(),
    })
}

fn library(recipient: &str, error: &pgp::errors::Error) -> SealError {
    SealError::Library { recipient: recipient.to_owned(), why: error.to_string() }
}
