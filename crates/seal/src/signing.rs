//! The vault's signing key: a primary that certifies, and one subkey per epoch that signs.
//!
//! Everything follows from the parts (32-byte seed and creation time in seconds) and the user ID:
//! Ed25519 signs deterministically and every self-signature bears the creation time of what it
//! binds, so the certificate is the same bytes wherever it is rebuilt. Version 4 keys, Ed25519 in
//! the legacy encoding (algorithm 22): gpg 2.2 reads no other.

use std::fmt;

use holdfast_crypto::Secret;
use holdfast_types::Millis;
use pgp::composed::{SignedKeyDetails, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::ed25519::{self, Mode};
use pgp::crypto::eddsa_legacy;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors::Error;
use pgp::packet::{
    Features, KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize;
use pgp::types::{
    EddsaLegacyPublicParams, KeyDetails, KeyVersion, Password, PlainSecretParams, PublicParams,
    SecretParams, SignedUser, Tag, Timestamp,
};

use crate::packets;

/// What a key is rebuilt from. The creation time is part of the fingerprint.
#[derive(Clone)]
pub struct SigningPart {
    /// The Ed25519 seed.
    pub seed: Secret<32>,
    /// When it was created; whole seconds count.
    pub created: Millis,
}

impl SigningPart {
    /// A new part, created `now`.
    #[must_use]
    pub fn generate(now: Millis) -> Self {
        Self { seed: Secret::generate(), created: now }
    }
}

/// The library refused to build or use the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be built: {0}")]
pub struct SigningError(String);

impl From<Error> for SigningError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// The vault's signing key, with all its secrets.
pub struct SigningKey {
    certificate: SignedPublicKey,
    newest: SecretSubkey,
}

impl SigningKey {
    /// Rebuilds the key. `subkeys` in the order in which they were made; the last one signs.
    ///
    /// # Errors
    /// There is no subkey, or the library refuses.
    pub fn from_parts(
        user_id: &str,
        primary: &SigningPart,
        subkeys: &[SigningPart],
    ) -> Result<Self, SigningError> {
        let secret = primary_key(primary)?;
        let mut bound = Vec::with_capacity(subkeys.len());
        let mut newest = None;
        for part in subkeys {
            let subkey = signing_subkey(part)?;
            bound.push(bind_signing_subkey(&secret, &subkey)?);
            newest = Some(subkey);
        }
        let newest = newest.ok_or_else(|| SigningError("it has no subkey".to_owned()))?;
        let details = certify_user_id(&secret, user_id)?;
        let certificate = SignedPublicKey::new(secret.public_key().clone(), details, bound);
        Ok(Self { certificate, newest })
    }

    /// The primary key's fingerprint, 40 upper-case hex digits: what is printed on the sheet.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        packets::fingerprint(&self.certificate.primary_key)
    }

    /// The certificate in binary: `cluster.pgp`.
    #[must_use]
    pub fn certificate_bytes(&self) -> Vec<u8> {
        self.certificate.to_bytes().expect("writing to memory does not fail")
    }

    /// A detached signature over `data`, binary, version 4, SHA-512, hashed subpackets only. It is dated
    /// `now`, but never before its subkey or the subkey's binding, which nobody would accept: of a key that
    /// was made under a clock that was ahead, signatures are refused until that time, by their date.
    ///
    /// # Errors
    /// The library refuses.
    pub fn sign_detached(&self, data: &[u8], now: Millis) -> Result<Vec<u8>, SigningError> {
        let bound = self.newest.created_at().max(self.certificate.primary_key.created_at());
        let created = packets::timestamp(now).max(bound);
        let mut config = config(&self.newest, SignatureType::Binary, created)?;
        config
            .hashed_subpackets
            .push(Subpacket::regular(SubpacketData::IssuerKeyId(self.newest.legacy_key_id()))?);
        let signature = config.sign(&self.newest, &Password::empty(), data)?;
        encode_signature(&signature)
            .ok_or_else(|| SigningError("the signature has no encoding".to_owned()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

/// The one encoding of a signature that we write and accept.
pub(crate) fn encode_signature(signature: &Signature) -> Option<Vec<u8>> {
    use pgp::packet::PacketTrait;
    let config = signature.config()?.clone();
    let (hash, bytes) = (signature.signed_hash_value()?, signature.signature()?.clone());
    let rebuilt = Signature::from_config(config, hash, bytes).ok()?;
    let mut out = Vec::new();
    rebuilt.to_writer_with_header(&mut out).ok()?;
    Some(out)
}

pub(crate) fn primary_key(part: &SigningPart) -> Result<SecretKey, Error> {
    let (inner, secret) = ed25519_legacy(part)?;
    SecretKey::new(PublicKey::from_inner(inner)?, secret)
}

fn signing_subkey(part: &SigningPart) -> Result<SecretSubkey, Error> {
    let (inner, secret) = ed25519_legacy(part)?;
    SecretSubkey::new(PublicSubkey::from_inner(inner)?, secret)
}

fn ed25519_legacy(part: &SigningPart) -> Result<(PubKeyInner, SecretParams), Error> {
    let key = ed25519::SecretKey::try_from_bytes(*part.seed.expose_secret(), Mode::EdDSALegacy)?;
    let inner = PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::EdDSALegacy,
        packets::timestamp(part.created),
        None,
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::from(&key)),
    )?;
    let secret = PlainSecretParams::EdDSALegacy(eddsa_legacy::SecretKey::Ed25519(key));
    Ok((inner, SecretParams::Plain(secret)))
}

/// A version 4 signature's frame: made `created`, by `key`, which is named in the hashed area.
pub(crate) fn config(
    key: &impl pgp::types::SigningKey,
    typ: SignatureType,
    created: Timestamp,
) -> Result<SignatureConfig, Error> {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        Subpacket::critical(SubpacketData::SignatureCreationTime(created))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ];
    Ok(config)
}

/// The user ID with its self-signature, which says that the primary certifies only, and what we read.
pub(crate) fn certify_user_id(
    primary: &SecretKey,
    user_id: &str,
) -> Result<SignedKeyDetails, Error> {
    use pgp::crypto::sym::SymmetricKeyAlgorithm::AES256;
    use pgp::types::CompressionAlgorithm::Uncompressed;
    let id = UserId::from_str(Default::default(), user_id)?;
    let mut config = config(primary, SignatureType::CertPositive, primary.created_at())?;
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    // Only the MDC: a newer gpg must not seal with OCB to a key that gpg 2.2 is to read with.
    let mut features = Features::default();
    features.set_seipd_v1(true);
    config.hashed_subpackets.extend([
        Subpacket::regular(SubpacketData::KeyFlags(flags))?,
        Subpacket::regular(SubpacketData::Features(features))?,
        Subpacket::regular(SubpacketData::PreferredSymmetricAlgorithms(
            [AES256].into_iter().collect(),
        ))?,
        Subpacket::regular(SubpacketData::PreferredHashAlgorithms(
            [HashAlgorithm::Sha512, HashAlgorithm::Sha256].into_iter().collect(),
        ))?,
        Subpacket::regular(SubpacketData::PreferredCompressionAlgorithms(
            [Uncompressed].into_iter().collect(),
        ))?,
        Subpacket::regular(SubpacketData::IsPrimary(true))?,
        Subpacket::regular(SubpacketData::IssuerKeyId(primary.legacy_key_id()))?,
    ]);
    let signature = config.sign_certification(
        primary,
        primary.public_key(),
        &Password::empty(),
        Tag::UserId,
        &id,
    )?;
    let users = vec![SignedUser::new(id, vec![signature])];
    Ok(SignedKeyDetails::new(Vec::new(), Vec::new(), users, Vec::new()))
}

/// Binds any subkey to its primary: made when the subkey was, or the primary if that is younger.
pub(crate) fn bind_subkey(
    primary: &SecretKey,
    subkey: &PublicSubkey,
    flags: KeyFlags,
    back: Option<Signature>,
) -> Result<Signature, Error> {
    let created = subkey.created_at().max(primary.created_at());
    let mut config = config(primary, SignatureType::SubkeyBinding, created)?;
    config.hashed_subpackets.extend([
        Subpacket::regular(SubpacketData::KeyFlags(flags))?,
        Subpacket::regular(SubpacketData::IssuerKeyId(primary.legacy_key_id()))?,
    ]);
    if let Some(back) = back {
        let back = SubpacketData::EmbeddedSignature(Box::new(back));
        config.hashed_subpackets.push(Subpacket::regular(back)?);
    }
    config.sign_subkey_binding(primary, primary.public_key(), &Password::empty(), subkey)
}

fn bind_signing_subkey(
    primary: &SecretKey,
    subkey: &SecretSubkey,
) -> Result<SignedPublicSubKey, Error> {
    let created = subkey.created_at().max(primary.created_at());
    let mut back = config(subkey, SignatureType::KeyBinding, created)?;
    back.hashed_subpackets
        .push(Subpacket::regular(SubpacketData::IssuerKeyId(subkey.legacy_key_id()))?);
    let (public, password) = (subkey.public_key(), Password::empty());
    let back = back.sign_primary_key_binding(subkey, public, &password, primary.public_key())?;
    let mut flags = KeyFlags::default();
    flags.set_sign(true);
    let binding = bind_subkey(primary, public, flags, Some(back))?;
    Ok(SignedPublicSubKey::new(public.clone(), vec![binding]))
}
