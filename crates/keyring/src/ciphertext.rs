//! What callers keep: ciphertext format 1 (`formats/ciphertext.md`).
//!
//! ```text
//! 0x01 ‖ key_id 16 ‖ u32 version ‖ nonce 24 ‖ ciphertext ‖ tag 16
//! AAD = "holdfast/v1/msg" ‖ the first 21 bytes ‖ lp(context)
//! ```
//!
//! The header picks exactly one key version. Its faults are distinct errors, since nothing secret
//! decides them; a failed authentication is one and the same, whatever caused it.

use holdfast_crypto::xaes256gcm::{KEY_BYTES, TAG_BYTES};
use holdfast_crypto::{NONCE_BYTES, Nonce, NotAuthentic, SecretBytes, xaes256gcm};
use holdfast_types::limits::CIPHERTEXT_OVERHEAD;
use holdfast_types::{KeyId, Version};
use zeroize::Zeroizing;

use crate::KeyringError;

/// The first byte of format 1.
const FORMAT: u8 = 1;
/// Format, key id, version: what the AAD repeats.
const HEADER_BYTES: usize = 21;
const LABEL: &[u8] = b"holdfast/v1/msg";

const _: () = assert!(HEADER_BYTES + NONCE_BYTES + TAG_BYTES == CIPHERTEXT_OVERHEAD);

/// Which key version a ciphertext wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The key.
    pub key_id: KeyId,
    /// Its version.
    pub version: Version,
}

/// A fault of a ciphertext's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CiphertextError {
    /// Not a byte of it.
    #[error("the ciphertext is empty")]
    Empty,
    /// Shorter than an empty plaintext's.
    #[error("a ciphertext has at least {CIPHERTEXT_OVERHEAD} bytes")]
    TooShort,
    /// Another format, perhaps a newer one, perhaps no ciphertext of ours.
    #[error("unknown ciphertext format {0}")]
    UnknownFormat(u8),
}

/// Reads the header. It is authentic only once the ciphertext is opened.
///
/// Of one that is not empty the format byte is judged first.
pub fn parse_header(ciphertext: &[u8]) -> Result<Header, CiphertextError> {
    match ciphertext.first() {
        None => return Err(CiphertextError::Empty),
        Some(&FORMAT) => {}
        Some(&other) => return Err(CiphertextError::UnknownFormat(other)),
    }
    if ciphertext.len() < CIPHERTEXT_OVERHEAD {
        return Err(CiphertextError::TooShort);
    }
    let key_id = KeyId(ciphertext[1..17].try_into().expect("sixteen bytes"));
    let version = u32::from_be_bytes(ciphertext[17..21].try_into().expect("four bytes"));
    Ok(Header { key_id, version: Version(version) })
}

/// Seals `plaintext` for `header`, in one allocation for contexts of usual length.
pub(crate) fn seal(
    key: &[u8; KEY_BYTES],
    header: Header,
    nonce: &Nonce,
    context: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, KeyringError> {
    let mut out = Vec::with_capacity(CIPHERTEXT_OVERHEAD + plaintext.len());
    out.push(FORMAT);
    out.extend_from_slice(&header.key_id.0);
    out.extend_from_slice(&header.version.0.to_be_bytes());
    let aad = Aad::new(&out, context)?;
    out.extend_from_slice(nonce);
    xaes256gcm::seal_into(key, nonce, aad.bytes(), plaintext, &mut out);
    Ok(out)
}

/// Opens a ciphertext whose header was parsed.
pub(crate) fn open(
    key: &[u8; KEY_BYTES],
    context: &[u8],
    ciphertext: &[u8],
) -> Result<SecretBytes, KeyringError> {
    if ciphertext.len() < CIPHERTEXT_OVERHEAD {
        return Err(CiphertextError::TooShort.into());
    }
    let (header, rest) = ciphertext.split_at(HEADER_BYTES);
    let (nonce, sealed) = rest.split_at(NONCE_BYTES);
    let nonce = nonce.try_into().expect("the nonce was split off at its length");
    let aad = Aad::new(header, context)?;
    xaes256gcm::open(key, nonce, aad.bytes(), sealed)
        .map_err(|NotAuthentic| KeyringError::NotAuthentic)
}

/// The associated data: on the stack while the context is short, which it nearly always is.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one call, on its stack, to spare the heap"
)]
enum Aad {
    Short([u8; Self::SHORT], usize),
    Long(Zeroizing<Vec<u8>>),
}

impl Aad {
    const SHORT: usize = 256;

    fn new(header: &[u8], context: &[u8]) -> Result<Self, KeyringError> {
        let length = u32::try_from(context.len()).map_err(|_| KeyringError::ContextTooLong)?;
        let parts = [LABEL, header, &length.to_be_bytes(), context];
        let total = parts.iter().map(|part| part.len()).sum();
        if total > Self::SHORT {
            return Ok(Self::Long(Zeroizing::new(parts.concat())));
        }
        let mut bytes = [0; Self::SHORT];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(Self::Short(bytes, total))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, length) => &bytes[..*length],
            Self::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { key_id: KeyId([2; 16]), version: Version(3) };

    #[test]
    fn faults_of_the_header_are_distinct() {
        let good = seal(&[1; 32], HEADER, &[4; 24], b"", b"").expect("no context");
        assert_eq!(good.len(), CIPHERTEXT_OVERHEAD);
        assert_eq!(parse_header(&good), Ok(HEADER));
        assert_eq!(parse_header(&good[..60]), Err(CiphertextError::TooShort));
        assert_eq!(parse_header(b""), Err(CiphertextError::Empty));
        assert_eq!(parse_header(b"\x02"), Err(CiphertextError::UnknownFormat(2)));
        assert_eq!(parse_header(b"\x00"), Err(CiphertextError::UnknownFormat(0)));
    }

    #[test]
    fn context_of_any_length_binds() {
        for length in [0, 1, 215, 216, 217, 5_000] {
            let context = vec![9; length];
            let sealed = seal(&[1; 32], HEADER, &[4; 24], &context, b"hello").expect("short");
            let opened = open(&[1; 32], &context, &sealed).expect("the same context");
            assert_eq!(opened.expose_secret(), b"hello");
            let longer = vec![9; length + 1];
            assert_eq!(open(&[1; 32], &longer, &sealed), Err(KeyringError::NotAuthentic));
        }
    }
}
