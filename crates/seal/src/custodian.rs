//! A key pair for a custodian who has none: made offline, kept on paper or a stick.

use holdfast_types::Millis;
use pgp::composed::{
    ArmorOptions, KeyType, SignedPublicKey, SignedPublicSubKey, SignedSecretKey, SignedSecretSubKey,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::errors::Error;
use pgp::packet::{KeyFlags, PubKeyInner, PublicSubkey, SecretSubkey};
use pgp::ser::Serialize;
use pgp::types::KeyVersion;
use zeroize::Zeroizing;

use crate::packets;
use crate::rng::Rng;
use crate::signing::{SigningError, SigningPart, bind_subkey, certify_user_id, primary_key};

/// Makes a key for recovery: the armored secret key, without a passphrase, and the certificate in
/// binary. Version 4, Ed25519 (certifies) and Curve25519 (encrypts) in the legacy encoding, which gpg
/// 2.2 imports. It does not expire.
///
/// # Errors
/// The library refuses the user ID.
pub fn generate_custodian(
    user_id: &str,
    now: Millis,
) -> Result<(Zeroizing<String>, Vec<u8>), SigningError> {
    Ok(generate(user_id, now)?)
}

fn generate(user_id: &str, now: Millis) -> Result<(Zeroizing<String>, Vec<u8>), Error> {
    let primary = primary_key(&SigningPart::generate(now))?;
    let subkey = encryption_subkey(now)?;
    let details = certify_user_id(&primary, user_id)?;
    let mut flags = KeyFlags::default();
    flags.set_encrypt_comms(true);
    flags.set_encrypt_storage(true);
    let binding = bind_subkey(&primary, subkey.public_key(), flags, None)?;

    let certificate = SignedPublicKey::new(
        primary.public_key().clone(),
        details.clone(),
        vec![SignedPublicSubKey::new(subkey.public_key().clone(), vec![binding.clone()])],
    );
    let subkeys = vec![SignedSecretSubKey::new(subkey, vec![binding])];
    let secret = SignedSecretKey::new(primary, details, Vec::new(), subkeys);
    let armored = Zeroizing::new(secret.to_armored_string(ArmorOptions::default())?);
    Ok((armored, certificate.to_bytes()?))
}

pub(crate) fn encryption_subkey(now: Millis) -> Result<SecretSubkey, Error> {
    let (public, secret) = KeyType::ECDH(ECCCurve::Curve25519Legacy).generate(Rng)?;
    let inner = PubKeyInner::new(
        KeyVersion::V4,
        PublicKeyAlgorithm::ECDH,
        packets::timestamp(now),
        None,
        public,
    )?;
    SecretSubkey::new(PublicSubkey::from_inner(inner)?, secret)
}
