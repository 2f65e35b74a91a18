//! Detached signatures, strictly: one packet, one encoding, hashed subpackets only.
//!
//! OpenPGP leaves bits of a signature free (its unhashed area, lengths, packet headers); gpgv accepts
//! some changed signatures. Ours have one encoding, and what does not re-serialise to the very same
//! bytes is refused, so that every flip of a signature is noticed.

use holdfast_types::{Millis, limits::SIGNATURE_BYTES_MAX};
use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::KeyDetails;

use crate::certificate;
use crate::packets;
use crate::policy::{self, SLACK_SECONDS};
use crate::signing::encode_signature;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signer's certificate does not parse, or is not one.
    #[error("the signer's certificate cannot be used: {0}")]
    Certificate(String),
    /// Not one signature packet, or not in the encoding that we write.
    #[error("the signature is not in the one encoding that is accepted: {0}")]
    Encoding(&'static str),
    /// Made by a key that the certificate does not vouch for.
    #[error("the signature is by a key that the certificate does not bind for signing")]
    NotBySigner,
    /// Dated more than a day after now: one of the two clocks is wrong.
    #[error("the signature is dated in the future; check this machine's clock")]
    FromTheFuture,
    /// The data or the signature is not what was signed.
    #[error("the signature does not fit the data")]
    Mismatch,
}

/// Checks `signature` over `data` by a signing subkey of `certificate`; answers with the fingerprint
/// of the *primary* key, 40 upper-case hex digits. Whether that one is trusted is the caller's part.
///
/// The subkey must be bound with a back-signature, not revoked, and not expired when it signed.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_detached(
    certificate: &[u8],
    signature: &[u8],
    data: &[u8],
    now: Millis,
) -> Result<String, VerifyError> {
    let certificate = certificate::parse(certificate)
        .map_err(|error| VerifyError::Certificate(error.to_string()))?;
    let signature = parse(signature)?;
    let now = now.as_secs_u32();
    let created = signature.created().map_or(0, |at| at.as_secs());
    if created > now.saturating_add(SLACK_SECONDS) {
        return Err(VerifyError::FromTheFuture);
    }
    verify_by_subkey(&certificate, &signature, data, created, now)?;
    Ok(packets::fingerprint(&certificate.primary_key))
}

/// `new` with those subkeys of `old` that it lacks: two restores of one archive bind different subkeys to the
/// same primary, and what either signed must verify. `None` where `old` is no certificate, or of another
/// primary. Bindings are not judged here; whoever verifies does.
#[must_use]
pub fn merge_signers(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (old, mut new) = (certificate::parse(old).ok()?, certificate::parse(new).ok()?);
    if old.primary_key.fingerprint() != new.primary_key.fingerprint() {
        return None;
    }
    for subkey in old.public_subkeys {
        let known =
            |other: &SignedPublicSubKey| other.key.fingerprint() == subkey.key.fingerprint();
        if !new.public_subkeys.iter().any(known) {
            new.public_subkeys.push(subkey);
        }
    }
    // One order, so that merging again changes nothing.
    new.public_subkeys.sort_by_key(|subkey| {
        (subkey.key.created_at().as_secs(), subkey.key.fingerprint().as_bytes().to_vec())
    });
    new.to_bytes().ok()
}

fn parse(bytes: &[u8]) -> Result<Signature, VerifyError> {
    let refuse = |why| Err(VerifyError::Encoding(why));
    if bytes.len() > SIGNATURE_BYTES_MAX {
        return refuse("it is too large");
    }
    let mut packets = PacketParser::new(bytes);
    let (first, second) = (packets.next(), packets.next());
    let (Some(Ok(Packet::Signature(signature))), None) = (first, second) else {
        return refuse("it is not one signature packet");
    };
    let Some(config) = signature.config() else { return refuse("its version is not 4") };
    if config.unhashed_subpackets().next().is_some() {
        return refuse("it has unhashed subpackets");
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return refuse("it is not over a binary document");
    }
    if encode_signature(&signature).as_deref() != Some(bytes) {
        return refuse("it does not re-serialise to the same bytes");
    }
    Ok(signature)
}

fn verify_by_subkey(
    certificate: &SignedPublicKey,
    signature: &Signature,
    data: &[u8],
    created: u32,
    now: u32,
) -> Result<(), VerifyError> {
    // Bindings are judged at `now`, expiry at the time of the signature.
    let primary = policy::primary(certificate, now)
        .map_err(|fault| VerifyError::Certificate(format!("{fault:?}")))?;
    policy::counts(signature, now).map_err(|_| VerifyError::Encoding("its hash is too weak"))?;
    let names = |key: &pgp::packet::PublicSubkey| {
        signature.issuer_fingerprint() == [&key.fingerprint()]
            && signature.issuer_key_id().into_iter().all(|id| *id == key.legacy_key_id())
    };
    let subkey = certificate.public_subkeys.iter().find(|subkey| names(&subkey.key));
    let subkey = subkey.ok_or(VerifyError::NotBySigner)?;
    let bound = policy::subkey(certificate, subkey, now).map_err(|_| VerifyError::NotBySigner)?;
    let may_sign = bound.may_sign() && policy::signs_back(certificate, subkey, now);
    let in_time = !bound.is_expired(created)
        && !primary.is_expired(created)
        && created >= subkey.key.created_at().as_secs();
    if !(may_sign && in_time) {
        return Err(VerifyError::NotBySigner);
    }
    signature.verify(&subkey.key, data).map_err(|_| VerifyError::Mismatch)
}

#[cfg(test)]
mod tests {
    use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
    use pgp::packet::KeyFlags;
    use pgp::ser::Serialize;

    use super::*;
    use crate::signing::{SigningKey, SigningPart, bind_subkey, certify_user_id, primary_key};

    /// A thief of signatures binds our signing subkey, whose secret he lacks, to his own primary.
    #[test]
    fn a_subkey_that_did_not_sign_back_is_not_a_signer() {
        let now = Millis(1_700_000_000_000);
        let (primary, subkey) = (SigningPart::generate(now), SigningPart::generate(now));
        let ours = SigningKey::from_parts("ours", &primary, &[subkey]).expect("valid parts");
        let signature = ours.sign_detached(b"data", now).expect("it signs");
        let certificate = ours.certificate_bytes();
        assert!(verify_detached(&certificate, &signature, b"data", now).is_ok());

        let ours = certificate::parse(&certificate).expect("a certificate");
        let thief = primary_key(&SigningPart::generate(now)).expect("valid part");
        let details = certify_user_id(&thief, "ours").expect("a user ID");
        let stolen = &ours.public_subkeys[0];
        let back = stolen.signatures[0].embedded_signature().cloned();
        assert!(back.is_some());
        for back in [None, back] {
            let mut flags = KeyFlags::default();
            flags.set_sign(true);
            let binding = bind_subkey(&thief, &stolen.key, flags, back).expect("it signs");
            let bound = vec![SignedPublicSubKey::new(stolen.key.clone(), vec![binding])];
            let primary = thief.public_key().clone();
            let forged = SignedPublicKey::new(primary, details.clone(), bound);
            let forged = forged.to_bytes().expect("to memory");
            let result = verify_detached(&forged, &signature, b"data", now);
            assert_eq!(result, Err(VerifyError::NotBySigner));
        }
    }
}
