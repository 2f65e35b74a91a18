//! Which keys of a certificate are good, and for what: our own walk over its self-signatures.
//!
//! rPGP checks single signatures; its `verify_bindings` would fail a whole certificate for one bad
//! user ID. The rules:
//!
//! - Only version 4 signatures by the primary key itself count, with SHA-256 or better, not dated in
//!   the future (a day of slack), not expired, without critical subpackets that we do not know.
//! - A *revocation* counts whatever its hash or date: being wrong then refuses, which is safe. One by
//!   a designated revoker counts unchecked, since we do not hold that key.
//! - What the primary may do, and when the certificate expires, say the newest counting direct signature and the
//!   newest ones on user IDs that are not revoked: all that gpg or Sequoia would ask ([`said_of_primary`]), and
//!   the strictest of them counts. A subkey's newest binding says it of the subkey.
//! - A subkey that signs must sign back (RFC 9580 §5.2.1); one that encrypts need not.
//! - RSA below 2048 bits, DSA, Elgamal and curves that are unknown are weak.
//!
//! Compared with `gpg --import` in `tests/it/certificates.rs`. Source: RFC 9580 §5.2, §10.1.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PublicKey, PublicSubkey, Signature, SignatureType, SignatureVersion, SubpacketData,
};
use pgp::ser::Serialize;
use pgp::types::{
    EcdhPublicParams, EcdsaPublicParams, EddsaLegacyPublicParams, KeyDetails, KeyVersion,
    PublicParams, RsaPublicParams, SignedUser, Tag,
};

/// How far a signature may be dated ahead of us, in seconds: clocks differ.
pub(crate) const SLACK_SECONDS: u32 = 24 * 60 * 60;

/// Shortest RSA modulus, in bits (SP 800-57: 112 bits of strength).
const RSA_BITS_MIN: u16 = 2048;

/// A key that may be sealed to.
pub(crate) enum EncryptionKey<'a> {
    /// The primary itself: old RSA certificates.
    Primary(&'a PublicKey),
    /// A subkey.
    Subkey(&'a PublicSubkey),
}

impl EncryptionKey<'_> {
    /// What a session key sealed to it takes, in bytes, at most: with RSA a number below the modulus,
    /// otherwise a point of the key's curve; and 80 bytes are enough for the rest.
    pub fn sealed_bytes(&self) -> u64 {
        let params = match self {
            Self::Primary(key) => key.public_params(),
            Self::Subkey(key) => key.public_params(),
        };
        params.write_len() as u64 + 80
    }
}

/// Why a key does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No counting self-signature, and none that only its hash spoils.
    Unbound,
    /// Algorithm, size or hash.
    Weak(&'static str),
    /// Revoked, or all user IDs are.
    Revoked,
    /// Version 3, 5 or 6 of keys.
    Version,
}

/// What the self-signatures say of a key.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// When it expires, in seconds since 1970; `None` is never.
    pub expires: Option<u64>,
    /// What it may do: what all of these allow. Empty if nothing is said, which leaves it to the algorithm.
    pub flags: Vec<KeyFlags>,
}

impl Bound {
    /// Whether it has expired at `now`.
    pub fn is_expired(&self, now: u32) -> bool {
        self.expires.is_some_and(|expires| expires <= u64::from(now))
    }

    /// Whether it is said that it may sign.
    pub fn may_sign(&self) -> bool {
        !self.flags.is_empty() && self.flags.iter().all(KeyFlags::sign)
    }

    fn may_encrypt(&self) -> bool {
        self.flags.iter().all(|flags| flags.encrypt_comms() || flags.encrypt_storage())
    }
}

