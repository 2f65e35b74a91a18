//! The policy on custodians' certificates, with certificates made by gpg.

use holdfast_seal::{Certificate, CertificateError, Comparison, generate_custodian, seal_bytes};

use crate::gpg::Gpg;
use crate::{after, now};

const CV25519: Option<(&str, &str)> = Some(("cv25519", "encr"));

#[track_caller]
fn refused(bytes: &[u8], at: holdfast_types::Millis) -> CertificateError {
    Certificate::read(bytes, at).expect_err("it must be refused")
}

#[test]
fn good_certificates_are_read_armored_and_binary() {
    let gpg = Gpg::new();
    gpg.make("Ada <ada@example.org>", "ed25519", CV25519, "never");
    let binary = gpg.export("Ada");
    let armored = gpg.run(&["--batch", "--armor", "--export", "Ada"], b"");
    let certificate = Certificate::read(&binary, now()).unwrap();
    assert_eq!(certificate.fingerprint(), gpg.fingerprint("Ada"));
    assert_eq!(certificate.user_ids(), ["Ada <ada@example.org>"]);
    assert_eq!(certificate.expires(), None);
    assert_eq!(certificate.encryption_key_ids().len(), 1);
    let from_armor = Certificate::read(&armored, now()).unwrap();
    assert_eq!(from_armor.to_bytes(), certificate.to_bytes());
    let again = Certificate::read(&certificate.to_bytes(), now()).unwrap();
    assert_eq!(again.fingerprint(), certificate.fingerprint());
}

#[test]
fn an_expired_certificate_is_refused_but_still_sealed_to_once_stored() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", CV25519, "2d");
    let bytes = gpg.export("Ada");
    let fresh = Certificate::read(&bytes, now()).unwrap();
    let expires = fresh.expires().expect("it expires");
    assert!(expires > after(now(), 1) && expires <= after(now(), 2));
    assert!(!fresh.is_expired(now()));
    assert_eq!(refused(&bytes, after(now(), 3)), CertificateError::Expired);

    let stored = Certificate::read_stored(&bytes, after(now(), 3)).unwrap();
    assert!(stored.is_expired(after(now(), 3)));
    let (sealed, _) = seal_bytes(b"still readable", &[stored]).unwrap();
    assert_eq!(gpg.decrypt(&sealed), b"still readable");
}

#[test]
fn an_expired_subkey_is_refused_under_a_living_primary() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", None, "never");
    let fingerprint = gpg.fingerprint("Ada");
    let add = ["--batch", "--passphrase", "", "--quick-add-key", &fingerprint, "cv25519", "encr"];
    gpg.run(&[&add[..], &["2d"]].concat(), b"");
    let bytes = gpg.export("Ada");
    assert!(Certificate::read(&bytes, now()).unwrap().expires().is_some());
    assert_eq!(refused(&bytes, after(now(), 3)), CertificateError::KeysExpired);

    // A second subkey that lives on: the expired one is passed over, also once stored.
    gpg.run(&[&add[..], &["never"]].concat(), b"");
    let bytes = gpg.export("Ada");
    let later = Certificate::read(&bytes, after(now(), 3)).unwrap();
    assert_eq!(later.encryption_key_ids().len(), 1);
    assert_eq!(later.expires(), None);
    let stored = Certificate::read_stored(&bytes, after(now(), 3)).unwrap();
    assert_eq!(stored.encryption_key_ids(), later.encryption_key_ids());
    assert_eq!(Certificate::read(&bytes, now()).unwrap().encryption_key_ids().len(), 2);
}

#[test]
fn a_revoked_certificate_is_refused_even_when_stored() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", CV25519, "never");
    assert!(Certificate::read(&gpg.export("Ada"), now()).is_ok());
    let file = format!("openpgp-revocs.d/{}.rev", gpg.fingerprint("Ada"));
    let text = std::fs::read_to_string(gpg.home().join(file)).unwrap();
    gpg.run(&["--batch", "--import"], text.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    let bytes = gpg.export("Ada");
    assert_eq!(refused(&bytes, now()), CertificateError::Revoked);
    assert_eq!(Certificate::read_stored(&bytes, now()).unwrap_err(), CertificateError::Revoked);
}

#[test]
fn a_revoked_subkey_is_refused() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", CV25519, "never");
    let script = b"key 1\nrevkey\ny\n0\n\ny\nsave\n";
    gpg.run(&["--command-fd", "0", "--passphrase", "", "--edit-key", "Ada"], script);
    assert_eq!(refused(&gpg.export("Ada"), now()), CertificateError::Revoked);
}

