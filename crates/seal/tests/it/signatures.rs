//! The vault's signatures: read by gpgv, and every flipped bit refused.

use std::process::Command;

use holdfast_crypto::Secret;
use holdfast_seal::{
    SigningKey, SigningPart, VerifyError, generate_custodian, merge_signers, verify_detached,
};
use holdfast_types::Millis;

use crate::gpg::Gpg;
use crate::{after, now};

const DATA: &[u8] = b"{\"format\":1}\n";

fn part(seed: u8, created: Millis) -> SigningPart {
    SigningPart { seed: Secret::copy_from(&[seed; 32]), created }
}

fn key(at: Millis) -> SigningKey {
    SigningKey::from_parts("Holdfast test", &part(1, at), &[part(2, at)]).unwrap()
}

fn gpgv(gpg: &Gpg, certificate: &[u8], signature: &[u8], data: &[u8]) -> bool {
    let keyring = gpg.file("cluster.pgp", certificate);
    let (signature, data) = (gpg.file("a.sig", signature), gpg.file("a", data));
    let mut command = Command::new("gpgv");
    command.arg("--homedir").arg(gpg.home()).arg("--keyring").arg(keyring);
    command.arg(signature).arg(data).output().unwrap().status.success()
}

#[test]
fn gpgv_accepts_and_refuses() {
    let gpg = Gpg::new();
    let key = key(now());
    let signature = key.sign_detached(DATA, now()).unwrap();
    assert!(gpgv(&gpg, &key.certificate_bytes(), &signature, DATA));
    assert!(!gpgv(&gpg, &key.certificate_bytes(), &signature, b"{\"format\":2}\n"));
    let shown = gpg.run(&["--batch", "--with-colons", "--show-keys"], &key.certificate_bytes());
    assert!(String::from_utf8(shown).unwrap().contains(&key.fingerprint()));
}

#[test]
fn every_flip_of_a_signature_is_refused() {
    let (key, at) = (key(now()), now());
    let certificate = key.certificate_bytes();
    let signature = key.sign_detached(DATA, at).unwrap();
    let fingerprint = verify_detached(&certificate, &signature, DATA, at).unwrap();
    assert_eq!(fingerprint, key.fingerprint());
    for bit in 0..signature.len() * 8 {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_detached(&certificate, &flipped, DATA, at).is_err(), "bit {bit}");
    }
    for cut in 0..signature.len() {
        assert!(verify_detached(&certificate, &signature[..cut], DATA, at).is_err(), "cut {cut}");
    }
    for bit in 0..DATA.len() * 8 {
        let mut flipped = DATA.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = verify_detached(&certificate, &signature, &flipped, at);
        assert_eq!(result, Err(VerifyError::Mismatch), "bit {bit}");
    }
    assert!(verify_detached(&certificate, &signature.repeat(2), DATA, at).is_err());
}

#[test]
fn other_encodings_of_a_signature_are_refused() {
    let (key, at) = (key(now()), now());
    let certificate = key.certificate_bytes();
    let signature = key.sign_detached(DATA, at).unwrap();
    // The same packet under an old-format header: gpg takes it, we do not.
    assert_eq!(signature[0], 0xc2, "new format, tag 2");
    assert!(signature[1] < 192, "one octet of length");
    let mut old = signature.clone();
    old[0] = 0x88;
    let gpg = Gpg::new();
    assert!(gpgv(&gpg, &certificate, &old, DATA));
    let result = verify_detached(&certificate, &old, DATA, at);
    assert!(matches!(result, Err(VerifyError::Encoding(_))), "{result:?}");
}

#[test]
fn a_signature_by_gpg_with_unhashed_subpackets_is_refused() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("ed25519", "sign")), "never");
    let signature = gpg.run(&["--batch", "--passphrase", "", "--detach-sign"], DATA);
    let result = verify_detached(&gpg.export("Ada"), &signature, DATA, now());
    assert!(matches!(result, Err(VerifyError::Encoding(_))), "{result:?}");
}

#[test]
fn the_certificate_follows_from_its_parts() {
    let at = Millis(1_700_000_000_999);
    let (one, two) = (key(at), key(Millis(1_700_000_000_000)));
    assert_eq!(one.certificate_bytes(), two.certificate_bytes(), "seconds count");
    // Golden: a change of it would orphan every printed sheet.
    assert_eq!(one.fingerprint(), "74FB18F50E5FA8A70325A3CAE608D76BF4BCDF2B");
    let hash = holdfast_crypto::sha256(&one.certificate_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "bdaad6863b657159b641c632b36da99f15160f8a0188b4bdc92abc7617a78b99");
}