/// What the certificate says of its primary key at `now` (seconds since 1970).
pub(crate) fn primary(certificate: &SignedPublicKey, now: u32) -> Result<Bound, Fault> {
    let key = &certificate.primary_key;
    if key.version() != KeyVersion::V4 {
        return Err(Fault::Version);
    }
    strong_key(key.public_params()).map_err(Fault::Weak)?;

    let (mut direct, mut silent) = (Newest::default(), Newest::default());
    for signature in &certificate.details.direct_signatures {
        if signature.typ() == Some(SignatureType::Key) {
            let of = if only_names_a_revoker(signature) { &mut silent } else { &mut direct };
            of.offer(signature, now, || signature.verify_key(key).is_ok());
        }
    }
    let (mut users, mut weak, mut user_revoked) = (Vec::new(), direct.weak || silent.weak, false);
    for user in &certificate.details.users {
        match newest_of_user(key, user, now) {
            Ok(newest) => {
                users.extend(newest.found);
                weak |= newest.weak;
            }
            Err(Fault::Revoked) => user_revoked = true,
            Err(_) => {}
        }
    }
    if is_revoked(certificate) {
        return Err(Fault::Revoked);
    }
    match direct.found.or(silent.found) {
        None if users.is_empty() && user_revoked => Err(Fault::Revoked),
        None if users.is_empty() => Err(unbound(weak)),
        direct => Ok(said_of_primary(key, direct, &users)),
    }
}

/// What the newest signatures say of the primary: the direct one, and one of each user ID. RFC 9580 §5.2.3.10
/// leaves open which of them counts. Sequoia asks the primary user ID, then the direct one; gpg the direct one,
/// then the newest user ID that says anything. Whatever either would hear counts: the earliest expiry, and the
/// uses that all allow.
fn said_of_primary(key: &PublicKey, direct: Option<&Signature>, users: &[&Signature]) -> Bound {
    let newest = |says: fn(&Signature) -> bool| {
        let of = users.iter().copied().filter(|signature| says(signature));
        of.max_by_key(|signature| created(signature))
    };
    let primary_user = newest(Signature::is_primary).or_else(|| newest(|_| true));
    let expires = [direct, primary_user, newest(|signature| lifetime(signature).is_some())];
    let expires = expires.into_iter().flatten().filter_map(|signature| expiry(key, signature));
    let uses = [direct, primary_user, newest(|signature| flags(signature).is_some())];
    let uses = uses.into_iter().flatten().filter_map(flags);
    Bound { expires: expires.min(), flags: uses.cloned().collect() }
}

/// gpg keeps whom it names as a revoker in a direct signature of its own, which takes nothing back.
fn only_names_a_revoker(signature: &Signature) -> bool {
    signature.revocation_key().is_some()
        && lifetime(signature).is_none()
        && flags(signature).is_none()
}

/// What the certificate says of one of its subkeys at `now` (seconds since 1970).
pub(crate) fn subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: u32,
) -> Result<Bound, Fault> {
    let (primary, key) = (&certificate.primary_key, &subkey.key);
    if key.version() != KeyVersion::V4 {
        return Err(Fault::Version);
    }
    strong_key(key.public_params()).map_err(Fault::Weak)?;
    let mut newest = Newest::default();
    let revokers = revokers(certificate);
    for signature in &subkey.signatures {
        let verifies = || signature.verify_subkey_binding(primary, key).is_ok();
        let revokes = || verifies() || is_by(signature, &revokers);
        match signature.typ() {
            Some(SignatureType::SubkeyRevocation) if revokes() => return Err(Fault::Revoked),
            Some(SignatureType::SubkeyBinding) => newest.offer(signature, now, verifies),
            _ => {}
        }
    }
    newest.bound(key)
}

/// Whether the newest binding of a subkey that may sign carries the subkey's own consent.
pub(crate) fn signs_back(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: u32,
) -> bool {
    let (primary, key) = (&certificate.primary_key, &subkey.key);
    let mut newest = Newest::default();
    for signature in &subkey.signatures {
        if signature.typ() == Some(SignatureType::SubkeyBinding) {
            newest.offer(signature, now, || signature.verify_subkey_binding(primary, key).is_ok());
        }
    }
    newest.found.and_then(Signature::embedded_signature).is_some_and(|back| {
        counts(back, now).is_ok() && back.verify_primary_key_binding(key, primary).is_ok()
    })
}

