//! API keys: `k1:` + base64url(Ed25519 seed, RFC 8032). The client certificate is made from it, and
//! the identity is `h1:` + base64url(SHA-256 of the certificate's SPKI, RFC 5280 §4.1.2.7).

use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use data_encoding::BASE64URL_NOPAD;
use holdfast_types::IdentityId;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;
use zeroize::Zeroizing;

/// PKCS #8 v1 around an Ed25519 seed (RFC 8410 §7): everything before the 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// SPKI of an Ed25519 key (RFC 8410 §4): everything before the 32 bytes.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// An API key. No `Debug`, wiped on drop.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<[u8; 32]>);

/// Why a text is not an API key, or a key cannot be used. Never quotes the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// Not `k1:` and 43 digits.
    #[error("not an API key: expected \"k1:\" and 43 base64url digits")]
    Format,
    /// The system gave no random bytes, or the library refused the key.
    #[error("the API key cannot be used: {0}")]
    Library(&'static str),
}

impl ApiKey {
    /// A new one.
    pub fn generate() -> Result<Self, ApiKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let drawn = SystemRandom::new().fill(&mut seed[..]);
        drawn.map_err(|_| ApiKeyError::Library("no random bytes"))?;
        Ok(Self(seed))
    }

    /// From its seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The text to keep in a context file.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("k1:{}", BASE64URL_NOPAD.encode(&self.0[..])))
    }

    /// Who calls with it.
    pub fn identity(&self) -> Result<IdentityId, ApiKeyError> {
        use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.0[..])
            .map_err(|_| ApiKeyError::Library("not an Ed25519 seed"))?;
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(pair.public_key().as_ref());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &spki).as_ref());
        Ok(IdentityId(hash))
    }

    /// A self-signed client certificate and its private key, made anew for each connection's
    /// configuration. Its only meaning is its public key.
    pub fn certificate(
        &self,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), ApiKeyError> {
        let mut pkcs8 = Zeroizing::new(PKCS8_PREFIX.to_vec());
        pkcs8.extend_from_slice(&self.0[..]);
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
        let refused = |_| ApiKeyError::Library("the certificate cannot be made");
        let pair = rcgen::KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ED25519);
        let pair = pair.map_err(refused)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "holdfast client");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(&pair).map_err(refused)?;
        Ok((certificate.der().clone(), der))
    }
}

/// Why nobody can call with what was given as a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no X.509 certificate")]
pub struct NoCertificate;

/// Who calls with a certificate, PEM or DER: the vault asks for its public key (SPKI) and nothing else of it.
pub fn identity_of(certificate: &[u8]) -> Result<IdentityId, NoCertificate> {
    let der = CertificateDer::from_pem_slice(certificate)
        .unwrap_or_else(|_| CertificateDer::from(certificate));
    let parsed = ParsedCertificate::try_from(&der).map_err(|_| NoCertificate)?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &parsed.subject_public_key_info()).as_ref());
    Ok(IdentityId(hash))
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let digits = text.strip_prefix("k1:").ok_or(ApiKeyError::Format)?;
        let bytes = BASE64URL_NOPAD.decode(digits.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| ApiKeyError::Format)?);
        let mut seed = Zeroizing::new([0; 32]);
        if bytes.len() != seed.len() {
            return Err(ApiKeyError::Format);
        }
        seed.copy_from_slice(&bytes);
        Ok(Self(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn the_published_vector() {
        let mut seed = [0; 32];
        for (n, byte) in (0..).zip(&mut seed) {
            *byte = n;
        }
        let key = ApiKey::from_seed(seed);
        assert_eq!(*key.expose_text(), TEXT);
        let identity = "h1:oFCDfYUHBYLM9zlLCYiEfMMSy4glm4lImfbyOc8XkaU";
        assert_eq!(key.identity().unwrap().to_string(), identity);
        assert_eq!(*TEXT.parse::<ApiKey>().ok().unwrap().expose_text(), TEXT);
    }

    #[test]
    fn the_certificate_carries_the_key() {
        let key: ApiKey = TEXT.parse().ok().unwrap();
        let (certificate, _) = key.certificate().unwrap();
        let at = certificate.windows(12).position(|window| window == SPKI_PREFIX).unwrap();
        let hash = digest(&SHA256, &certificate[at..at + 44]);
        assert_eq!(hash.as_ref(), key.identity().unwrap().as_bytes());
        assert_eq!(identity_of(&certificate), Ok(key.identity().unwrap()));
        let text = data_encoding::BASE64.encode(&certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        assert_eq!(identity_of(pem.as_bytes()), Ok(key.identity().unwrap()));
        for none in ["", "x", &pem.replace("CERTIFICATE", "PRIVATE KEY")] {
            assert_eq!(identity_of(none.as_bytes()), Err(NoCertificate), "{none}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in
            ["", "k1:", &TEXT[3..], &TEXT[..45], "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"]
        {
            assert!(bad.parse::<ApiKey>().is_err(), "{bad:?}");
        }
    }
}
