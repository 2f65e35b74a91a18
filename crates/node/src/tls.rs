//! TLS: the vault's own CA, a server certificate made at each start, client certificates that only
//! prove a key.
//!
//! The CA's secret is an Ed25519 seed (RFC 8032) under the root, so it survives every restore. A client
//! certificate is self-signed and says nothing but its public key: rustls checks the signature over the
//! handshake (RFC 8446 §4.4.3), the service decides per request who that is.

use std::sync::Arc;

use holdfast_crypto::sha256;
use holdfast_machine::View;
use holdfast_records::{ClusterSecret, SecretKind};
use holdfast_recovery::{ArchiveError, each};
use holdfast_types::{IdentityId, Kind, VaultId};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName as Subject, ServerConfig, SignatureScheme};
use zeroize::Zeroizing;

use crate::NodeError;
use crate::address::Listening;

/// PKCS #8 around an Ed25519 seed (RFC 8410 §7): everything before the 32 bytes.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

fn refused(what: &'static str) -> impl Fn(rcgen::Error) -> NodeError {
    move |error| NodeError::new(Kind::Internal, format!("cannot make {what}: {error}"))
}

fn ca_pair(seed: &[u8]) -> Result<KeyPair, NodeError> {
    let mut pkcs8 = Zeroizing::new(PKCS8_PREFIX.to_vec());
    pkcs8.extend_from_slice(seed);
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(&pkcs8[..]));
    KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ED25519).map_err(refused("the CA's key"))
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A wrong clock must not keep anybody out: trust is the CA's, not the calendar's.
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params
}

fn ca_params(vault: VaultId) -> CertificateParams {
    let mut params = params(&format!("holdfast vault {vault}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The CA's certificate (DER) for a new vault, from a fresh seed.
pub(crate) fn new_ca(vault: VaultId, seed: &[u8]) -> Result<Vec<u8>, NodeError> {
    let certificate = ca_params(vault).self_signed(&ca_pair(seed)?);
    Ok(certificate.map_err(refused("the CA"))?.der().to_vec())
}

/// A certificate in PEM (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> String {
    let base64 = base64_lines(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}-----END CERTIFICATE-----\n")
}

fn base64_lines(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 1);
    for (n, digit) in text.chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            out.push('\n');
        }
        out.push(digit);
    }
    out.push('\n');
    out
}

/// The listener's configuration: a new server key, a certificate of the vault's CA for it.
pub(crate) fn server(
    vault: VaultId,
    ca_seed: &[u8],
    ca: &[u8],
    listen: &Listening,
) -> Result<ServerConfig, NodeError> {
    let (chain, key) = certified(vault, ca_seed, ca, listen)?;
    listener_config(chain, key)
        .map_err(|error| NodeError::new(Kind::Internal, format!("cannot set TLS up: {error}")))
}

/// A server certificate with the CA's behind it, and its key.
fn certified(
    vault: VaultId,
    ca_seed: &[u8],
    ca: &[u8],
    listen: &Listening,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), NodeError> {
    let issuer = Issuer::new(ca_params(vault), ca_pair(ca_seed)?);
    let mut params = params("holdfast server");
    params.subject_alt_names = alt_names(listen);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::generate().map_err(refused("the server's key"))?;
    let certificate =
        params.signed_by(&pair, &issuer).map_err(refused("the server certificate"))?;
    let chain = vec![certificate.der().clone(), CertificateDer::from(ca.to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    Ok((chain, key))
}

/// How a node's listener speaks TLS, whatever its certificate: version 1.3, any client certificate or none,
/// HTTP/2 before HTTP/1.1 (RFC 7301).
///
/// Errors: `key` is not that of the first certificate of `chain`.
pub fn listener_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey::new(&provider)))
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The record of the newest CA.
pub(crate) fn newest_ca(view: &impl View) -> Result<Option<ClusterSecret>, ArchiveError> {
    let mut newest: Option<ClusterSecret> = None;
    each::<ClusterSecret>(view, |found| {
        let secret = found.record;
        let newer = newest.as_ref().is_none_or(|newest| newest.n < secret.n);
        if secret.kind == SecretKind::Ca && newer {
            newest = Some(secret);
        }
        Ok(())
    })?;
    Ok(newest)
}