/// The keys to seal to, with what is said of each; and the fault of the best that was passed over.
pub(crate) fn encryption_keys<'a>(
    certificate: &'a SignedPublicKey,
    primary: &Bound,
    now: u32,
) -> (Vec<(EncryptionKey<'a>, Bound)>, Option<Fault>) {
    let (mut keys, mut passed_over) = (Vec::new(), None);
    for candidate in &certificate.public_subkeys {
        if !can_encrypt(candidate.key.public_params()) {
            continue;
        }
        match subkey(certificate, candidate, now) {
            Ok(bound) if bound.may_encrypt() => {
                keys.push((EncryptionKey::Subkey(&candidate.key), bound));
            }
            Ok(_) | Err(Fault::Unbound) => {}
            Err(fault) => passed_over = Some(fault),
        }
    }
    // A primary that says nothing of its use is not taken for an encryption key.
    let named = !primary.flags.is_empty() && primary.may_encrypt();
    if named && can_encrypt(certificate.primary_key.public_params()) {
        keys.push((EncryptionKey::Primary(&certificate.primary_key), primary.clone()));
    }
    (keys, passed_over)
}

/// The newest counting signature seen so far, and whether a weak one was seen.
#[derive(Default)]
struct Newest<'a> {
    found: Option<&'a Signature>,
    weak: bool,
}

impl<'a> Newest<'a> {
    fn offer(&mut self, signature: &'a Signature, now: u32, verifies: impl Fn() -> bool) {
        match counts(signature, now) {
            Ok(()) if verifies() => self.take(signature),
            Err(Fault::Weak(_)) => self.weak = true,
            _ => {}
        }
    }

    /// Of two made in one second the later in the certificate counts.
    fn take(&mut self, signature: &'a Signature) {
        if self.found.is_none_or(|found| created(signature) >= created(found)) {
            self.found = Some(signature);
        }
    }

    fn bound(&self, key: &impl KeyDetails) -> Result<Bound, Fault> {
        let signature = self.found.ok_or_else(|| unbound(self.weak))?;
        let flags = flags(signature).cloned().into_iter().collect();
        Ok(Bound { expires: expiry(key, signature), flags })
    }
}

fn unbound(weak: bool) -> Fault {
    if weak { Fault::Weak("a hash below SHA-256") } else { Fault::Unbound }
}

/// After how many seconds a signature says that its key expires, if it does.
fn lifetime(signature: &Signature) -> Option<u32> {
    signature.key_expiration_time().map(|lifetime| lifetime.as_secs()).filter(|after| *after != 0)
}

/// When a signature says that `key` expires, in seconds since 1970.
fn expiry(key: &impl KeyDetails, signature: &Signature) -> Option<u64> {
    lifetime(signature).map(|after| u64::from(key.created_at().as_secs()) + u64::from(after))
}

fn flags(signature: &Signature) -> Option<&KeyFlags> {
    hashed(signature).find_map(|data| match data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

fn newest_of_user<'a>(
    key: &PublicKey,
    user: &'a SignedUser,
    now: u32,
) -> Result<Newest<'a>, Fault> {
    let mut newest = Newest::default();
    let mut revoked = None;
    for signature in &user.signatures {
        let verifies = || signature.verify_certification(key, Tag::UserId, &user.id).is_ok();
        if signature.typ() == Some(SignatureType::CertRevocation) {
            if verifies() {
                revoked = revoked.max(Some(created(signature)));
            }
        } else {
            newest.offer(signature, now, verifies);
        }
    }
    // Unlike a key, a user ID may be certified anew after its revocation.
    match (revoked, newest.found) {
        (Some(at), Some(found)) if at >= created(found) => Err(Fault::Revoked),
        (Some(_), None) => Err(Fault::Revoked),
        _ => Ok(newest),
    }
}

fn is_revoked(certificate: &SignedPublicKey) -> bool {
    let revokers = revokers(certificate);
    certificate.details.revocation_signatures.iter().any(|signature| {
        signature.verify_key(&certificate.primary_key).is_ok() || is_by(signature, &revokers)
    })
}

