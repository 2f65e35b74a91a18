//! Session keys: what opens one sealed stream and no other.

use std::fmt;

use holdfast_crypto::SecretBytes;
use pgp::composed::PlainSessionKey;
use pgp::crypto::sym::SymmetricKeyAlgorithm;

use crate::open::OpenError;

/// Of a key for another cipher.
pub(crate) const CIPHER_NOT_AES: &str = "its cipher is not AES";

/// The key of one sealed stream. Ours are AES-256; what gpg sealed may be AES-128 or -192.
#[derive(Clone)]
pub struct SessionKey {
    algorithm: SymmetricKeyAlgorithm,
    key: SecretBytes,
}

impl SessionKey {
    /// One octet of algorithm (RFC 9580 §9.3), then the key: 33 bytes for AES-256.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let mut out = Vec::with_capacity(1 + self.key.len());
        out.push(u8::from(self.algorithm));
        out.extend_from_slice(self.key.expose_secret());
        SecretBytes::from(out)
    }

    /// Reads [`SessionKey::to_bytes`]; `None` if the algorithm is not AES or the length not its own.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&algorithm, key) = bytes.split_first()?;
        Self::new(SymmetricKeyAlgorithm::from(algorithm), key).ok()
    }

    /// Unless the algorithm is not AES, or the length not its own.
    fn new(algorithm: SymmetricKeyAlgorithm, key: &[u8]) -> Result<Self, OpenError> {
        if !is_aes(algorithm) {
            return Err(OpenError::Unsupported { why: CIPHER_NOT_AES });
        }
        if key.len() != algorithm.key_size() {
            return Err(another_length());
        }
        Ok(Self { algorithm, key: SecretBytes::from(key.to_vec()) })
    }

    /// Reads what `gpg --show-session-key` prints: decimal algorithm, `:`, hex.
    pub(crate) fn from_gpg(text: &str) -> Option<Self> {
        let (algorithm, hex) = text.trim().split_once(':')?;
        let mut bytes = Vec::with_capacity(33);
        bytes.push(algorithm.parse().ok()?);
        let digits = hex.as_bytes();
        if digits.len() % 2 != 0 || digits.len() > 64 {
            return None;
        }
        for pair in digits.chunks(2) {
            let (high, low) =
                (char::from(pair[0]).to_digit(16)?, char::from(pair[1]).to_digit(16)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        }
        let bytes = SecretBytes::from(bytes);
        Self::from_bytes(bytes.expose_secret())
    }

    pub(crate) fn aes256(key: &[u8; 32]) -> Self {
        Self { algorithm: SymmetricKeyAlgorithm::AES256, key: SecretBytes::from(key.to_vec()) }
    }

    /// What a key decrypted.
    pub(crate) fn from_plain(plain: &PlainSessionKey) -> Result<Self, OpenError> {
        match plain {
            PlainSessionKey::V3_4 { sym_alg, key } => Self::new(*sym_alg, key.as_ref()),
            _ => Err(another_length()),
        }
    }

    /// 16, 24 or 32 bytes.
    pub(crate) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(<redacted>)")
    }
}

fn another_length() -> OpenError {
    OpenError::Damaged { why: "its session key has another length".to_owned() }
}

fn is_aes(algorithm: SymmetricKeyAlgorithm) -> bool {
    use SymmetricKeyAlgorithm::{AES128, AES192, AES256};
    matches!(algorithm, AES128 | AES192 | AES256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_gpg_text_agree() {
        let key = SessionKey::from_gpg(&format!("9:{}\n", "0aF1".repeat(16))).expect("AES-256");
        let bytes = key.to_bytes();
        assert_eq!(bytes.len(), 33);
        assert_eq!(&bytes.expose_secret()[..3], &[9, 0x0a, 0xf1]);
        let again = SessionKey::from_bytes(bytes.expose_secret()).expect("its own encoding");
        assert_eq!(again.to_bytes(), bytes);
    }

    #[test]
    fn other_ciphers_and_lengths_are_refused() {
        assert!(SessionKey::from_bytes(&[9; 32]).is_none(), "31 bytes");
        assert!(SessionKey::from_bytes(&[3; 17]).is_none(), "CAST5");
        assert!(SessionKey::from_bytes(&[0]).is_none(), "plaintext");
        assert!(SessionKey::from_bytes(&[]).is_none());
        assert!(SessionKey::from_gpg("9:0g").is_none());
        assert!(SessionKey::from_gpg("9").is_none());
    }
}
