//! Certificates that gpg makes only by hand: direct signatures and designated revokers.

use holdfast_types::Millis;
use pgp::composed::{SignedKeyDetails, SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{
    KeyFlags, PublicKey, SecretKey, Signature, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    Duration, KeyDetails as _, Password, RevocationKey, RevocationKeyClass, SignedUser, Tag,
};

use crate::custodian::encryption_subkey;
use crate::packets::timestamp;
use crate::signing::{SigningPart, bind_subkey, config, primary_key};
use crate::{Certificate, CertificateError};

const BEGAN: Millis = Millis(1_700_000_000_000);
const DAY: u64 = 24 * 60 * 60 * 1000;

fn at(day: u64) -> Millis {
    Millis(BEGAN.0 + day * DAY)
}

/// A key that can do nothing yet.
fn key() -> SecretKey {
    primary_key(&SigningPart::generate(BEGAN)).unwrap()
}

fn certifies() -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    SubpacketData::KeyFlags(flags)
}

fn encrypts() -> KeyFlags {
    let mut flags = KeyFlags::default();
    flags.set_encrypt_comms(true);
    flags
}

fn expires(days: u32) -> SubpacketData {
    SubpacketData::KeyExpirationTime(Duration::from_secs(days * 24 * 60 * 60))
}

fn revoker(key: &PublicKey) -> SubpacketData {
    let fingerprint = key.fingerprint();
    let (class, algorithm) = (RevocationKeyClass::Default, key.algorithm());
    SubpacketData::RevocationKey(RevocationKey::new(class, algorithm, fingerprint.as_bytes()))
}

fn frame(
    by: &SecretKey,
    typ: SignatureType,
    day: u64,
    says: Vec<SubpacketData>,
) -> pgp::packet::SignatureConfig {
    let mut config = config(by, typ, timestamp(at(day))).unwrap();
    let says = says.into_iter().map(|data| Subpacket::regular(data).unwrap());
    config.hashed_subpackets.extend(says);
    config
}

fn direct(by: &SecretKey, day: u64, says: Vec<SubpacketData>) -> Signature {
    let config = frame(by, SignatureType::Key, day, says);
    config.sign_key(by, &Password::empty(), by.public_key()).unwrap()
}

fn user(by: &SecretKey, id: &str, day: u64, says: Vec<SubpacketData>) -> SignedUser {
    let id = UserId::from_str(Default::default(), id).unwrap();
    let config = frame(by, SignatureType::CertPositive, day, says);
    let (public, none) = (by.public_key(), Password::empty());
    let signature = config.sign_certification(by, public, &none, Tag::UserId, &id).unwrap();
    SignedUser::new(id, vec![signature])
}

/// `key` with an encryption subkey, which somebody revoked if `revoked_by` says so.
fn certificate(
    key: &SecretKey,
    direct: Vec<Signature>,
    users: Vec<SignedUser>,
    revoked_by: Option<&SecretKey>,
) -> Vec<u8> {
    let subkey = encryption_subkey(BEGAN).unwrap();
    let mut signatures = vec![bind_subkey(key, subkey.public_key(), encrypts(), None).unwrap()];
    if let Some(by) = revoked_by {
        let config = frame(by, SignatureType::SubkeyRevocation, 1, Vec::new());
        let (public, none) = (key.public_key(), Password::empty());
        let revocation = config.sign_subkey_binding(by, public, &none, subkey.public_key());
        signatures.push(revocation.unwrap());
    }
    let details = SignedKeyDetails::new(Vec::new(), direct, users, Vec::new());
    let bound = vec![SignedPublicSubKey::new(subkey.public_key().clone(), signatures)];
    SignedPublicKey::new(key.public_key().clone(), details, bound).to_bytes().unwrap()
}