#[test]
fn a_new_epoch_signs_with_its_own_subkey_under_the_same_primary() {
    let second = now();
    let first = Millis(second.0 - 24 * 60 * 60 * 1000);
    let old = key(first);
    let parts = [part(2, first), part(3, second)];
    let new = SigningKey::from_parts("Holdfast test", &part(1, first), &parts).unwrap();
    assert_eq!(old.fingerprint(), new.fingerprint());
    let by_old = old.sign_detached(DATA, first).unwrap();
    let by_new = new.sign_detached(DATA, second).unwrap();
    let newer = new.certificate_bytes();
    assert!(verify_detached(&newer, &by_old, DATA, second).is_ok());
    assert!(verify_detached(&newer, &by_new, DATA, second).is_ok());
    let by_unknown = verify_detached(&old.certificate_bytes(), &by_new, DATA, second);
    assert_eq!(by_unknown, Err(VerifyError::NotBySigner));
    assert!(SigningKey::from_parts("x", &part(1, first), &[]).is_err());
    // gpgv agrees, and so does what a target gathers from two restores of one vault.
    let gpg = Gpg::new();
    assert!(gpgv(&gpg, &newer, &by_old, DATA) && gpgv(&gpg, &newer, &by_new, DATA));
    assert!(!gpgv(&gpg, &old.certificate_bytes(), &by_new, DATA));
    let parts = [part(2, first), part(4, second)];
    let other = SigningKey::from_parts("Holdfast test", &part(1, first), &parts).unwrap();
    let by_other = other.sign_detached(DATA, second).unwrap();
    let both = merge_signers(&newer, &other.certificate_bytes()).unwrap();
    for signature in [&by_old, &by_new, &by_other] {
        assert!(gpgv(&gpg, &both, signature, DATA));
        assert!(verify_detached(&both, signature, DATA, second).is_ok());
    }
    assert_eq!(merge_signers(&both, &newer).as_deref(), Some(&both[..]), "nothing is lost again");
    let stranger = SigningKey::from_parts("x", &part(9, first), &[part(2, first)]).unwrap();
    assert_eq!(merge_signers(&stranger.certificate_bytes(), &newer), None);
    assert_eq!(merge_signers(b"noise", &newer), None);
}

#[test]
fn a_signature_from_the_future_names_the_clock() {
    let key = key(now());
    let signature = key.sign_detached(DATA, after(now(), 3)).unwrap();
    let result = verify_detached(&key.certificate_bytes(), &signature, DATA, now());
    assert_eq!(result, Err(VerifyError::FromTheFuture));
}

#[test]
fn a_signature_is_never_dated_before_its_subkey_and_its_binding() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    let gpg = Gpg::new();
    let days_ago = |days| Millis(now().0 - days * DAY);
    // (when the primary was made, when the subkey was): either one under a clock that was ahead.
    for (primary, subkey) in [(3, 3), (9, 3), (3, 9)].map(|(a, b)| (days_ago(a), days_ago(b))) {
        let parts = [part(2, subkey)];
        let key = SigningKey::from_parts("Holdfast test", &part(1, primary), &parts).unwrap();
        let certificate = key.certificate_bytes();
        let signature = key.sign_detached(DATA, days_ago(6)).unwrap();
        assert!(gpgv(&gpg, &certificate, &signature, DATA));
        assert!(verify_detached(&certificate, &signature, DATA, now()).is_ok());
        // So it is refused for its date, with a word of the clock, until that time.
        let early = verify_detached(&certificate, &signature, DATA, days_ago(6));
        assert_eq!(early, Err(VerifyError::FromTheFuture));
        assert_eq!(signature, key.sign_detached(DATA, primary.max(subkey)).unwrap());
    }
}

#[test]
fn a_certificate_that_cannot_sign_is_no_signer() {
    let key = key(now());
    let signature = key.sign_detached(DATA, now()).unwrap();
    let (_, custodian) = generate_custodian("Ada", now()).unwrap();
    let result = verify_detached(&custodian, &signature, DATA, now());
    assert_eq!(result, Err(VerifyError::NotBySigner));
    let result = verify_detached(b"noise", &signature, DATA, now());
    assert!(matches!(result, Err(VerifyError::Certificate(_))), "{result:?}");
}