/// Fingerprints of the designated revokers that a certificate names anywhere.
fn revokers(certificate: &SignedPublicKey) -> Vec<&[u8]> {
    let details = &certificate.details;
    let on_users = details.users.iter().flat_map(|user| &user.signatures);
    let all = details.direct_signatures.iter().chain(on_users).flat_map(hashed);
    let named = all.filter_map(|data| match data {
        SubpacketData::RevocationKey(revoker) => Some(&revoker.fingerprint[..]),
        _ => None,
    });
    named.collect()
}

/// Whether a signature says that one of these made it. We do not hold their keys.
fn is_by(signature: &Signature, revokers: &[&[u8]]) -> bool {
    let named = |id: &[u8]| revokers.iter().any(|revoker| revoker.ends_with(id));
    signature.issuer_fingerprint().iter().any(|issuer| named(issuer.as_bytes()))
        || signature.issuer_key_id().iter().any(|issuer| named(issuer.as_ref()))
}

/// Whether a signature may count at all, before any cryptography.
pub(crate) fn counts(signature: &Signature, now: u32) -> Result<(), Fault> {
    if signature.version() != SignatureVersion::V4 {
        return Err(Fault::Unbound);
    }
    if !signature.hash_alg().is_some_and(strong_hash) {
        return Err(Fault::Weak("a hash below SHA-256"));
    }
    let created = created(signature);
    let lifetime = signature.signature_expiration_time().map_or(0, |lifetime| lifetime.as_secs());
    let expired = lifetime != 0 && u64::from(created) + u64::from(lifetime) <= u64::from(now);
    let unknown = signature.config().into_iter().flat_map(|config| config.hashed_subpackets()).any(
        |subpacket| {
            subpacket.is_critical
                && matches!(
                    subpacket.data,
                    SubpacketData::Other(..)
                        | SubpacketData::Experimental(..)
                        | SubpacketData::Notation(_)
                )
        },
    );
    let dated_ahead = created > now.saturating_add(SLACK_SECONDS);
    if expired || unknown || dated_ahead { Err(Fault::Unbound) } else { Ok(()) }
}

/// SHA-2 and SHA-3 of 256 bits and more.
pub(crate) fn strong_hash(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

/// When a signature says that it was made; 0 if it does not say.
fn created(signature: &Signature) -> u32 {
    signature.created().map_or(0, |at| at.as_secs())
}

fn hashed(signature: &Signature) -> impl Iterator<Item = &SubpacketData> {
    let subpackets = signature.config().into_iter().flat_map(|config| config.hashed_subpackets());
    subpackets.map(|subpacket| &subpacket.data)
}

fn can_encrypt(params: &PublicParams) -> bool {
    matches!(params, PublicParams::RSA(_) | PublicParams::ECDH(_) | PublicParams::X25519(_))
}

fn strong_key(params: &PublicParams) -> Result<(), &'static str> {
    match params {
        PublicParams::RSA(key) if rsa_bits(key) < RSA_BITS_MIN => Err("RSA below 2048 bits"),
        PublicParams::RSA(_) | PublicParams::Ed25519(_) | PublicParams::X25519(_) => Ok(()),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { .. }) => Ok(()),
        PublicParams::ECDSA(EcdsaPublicParams::Unsupported { .. })
        | PublicParams::ECDH(EcdhPublicParams::Unsupported { .. })
        | PublicParams::EdDSALegacy(_) => Err("a curve that is not supported"),
        PublicParams::ECDSA(_) | PublicParams::ECDH(_) => Ok(()),
        PublicParams::DSA(_) => Err("DSA"),
        PublicParams::Elgamal(_) => Err("Elgamal"),
        _ => Err("an algorithm that is not supported"),
    }
}

/// The length of the modulus: an MPI opens with its length in bits.
fn rsa_bits(key: &RsaPublicParams) -> u16 {
    match key.to_bytes().as_deref() {
        Ok([high, low, ..]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