#[test]
fn a_certificate_whose_only_user_is_revoked_is_refused() {
    let gpg = Gpg::new();
    gpg.make("Ada One", "ed25519", CV25519, "never");
    let fingerprint = gpg.fingerprint("Ada One");
    let base = ["--batch", "--passphrase", ""];
    gpg.run(&[&base[..], &["--quick-add-uid", &fingerprint, "Ada Two"]].concat(), b"");
    gpg.run(&[&base[..], &["--quick-revoke-uid", &fingerprint, "Ada One"]].concat(), b"");
    let bytes = gpg.export(&fingerprint);
    assert!(Certificate::read(&bytes, now()).is_ok(), "one user is left");
    // gpg does not revoke the last one: cut it off instead, which leaves the revoked one.
    let only = ["--batch", "--export-filter", "keep-uid=uid =~ One", "--export", &fingerprint];
    assert_eq!(refused(&gpg.run(&only, b""), now()), CertificateError::Revoked);
}

#[test]
fn a_certificate_that_only_signs_is_refused() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("ed25519", "sign")), "never");
    assert_eq!(refused(&gpg.export("Ada"), now()), CertificateError::CannotEncrypt);
    gpg.make("Rsa", "rsa2048", None, "never");
    assert_eq!(refused(&gpg.export("Rsa"), now()), CertificateError::CannotEncrypt);
}

#[test]
fn weak_keys_and_hashes_are_refused() {
    let gpg = Gpg::new();
    gpg.make("Short", "rsa1024", Some(("rsa2048", "encr")), "never");
    let error = refused(&gpg.export("Short"), now());
    assert_eq!(error, CertificateError::Weak("RSA below 2048 bits"));
    gpg.make("Subkey", "ed25519", Some(("rsa1024", "encr")), "never");
    let error = refused(&gpg.export("Subkey"), now());
    assert_eq!(error, CertificateError::Weak("RSA below 2048 bits"));
    let sha1 = ["--cert-digest-algo", "SHA1", "--allow-weak-key-signatures"];
    gpg.make_with(&sha1, "Hash", "rsa2048", Some(("rsa2048", "encr")), "never");
    let error = refused(&gpg.export("Hash"), now());
    assert_eq!(error, CertificateError::Weak("a hash below SHA-256"));
}

#[test]
fn one_bad_user_id_does_not_spoil_the_rest() {
    let gpg = Gpg::new();
    gpg.make("Ada First", "ed25519", CV25519, "never");
    let fingerprint = gpg.fingerprint("Ada First");
    let add = ["--batch", "--passphrase", "", "--quick-add-uid", &fingerprint, "Ada Second"];
    gpg.run(&add, b"");
    let mut bytes = gpg.export(&fingerprint);
    let at = bytes.windows(9).position(|window| window == b"Ada First").unwrap();
    bytes[at] ^= 0x80;
    let certificate = Certificate::read(&bytes, now()).unwrap();
    assert_eq!(certificate.fingerprint(), fingerprint);
    // With the other spoilt too, nothing vouches for it.
    let at = bytes.windows(10).position(|window| window == b"Ada Second").unwrap();
    bytes[at] ^= 1;
    assert!(matches!(refused(&bytes, now()), CertificateError::Damaged(_)));
}

