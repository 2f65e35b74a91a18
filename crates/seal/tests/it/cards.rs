//! Keys whose secret part is not in the file, or does not unlock; and a gpg that may not use its key.
//! The stream is good in all of these, and nothing may say that it is damaged.

use std::os::unix::fs::PermissionsExt;

use holdfast_seal::{
    Certificate, GpgAgent, Identity, IdentityError, OpenError, Opener, generate_custodian,
    open_bytes, seal_bytes,
};
use pgp::composed::{Deserializable, SignedSecretKey};
use pgp::ser::Serialize;
use pgp::types::Password;
use zeroize::Zeroizing;

use crate::gpg::Gpg;
use crate::now;

const SERIAL: [u8; 16] = [0xd2, 0x76, 0, 1, 0x24, 1, 3, 4, 0, 6, 0, 0, 0, 1, 0, 0];

/// What gpg left out of an exported key (S2K "GNU", 1) becomes a part on a card (2, and its number).
fn on_card(mut key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [tag, rest @ ..] = key {
        assert_eq!(tag & 0xc2, 0x80, "an old header with a short length");
        let octets = 1 + usize::from(tag & 1);
        let length =
            rest[..octets].iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        let (body, next) = rest[octets..].split_at(length);
        let body = match body.strip_suffix(b"GNU\x01") {
            Some(body) => [body, b"GNU\x02\x10", &SERIAL].concat(),
            None => body.to_vec(),
        };
        out.push(tag | 1);
        out.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        out.extend(body);
        key = next;
    }
    out
}

fn secret(gpg: &Gpg) -> Vec<u8> {
    gpg.run(&["--batch", "--export-secret-keys"], b"")
}

fn add(gpg: &Gpg, algorithm: &str, usage: &str) {
    let fingerprint = gpg.fingerprint("Ada");
    let args = ["--batch", "--passphrase", "", "--quick-add-key", &fingerprint, algorithm, usage];
    gpg.run(&args, b"");
}

fn certificate(gpg: &Gpg) -> Certificate {
    Certificate::read(&gpg.export("Ada"), now()).unwrap()
}

fn opened(sealed: &[u8], identity: &[u8], passphrase: Option<&str>) -> Result<Vec<u8>, OpenError> {
    let passphrase = passphrase.map(|text| Zeroizing::new(text.to_owned()));
    let identity = Identity::read(identity, passphrase.as_ref()).unwrap();
    let (plain, _) = open_bytes(sealed, &Opener::Identity(identity), 100)?;
    Ok(plain.expose_secret().to_vec())
}

#[test]
fn a_secret_part_that_is_not_in_the_file_is_named() {
    for (primary, encryption) in [("ed25519", "cv25519"), ("rsa2048", "rsa2048")] {
        let gpg = Gpg::new();
        gpg.make("Ada", primary, Some((primary, "sign")), "never");
        add(&gpg, encryption, "encr");
        let (sealed, _) = seal_bytes(b"four", &[certificate(&gpg)]).unwrap();
        assert_eq!(opened(&sealed, &secret(&gpg), None).unwrap(), b"four");
        gpg.forget_secret("e");
        let left_out = secret(&gpg);
        for identity in [on_card(&left_out), left_out] {
            let error = Identity::needs_passphrase(&identity).unwrap_err();
            assert_eq!(error, IdentityError::SecretMissing);
            let passphrase = Zeroizing::new("any".to_owned());
            for passphrase in [None, Some(&passphrase)] {
                let error = Identity::read(&identity, passphrase).unwrap_err();
                assert_eq!(error, IdentityError::SecretMissing);
            }
        }
    }
}

#[test]
fn a_primary_that_decrypts_itself_is_named_too() {
    let gpg = Gpg::new();
    let args = ["--batch", "--passphrase", "", "--quick-gen-key", "Ada", "rsa2048", "sign,encr"];
    gpg.run(&args, b"");
    let (sealed, _) = seal_bytes(b"four", &[certificate(&gpg)]).unwrap();
    assert_eq!(opened(&sealed, &secret(&gpg), None).unwrap(), b"four");
    let left_out = gpg.run(&["--batch", "--export-secret-subkeys"], b"");
    for identity in [on_card(&left_out), left_out] {
        let error = Identity::needs_passphrase(&identity).unwrap_err();
        assert_eq!(error, IdentityError::SecretMissing);
    }
}