/// What a client may call this node: by the name and the addresses where it listens, and by the usual ones.
pub(crate) fn names(listen: &Listening) -> Vec<String> {
    let text = |name| match name {
        SanType::DnsName(name) => Some(name.as_str().to_owned()),
        SanType::IpAddress(address) => Some(address.to_string()),
        _ => None,
    };
    alt_names(listen).into_iter().filter_map(text).collect()
}

fn alt_names(listen: &Listening) -> Vec<SanType> {
    let mut dns = vec!["localhost".to_owned()];
    dns.extend(listen.name.clone().filter(|name| name != "localhost"));
    if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        let host = host.trim().to_ascii_lowercase();
        let usable = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !host.is_empty() && !dns.contains(&host) && host.chars().all(usable) {
            dns.push(host);
        }
    }
    let dns = dns.into_iter().filter_map(|name| name.try_into().ok().map(SanType::DnsName));
    dns.chain(listen.addresses().into_iter().map(SanType::IpAddress)).collect()
}

/// Takes any client certificate whose key signed the handshake; a client without one is let in, too,
/// and may only ask for health.
#[derive(Debug)]
struct AnyKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyKey {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ClientCertVerifier for AnyKey {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[Subject] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // The certificate is only a wrapping for a key; the key is proved below.
        ParsedCertificate::try_from(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The identity behind a client certificate: SHA-256 of its SPKI.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<IdentityId> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(IdentityId(sha256(parsed.subject_public_key_info().as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_of_a_client_certificate_is_the_published_vector() {
        let key: holdfast_client::ApiKey =
            "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".parse().ok().unwrap();
        let (certificate, _) = key.certificate().unwrap();
        let identity = identity(&certificate).unwrap();
        assert_eq!(identity.to_string(), "h1:oFCDfYUHBYLM9zlLCYiEfMMSy4glm4lImfbyOc8XkaU");
    }

    #[test]
    fn a_ca_made_again_from_its_seed_signs_for_the_same_certificate() {
        let vault = VaultId([7; 16]);
        let seed = [9; 32];
        let ca = new_ca(vault, &seed).unwrap();
        let here = Listening::parse("127.0.0.1:7373").unwrap();
        let config = server(vault, &seed, &ca, &here).unwrap();
        assert_eq!(config.alpn_protocols.len(), 2);
    }

    #[test]
    fn no_clock_of_these_centuries_keeps_anybody_out() {
        let (vault, seed) = (VaultId([7; 16]), [9; 32]);
        let ca = new_ca(vault, &seed).unwrap();
        let here = Listening::parse("127.0.0.1:7373").unwrap();
        let (chain, _) = certified(vault, &seed, &ca, &here).unwrap();
        assert_eq!(chain.len(), 2);
        for certificate in chain {
            // RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime later.
            for time in [&b"\x17\x0d000101000000Z"[..], b"\x18\x0f99991231000000Z"] {
                assert!(certificate.windows(time.len()).any(|found| found == time));
            }
        }
    }

    #[test]
    fn a_name_to_listen_on_is_in_the_certificate_once() {
        let dns = |name: &str| {
            let address = "192.0.2.7:7373".parse().unwrap();
            let names = alt_names(&Listening { name: Some(name.to_owned()), address });
            assert!(names.contains(&SanType::IpAddress(address.ip())));
            let is = |it: &&SanType| matches!(it, SanType::DnsName(dns) if dns.as_str() == name);
            names.iter().filter(is).count()
        };
        assert_eq!((dns("vault.example"), dns("localhost")), (1, 1));
    }
}