#[test]
fn secret_keys_several_certificates_and_noise_are_refused() {
    let (secret, ada) = generate_custodian("Ada", now()).unwrap();
    let (_, bob) = generate_custodian("Bob", now()).unwrap();
    assert_eq!(refused(secret.as_bytes(), now()), CertificateError::SecretKeyGiven);
    assert_eq!(refused(&[ada.clone(), bob].concat(), now()), CertificateError::Several);
    let gpg = Gpg::new();
    gpg.run(&["--batch", "--import"], &ada);
    let armored = gpg.run(&["--batch", "--armor", "--export"], b"");
    assert_eq!(refused(&armored.repeat(2), now()), CertificateError::Several);
    for noise in [&b""[..], b"hello", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"] {
        assert_eq!(refused(noise, now()), CertificateError::NotOpenPgp);
    }
    assert_eq!(refused(&vec![0x99; 65 * 1024], now()), CertificateError::TooLarge);
    for cut in 1..ada.len() {
        assert!(Certificate::read(&ada[..cut], now()).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_certificate_from_the_future_is_not_bound_yet() {
    let (_, bytes) = generate_custodian("Ada", after(now(), 3)).unwrap();
    assert!(matches!(refused(&bytes, now()), CertificateError::Damaged(_)));
    assert!(Certificate::read(&bytes, after(now(), 3)).is_ok());
}

#[test]
fn no_flip_of_a_certificate_changes_whom_is_sealed_to() {
    let (_, bytes) = generate_custodian("Ada", now()).unwrap();
    let whole = Certificate::read(&bytes, now()).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(certificate) = Certificate::read(&flipped, now()) {
            assert_eq!(certificate.fingerprint(), whole.fingerprint(), "bit {bit}");
            assert_eq!(certificate.encryption_key_ids(), whole.encryption_key_ids(), "bit {bit}");
        }
    }
}

/// What a holder exports as they go on: two encryption subkeys, the second revoked, a third in its place.
fn copies(gpg: &Gpg) -> [Vec<u8>; 3] {
    gpg.make("Bob", "ed25519", CV25519, "never");
    let fingerprint = gpg.fingerprint("Bob");
    let add = || {
        let add = ["--batch", "--passphrase", "", "--quick-add-key", &fingerprint, "cv25519"];
        gpg.run(&[&add[..], &["encr", "never"]].concat(), b"");
        gpg.export("Bob")
    };
    let before = add();
    let script = b"key 2\nrevkey\ny\n0\n\ny\nsave\n";
    gpg.run(&["--command-fd", "0", "--passphrase", "", "--edit-key", "Bob"], script);
    [before, gpg.export("Bob"), add()]
}

#[test]
fn of_two_copies_every_revocation_counts() {
    use Comparison::{Newer, Older, Same};
    let gpg = Gpg::new();
    let [before, revoked, third] = copies(&gpg);
    let keys = |bytes: &[u8]| Certificate::read(bytes, now()).unwrap().encryption_key_ids();
    assert_eq!((keys(&before).len(), keys(&revoked).len(), keys(&third).len()), (2, 1, 2));
    // One that says something new, and nothing of the revoked one.
    let [first, last] = [0, 1].map(|n| format!("{}!", keys(&third)[n]));
    let without = gpg.run(&["--batch", "--export", &first, &last], b"");
    assert!(without.len() < third.len() && keys(&without) == keys(&third));
    for (held, copy, which, like) in [
        (&before, &revoked, Newer, &revoked),
        (&before, &third, Newer, &third),
        (&revoked, &before, Older, &revoked),
        (&third, &before, Older, &third),
        (&third, &revoked, Older, &third),
        (&third, &without, Same, &third),
        (&revoked, &without, Newer, &third),
        (&third, &third, Same, &third),
    ] {
        let (merged, found) = Certificate::read_renewed(held, copy, now()).unwrap();
        assert_eq!((merged.encryption_key_ids(), found), (keys(like), which));
        let (again, found) = Certificate::read_renewed(&merged.to_bytes(), copy, now()).unwrap();
        assert_eq!(again.to_bytes(), merged.to_bytes());
        assert_ne!(found, Newer, "what was merged stays");
    }
    let (_, other) = generate_custodian("Other", now()).unwrap();
    assert!(Certificate::read_renewed(&before, &other, now()).is_err());
    assert_eq!(Certificate::read_renewed(b"noise", &before, now()).unwrap().1, Newer);
}

#[test]
fn a_key_that_comes_twice_is_one_key() {
    let gpg = Gpg::new();
    let [before, revoked, _] = copies(&gpg);
    // RFC 9580 section 4.2.2: as gpg writes packets of less than 256 bytes, here subkeys.
    let mut at = 0;
    let mut subkey = 0;
    while at < revoked.len() {
        subkey = if revoked[at] == 0x80 | 14 << 2 { at } else { subkey };
        assert_eq!(revoked[at] & 3, 0, "a length of one octet");
        at += 2 + usize::from(revoked[at + 1]);
    }
    let twice = [&before[..], &revoked[subkey..]].concat();
    let certificate = Certificate::read(&twice, now()).unwrap();
    let expected = Certificate::read(&revoked, now()).unwrap();
    assert_eq!(certificate.encryption_key_ids(), expected.encryption_key_ids());
    assert_eq!(certificate.encryption_key_ids().len(), 1);
}