/// When the certificate says that it ends, in days.
#[track_caller]
fn ends(direct: Vec<Signature>, users: Vec<SignedUser>, key: &SecretKey) -> Option<u64> {
    let bytes = certificate(key, direct, users, None);
    let expires = Certificate::read(&bytes, at(3)).unwrap().expires();
    if let Some(expires) = expires {
        let late = Millis(expires.0 + 1000);
        assert_eq!(Certificate::read(&bytes, late).unwrap_err(), CertificateError::Expired);
    }
    expires.map(|expires| (expires.0 - BEGAN.0) / DAY)
}

#[test]
fn an_expiry_holds_until_whoever_said_it_says_another() {
    let key = &key();
    let direct = |day, says| direct(key, day, says);
    let user = |id, day, says| user(key, id, day, says);
    let plain = || user("Ada", 1, vec![certifies()]);
    // The user id was certified later, and says nothing of it: gpg shows the direct signature's.
    let said = || direct(0, vec![certifies(), expires(30)]);
    assert_eq!(ends(vec![said()], vec![plain()], key), Some(30));
    assert_eq!(ends(vec![said(), direct(1, vec![certifies()])], vec![plain()], key), None);
    let later = direct(1, vec![certifies(), expires(60)]);
    assert_eq!(ends(vec![said(), later], vec![plain()], key), Some(60));
    // Where both say one, the earlier counts; of user ids the newest that says any, and the primary one.
    let ada = user("Ada", 1, vec![certifies(), expires(20)]);
    assert_eq!(ends(vec![said()], vec![ada.clone()], key), Some(20));
    assert_eq!(ends(vec![], vec![ada.clone(), user("Bea", 2, vec![certifies()])], key), Some(20));
    let bea = user("Bea", 2, vec![certifies(), expires(40)]);
    assert_eq!(ends(vec![], vec![ada, bea.clone()], key), Some(40));
    let first = vec![certifies(), expires(20), SubpacketData::IsPrimary(true)];
    assert_eq!(ends(vec![], vec![user("Ada", 1, first), bea], key), Some(20));
    // Naming a revoker is no word on it.
    let named = direct(2, vec![revoker(self::key().public_key())]);
    assert_eq!(ends(vec![said(), named], vec![plain()], key), Some(30));
}

#[test]
fn what_a_designated_revoker_revoked_is_revoked() {
    let [key, by, other] = [key(), key(), key()];
    let bytes = |revoked_by| {
        let named = direct(&key, 0, vec![certifies(), revoker(by.public_key())]);
        certificate(&key, vec![named], vec![user(&key, "Emil", 0, vec![certifies()])], revoked_by)
    };
    let read = |revoked_by| Certificate::read(&bytes(revoked_by), at(3)).map(|read| read.expires());
    assert_eq!(read(None), Ok(None));
    assert_eq!(read(Some(&by)), Err(CertificateError::Revoked));
    assert_eq!(read(Some(&key)), Err(CertificateError::Revoked));
    assert_eq!(read(Some(&other)), Ok(None), "a stranger's word");
}

/// A user id that many others signed.
fn certified(by: &SecretKey, others: u32) -> Vec<u8> {
    let mut user = user(by, "Ada", 0, vec![certifies()]);
    let (other, none) = (key(), Password::empty());
    for n in 0..others {
        let config = frame(&other, SignatureType::CertGeneric, u64::from(n % 3), vec![expires(n)]);
        let (public, id) = (by.public_key(), &user.id);
        let signature =
            config.sign_certification_third_party(&other, &none, public, Tag::UserId, id);
        user.signatures.push(signature.unwrap());
    }
    certificate(by, Vec::new(), vec![user], None)
}

#[test]
fn copies_that_are_too_large_together_lose_what_says_nothing_of_the_keys() {
    use crate::Comparison::Newer;
    let key = key();
    let [held, copy] = [certified(&key, 300), certified(&key, 300)];
    assert!(held.len() + copy.len() > holdfast_types::limits::CERTIFICATE_BYTES_MAX);
    let (merged, which) = Certificate::read_renewed(&held, &copy, at(3)).unwrap();
    assert_eq!((merged.encryption_key_ids().len(), which), (2, Newer));
    assert!(merged.to_bytes().len() < 2000);
}