#[test]
fn of_two_keys_the_one_in_the_file_opens() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("cv25519", "encr")), "never");
    let first = certificate(&gpg);
    gpg.forget_secret("e");
    add(&gpg, "cv25519", "encr");
    let left_out = secret(&gpg);
    let both = seal_bytes(b"both", &[certificate(&gpg)]).unwrap().0;
    let one = seal_bytes(b"one", std::slice::from_ref(&first)).unwrap().0;
    for identity in [on_card(&left_out), left_out] {
        assert_eq!(Identity::needs_passphrase(&identity), Ok(false));
        assert_eq!(opened(&both, &identity, None).unwrap(), b"both");
        match opened(&one, &identity, None) {
            Err(OpenError::SecretMissing { key }) => {
                assert_eq!(vec![key], first.encryption_key_ids());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_passphrase_of_another_part_is_a_wrong_one() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("cv25519", "encr")), "never");
    let first = certificate(&gpg);
    add(&gpg, "cv25519", "encr");
    let mut key = SignedSecretKey::from_bytes(&secret(&gpg)[..]).unwrap();
    for (subkey, passphrase) in key.secret_subkeys.iter_mut().zip(["one", "two"]) {
        subkey.key.set_password(rand::rngs::OsRng, &Password::from(passphrase)).unwrap();
    }
    let identity = key.to_bytes().unwrap();
    let sealed = seal_bytes(b"four", &[first]).unwrap().0;
    assert_eq!(opened(&sealed, &identity, Some("one")).unwrap(), b"four");
    let result = opened(&sealed, &identity, Some("two"));
    assert!(matches!(result, Err(OpenError::WrongPassphrase)), "{result:?}");
}

#[test]
fn a_primary_that_is_kept_elsewhere_needs_no_passphrase() {
    let gpg = Gpg::new();
    gpg.make("Ada", "ed25519", Some(("cv25519", "encr")), "never");
    let identity = gpg.run(&["--batch", "--export-secret-subkeys"], b"");
    let (sealed, _) = seal_bytes(b"four", &[certificate(&gpg)]).unwrap();
    assert_eq!(Identity::needs_passphrase(&identity), Ok(false));
    assert_eq!(opened(&sealed, &identity, None).unwrap(), b"four");
}

#[test]
fn a_session_key_that_does_not_decrypt_is_damage() {
    let (secret, certificate) = generate_custodian("Ada", now()).unwrap();
    let certificate = Certificate::read(&certificate, now()).unwrap();
    let (mut sealed, _) = seal_bytes(b"four", &[certificate]).unwrap();
    let last = 1 + usize::from(sealed[1]);
    sealed[last] ^= 1;
    let result = opened(&sealed, secret.as_bytes(), None);
    assert!(matches!(result, Err(OpenError::Damaged { .. })), "{result:?}");
}

/// A pinentry that answers each question for a passphrase with `answer`.
fn pinentry(gpg: &Gpg, answer: &str) {
    let script = format!(
        "#!/bin/sh\necho OK\nwhile read -r line; do\n case $line in\n GETPIN*) {answer};;\n \
         BYE*) echo OK; exit;;\n *) echo OK;;\n esac\ndone\n"
    );
    let path = gpg.file("pinentry", script.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    gpg.file("gpg-agent.conf", format!("pinentry-program {}\n", path.display()).as_bytes());
    gpg.stop_agent();
}

#[test]
fn a_gpg_that_may_not_use_its_key_says_why() {
    let gpg = Gpg::new();
    gpg.make_locked("Ada", "correct horse");
    let (_, bob) = generate_custodian("Bob", now()).unwrap();
    let (ada, bob) = (certificate(&gpg), Certificate::read(&bob, now()).unwrap());
    let streams = [vec![ada.clone()], vec![ada.clone(), bob.clone()], vec![bob, ada]];
    let agent = GpgAgent { home: Some(gpg.home().to_owned()), ..GpgAgent::default() };
    let opener = Opener::Gpg(agent);
    for (answer, says) in [
        ("exit 1", "could not be asked for"),
        ("echo 'ERR 83886179 Operation cancelled <Pinentry>'", "cancelled"),
        ("echo 'ERR 83886278 cancelled all <Pinentry>'", "cancelled"),
        ("echo 'D battery'; echo OK", "wrong"),
    ] {
        pinentry(&gpg, answer);
        for recipients in &streams {
            let sealed = seal_bytes(b"four", recipients).unwrap().0;
            match open_bytes(&sealed, &opener, 100) {
                Err(OpenError::Gpg { why }) => assert!(why.contains(says), "{answer}: {why}"),
                other => panic!("{answer}: {other:?}"),
            }
        }
    }
    pinentry(&gpg, "echo 'D correct horse'; echo OK");
    for recipients in &streams {
        let sealed = seal_bytes(b"four", recipients).unwrap().0;
        assert!(open_bytes(&sealed, &opener, 100).is_ok());
    }
}
