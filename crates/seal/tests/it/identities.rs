//! Secret keys, passphrases, and the caller's own gpg.

use std::io::Read;

use holdfast_seal::{
    Certificate, GpgAgent, Identity, IdentityError, OpenError, Opener, generate_custodian,
    open_bytes, open_reader, seal_bytes, seal_reader,
};
use pgp::composed::{EncryptionCaps, KeyType, SecretKeyParamsBuilder, SubkeyParamsBuilder};
use pgp::ser::Serialize as _;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::gpg::Gpg;
use crate::now;

fn pass(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[test]
fn a_locked_identity_wants_its_passphrase() {
    let gpg = Gpg::new();
    gpg.make_locked("Ada", "correct horse");
    let secret = gpg.export_secret("Ada", "correct horse");
    assert_eq!(Identity::needs_passphrase(&secret), Ok(true));
    let read = |passphrase: Option<&str>| Identity::read(&secret, passphrase.map(pass).as_ref());
    assert_eq!(read(None).unwrap_err(), IdentityError::NeedsPassphrase);
    assert_eq!(read(Some("battery")).unwrap_err(), IdentityError::WrongPassphrase);
    let identity = read(Some("correct horse")).unwrap();
    assert_eq!(identity.fingerprint(), gpg.fingerprint("Ada"));
    assert!(!format!("{identity:?}").contains("horse"));

    let certificate = Certificate::read(&gpg.export("Ada"), now()).unwrap();
    let (sealed, _) = seal_bytes(b"locked", &[certificate]).unwrap();
    let (opened, _) = open_bytes(&sealed, &Opener::Identity(identity), 100).unwrap();
    assert_eq!(opened.expose_secret(), b"locked");
}

/// Version 4 with the algorithms that RFC 9580 §9.1 added, 27 (Ed25519) and 25 (X25519): gpg 2.2 has neither.
#[test]
fn keys_of_the_newer_algorithms_are_sealed_to_and_open() {
    let mut subkey = SubkeyParamsBuilder::default();
    subkey.key_type(KeyType::X25519).can_encrypt(EncryptionCaps::All);
    let mut key = SecretKeyParamsBuilder::default();
    key.key_type(KeyType::Ed25519).can_certify(true).primary_user_id("Ada".into());
    key.subkey(subkey.build().unwrap());
    let secret = key.build().unwrap().generate(OsRng).unwrap();
    let certificate = secret.to_public_key().to_bytes().unwrap();
    let certificate = Certificate::read(&certificate, now()).unwrap();
    let secret = secret.to_bytes().unwrap();
    let opener = Opener::Identity(Identity::read(&secret, None).unwrap());

    let (sealed, _) = seal_bytes(b"a slot", &[certificate]).unwrap();
    let (opened, _) = open_bytes(&sealed, &opener, 100).unwrap();
    assert_eq!(opened.expose_secret(), b"a slot");
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        if let Ok((opened, _)) = open_bytes(&flipped, &opener, 100) {
            assert_eq!(opened.expose_secret(), b"a slot", "byte {at}");
        }
    }
}

#[test]
fn what_is_not_an_identity_is_named() {
    let (secret, certificate) = generate_custodian("Ada", now()).unwrap();
    assert_eq!(Identity::needs_passphrase(secret.as_bytes()), Ok(false));
    assert_eq!(Identity::read(&certificate, None).unwrap_err(), IdentityError::CertificateGiven);
    assert_eq!(Identity::read(b"hello", None).unwrap_err(), IdentityError::NotOpenPgp);
    assert_eq!(Identity::read(b"", None).unwrap_err(), IdentityError::NotOpenPgp);
}

#[test]
fn the_wrong_identity_learns_whose_it_is() {
    let (_, ada) = generate_custodian("Ada", now()).unwrap();
    let (eve, _) = generate_custodian("Eve", now()).unwrap();
    let ada = Certificate::read(&ada, now()).unwrap();
    let ids = ada.encryption_key_ids();
    let (sealed, _) = seal_bytes(b"for Ada", &[ada]).unwrap();
    let opener = Opener::Identity(Identity::read(eve.as_bytes(), None).unwrap());
    match open_bytes(&sealed, &opener, 100) {
        Err(OpenError::NotForThisIdentity { recipients }) => assert_eq!(recipients, ids),
        other => panic!("{other:?}"),
    }
}

#[test]
fn gpg_gives_the_session_key() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("cv25519", "encr")), "never");
    let ada = Certificate::read(&gpg.export("Ada"), now()).unwrap();
    let home = Some(gpg.home().to_owned());
    let opener = Opener::Gpg(GpgAgent { home, ..GpgAgent::default() });

    let (small, key) = seal_bytes(b"a slot", std::slice::from_ref(&ada)).unwrap();
    let (opened, found) = open_bytes(&small, &opener, 100).unwrap();
    assert_eq!(opened.expose_secret(), b"a slot");
    assert_eq!(found.to_bytes(), key.to_bytes());

    // Much larger than the head that gpg is shown.
    let plain = vec![7; 3_000_000];
    let mut large = Vec::new();
    seal_reader(&plain[..], &[ada], &mut large).unwrap();
    let mut opened = Vec::new();
    open_reader(&large[..], &opener).unwrap().read_to_end(&mut opened).unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn gpg_without_the_key_or_missing_is_named() {
    let (_, ada) = generate_custodian("Ada", now()).unwrap();
    let ada = Certificate::read(&ada, now()).unwrap();
    let (sealed, _) = seal_bytes(b"for Ada", &[ada]).unwrap();
    let gpg = Gpg::new();
    let agent = GpgAgent { home: Some(gpg.home().to_owned()), ..GpgAgent::default() };
    let result = open_bytes(&sealed, &Opener::Gpg(agent), 100);
    assert!(matches!(result, Err(OpenError::NotForThisIdentity { .. })), "{result:?}");
    let missing = GpgAgent { program: "/nonexistent/gpg".into(), home: None };
    let result = open_bytes(&sealed, &Opener::Gpg(missing), 100);
    assert!(matches!(result, Err(OpenError::Gpg { .. })), "{result:?}");
}
