//! `testdata/keys/v1.txt` opens, for ever.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use holdfast_keyring::{Keyring, KeyringError, SecretRef, SoftKey};
use holdfast_records::{KeyKind, KeyVersion, SecretKind, SessionKey, VersionState};
use holdfast_types::{Generation, KeyId, SecretId, SlotId, Version};

use crate::{ENCLAVE, VAULT};

const GOLDEN: &str = include_str!("../../../../testdata/keys/v1.txt");
const G: Generation = Generation(1);

fn golden() -> HashMap<&'static str, Vec<u8>> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &'static str| {
        let (name, hex) = line.split_once(' ').expect("name and hex");
        (name, HEXLOWER.decode(hex.as_bytes()).expect("hex"))
    };
    lines.map(pair).collect()
}

fn kcv(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().expect("eight bytes")
}

fn keyring(golden: &HashMap<&str, Vec<u8>>) -> Keyring {
    let keyring = Keyring::new(VAULT);
    let loaded = keyring.load_slot_payload(&golden["slot-payload"], &kcv(&golden["root-kcv"]));
    assert_eq!(loaded, Ok(G));
    keyring
}

fn version(golden: &HashMap<&str, Vec<u8>>) -> KeyVersion {
    KeyVersion {
        key_id: KeyId([0xc0; 16]),
        version: Version(1),
        enclave_id: ENCLAVE,
        kind: KeyKind::Aes256,
        state: VersionState::Active,
        kcv: kcv(&golden["version-kcv"]),
        wrapped: golden["version"].clone(),
    }
}

#[test]
fn messages_open() {
    let golden = golden();
    let (keyring, version) = (keyring(&golden), version(&golden));
    assert_eq!(keyring.check_version(&version), Ok(()));
    let check = |name: &str, context: &[u8], plaintext: &[u8]| {
        let opened = keyring.decrypt(&version, context, &golden[name]).expect(name);
        assert_eq!(opened.expose_secret(), plaintext);
        let other = keyring.decrypt(&version, b"another", &golden[name]);
        assert_eq!(other, Err(KeyringError::NotAuthentic));
    };
    check("message", b"", b"attack at dawn");
    check("message-context", &[0x55; 300], b"attack at dawn");
    check("message-empty", b"orders", b"");
}

#[test]
fn secrets_unwrap() {
    let golden = golden();
    let keyring = keyring(&golden);
    assert_eq!(keyring.check_canary(G, &golden["canary"]), Ok(()));
    let check = |name: &str, what| {
        let secret = keyring.unwrap_secret(what, &golden[name]).expect(name);
        assert_eq!(secret.expose_secret(), [0x33; 32]);
    };
    let id = SecretId([0xe0; 16]);
    for (name, kind) in [
        ("ca", SecretKind::Ca),
        ("signing-primary", SecretKind::SigningPrimary),
        ("signing", SecretKind::Signing),
        ("token", SecretKind::Token),
    ] {
        check(name, SecretRef::ClusterSecret { id, n: 1, kind });
    }
    check("session", SecretRef::SessionKey { n: 2, id: [0xf0; 16] });
    check("session-archive", SecretRef::SessionKey { n: SessionKey::ARCHIVE, id: [0xf0; 16] });
    check("session-slot", SecretRef::SessionKey { n: SessionKey::SLOT, id: [0xd0; 16] });
}

#[test]
fn soft_slot_opens() {
    let golden = golden();
    let keyring = Keyring::new(VAULT);
    let soft_key = SoftKey::read(&[0x44; 32]).expect("32 bytes");
    let (slot, kcv) = (SlotId([0xd0; 16]), kcv(&golden["root-kcv"]));
    assert_eq!(keyring.open_soft(G, slot, &golden["soft-slot"], &soft_key, &kcv), Ok(()));
    assert_eq!(keyring.check_version(&version(&golden)), Ok(()));
}
