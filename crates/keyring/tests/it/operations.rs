//! What callers rely on: round trips, distinct errors, what binds what.

use holdfast_keyring::{CiphertextError, Keyring, KeyringError, SecretRef, SoftKey};
use holdfast_records::{KeyVersion, SecretKind};
use holdfast_types::{EnclaveId, Generation, KeyId, SecretId, SlotId, VaultId, Version};
use proptest::prelude::*;

use crate::{VAULT, new_version, open_keyring, root_kcv};

const G: Generation = Generation(1);

#[test]
fn a_sealed_keyring_does_nothing() {
    let version = new_version(&open_keyring(), 1, 1);
    let sealed = Keyring::new(VAULT);
    assert!(!sealed.is_open());
    assert_eq!(sealed.current(), None);
    assert_eq!(sealed.encrypt(&version, b"", b""), Err(KeyringError::Sealed));
    assert_eq!(sealed.check_version(&version), Err(KeyringError::Sealed));
    assert_eq!(sealed.slot_payload(G), Err(KeyringError::Sealed));
    assert_eq!(sealed.canary(G), Err(KeyringError::Sealed));
}

#[test]
fn there_is_one_first_root() {
    let keyring = open_keyring();
    assert_eq!(keyring.generate_root(), Err(KeyringError::RootExists(G)));
    assert_ne!(root_kcv(&keyring), root_kcv(&open_keyring()), "roots are random");
}

#[test]
fn a_slot_payload_opens_another_keyring() {
    let (first, second) = (open_keyring(), Keyring::new(VAULT));
    let version = new_version(&first, 1, 1);
    let payload = first.slot_payload(G).expect("open");
    let payload = payload.expose_secret();
    let wrong = second.load_slot_payload(payload, &[0; 8]);
    assert_eq!(wrong, Err(KeyringError::RootMismatch(G)));
    assert!(!second.is_open(), "a root that does not match is not kept");
    assert_eq!(second.load_slot_payload(payload, &root_kcv(&first)), Ok(G));
    assert_eq!(second.load_slot_payload(payload, &root_kcv(&first)), Ok(G), "again");
    let message = first.encrypt(&version, b"context", b"hello").expect("open");
    let opened = second.decrypt(&version, b"context", &message).expect("the same root");
    assert_eq!(opened.expose_secret(), b"hello");
    let other = Keyring::new(VaultId([9; 16])).load_slot_payload(payload, &root_kcv(&first));
    assert_eq!(other, Err(KeyringError::AnotherVault(VAULT)));
}

#[test]
fn a_soft_slot_needs_its_key() {
    let (first, second) = (open_keyring(), Keyring::new(VAULT));
    let (soft_key, slot) = (SoftKey::generate(), SlotId([5; 16]));
    let sealed = first.seal_soft(G, slot, &soft_key).expect("open");
    let kcv = root_kcv(&first);
    let open = |key: &SoftKey, sealed: &[u8], kcv| second.open_soft(G, slot, sealed, key, kcv);
    assert_eq!(open(&SoftKey::generate(), &sealed, &kcv), Err(KeyringError::SoftKeyWrong));
    for damaged in [&sealed[..sealed.len() - 1], &[&[0], &sealed[1..]].concat(), &[]] {
        let error = open(&soft_key, damaged, &kcv).expect_err("damaged");
        assert!(matches!(error, KeyringError::WrappedDamaged(_)), "{error}");
    }
    let newer = [&[2], &sealed[1..], &[0; 9]].concat();
    assert!(matches!(open(&soft_key, &newer, &kcv), Err(KeyringError::WrappedFormat(_))));
    assert_eq!(open(&soft_key, &sealed, &[0; 8]), Err(KeyringError::RootMismatch(G)));
    assert!(!second.is_open());
    assert_eq!(open(&soft_key, &sealed, &kcv), Ok(()));
    assert_eq!(second.current(), Some(G));
    let copy = SoftKey::read(soft_key.expose_secret()).expect("32 bytes");
    assert_eq!(copy, soft_key, "the file holds the key itself");
}

#[test]
fn a_wrap_binds_its_row() {
    let keyring = open_keyring();
    let good = new_version(&keyring, 1, 1);
    assert_eq!(keyring.check_version(&good), Ok(()));
    let damaged = |moved: KeyVersion| {
        let error = keyring.check_version(&moved).expect_err("moved");
        assert!(matches!(error, KeyringError::WrappedDamaged(_)), "{error}");
    };
    damaged(KeyVersion { key_id: KeyId([2; 16]), ..good.clone() });
    damaged(KeyVersion { version: Version(2), ..good.clone() });
    damaged(KeyVersion { enclave_id: EnclaveId([9; 16]), ..good.clone() });
    let mut flipped = good.clone();
    flipped.wrapped[40] ^= 1;
    damaged(flipped);
    let mut newer = good.clone();
    newer.wrapped[0] = 2;
    let error = keyring.check_version(&newer).expect_err("format 2");
    assert!(matches!(error, KeyringError::WrappedFormat(_)));
    let mut later = good.clone();
    later.wrapped[4] = 7;
    assert_eq!(keyring.check_version(&later), Err(KeyringError::NoRoot(Generation(7))));
    let mut kcv = good.clone();
    kcv.kcv[0] ^= 1;
    let mismatch = KeyringError::VersionMismatch { key: good.key_id, version: good.version };
    assert_eq!(keyring.check_version(&kcv), Err(mismatch));
    for cut in [0, 1, good.wrapped.len() - 1] {
        damaged(KeyVersion { wrapped: good.wrapped[..cut].to_vec(), ..good.clone() });
    }
    for first in [0, 0x81, 0xff] {
        let mut other = good.clone();
        other.wrapped[0] = first;
        damaged(other);
    }
}

#[test]
fn a_cached_version_still_needs_its_record() {
    let keyring = open_keyring();
    let good = new_version(&keyring, 1, 1);
    keyring.encrypt(&good, b"", b"").expect("cached from here on");
    let mut other = good.clone();
    other.kcv[0] ^= 1;
    let error = keyring.encrypt(&other, b"", b"").expect_err("another check value");
    assert!(matches!(error, KeyringError::VersionMismatch { .. }));
    let gone = KeyVersion { wrapped: Vec::new(), ..good.clone() };
    assert_eq!(keyring.cached_versions(), 1);
    keyring.forget(good.key_id);
    assert_eq!(keyring.cached_versions(), 0);
    let error = keyring.encrypt(&gone, b"", b"").expect_err("nothing cached, nothing wrapped");
    assert!(matches!(error, KeyringError::WrappedDamaged(_)));
}

#[test]
fn cluster_secrets_bind_their_place() {
    let keyring = open_keyring();
    let what = |n, kind| SecretRef::ClusterSecret { id: SecretId([1; 16]), n, kind };
    let wrapped = keyring.wrap_secret(what(1, SecretKind::Ca), b"seed").expect("open");
    let opened = keyring.unwrap_secret(what(1, SecretKind::Ca), &wrapped).expect("its place");
    assert_eq!(opened.expose_secret(), b"seed");
    let session = SecretRef::SessionKey { n: 1, id: [1; 16] };
    for other in [what(2, SecretKind::Ca), what(1, SecretKind::Signing), session] {
        let error = keyring.unwrap_secret(other, &wrapped).expect_err("another place");
        assert!(matches!(error, KeyringError::WrappedDamaged(_)), "{error}");
    }
    let canary = keyring.canary(G).expect("open");
    assert_eq!(keyring.check_canary(G, &canary), Ok(()));
    let other = open_keyring().check_canary(G, &canary).expect_err("another root");
    assert!(matches!(other, KeyringError::WrappedDamaged(_)));
    assert!(keyring.check_canary(Generation(2), &canary).is_err(), "another generation's");
}

#[test]
fn data_keys_come_back() {
    let keyring = open_keyring();
    let version = new_version(&keyring, 1, 1);
    let (data_key, ciphertext) = keyring.generate_data_key(&version, b"disk").expect("open");
    assert_eq!(data_key.len(), 32);
    assert_eq!(keyring.decrypt(&version, b"disk", &ciphertext), Ok(data_key.clone()));
    let (other, _) = keyring.generate_data_key(&version, b"disk").expect("open");
    assert_ne!(other, data_key);
}

#[test]
fn the_header_picks_one_version() {
    let keyring = open_keyring();
    let (first, second) = (new_version(&keyring, 1, 1), new_version(&keyring, 1, 2));
    let message = keyring.encrypt(&first, b"", b"x").expect("open");
    let wrong = KeyringError::WrongKey { key: first.key_id, version: first.version };
    assert_eq!(keyring.decrypt(&second, b"", &message), Err(wrong));
    let short = keyring.decrypt(&first, b"", &message[..60]);
    assert_eq!(short, Err(CiphertextError::TooShort.into()));
    let mut newer = message.clone();
    newer[0] = 9;
    let unknown = keyring.decrypt(&first, b"", &newer);
    assert_eq!(unknown, Err(CiphertextError::UnknownFormat(9).into()));
}

#[test]
fn threads_share_a_keyring() {
    let keyring = open_keyring();
    let versions: Vec<_> = (1..=8).map(|key| new_version(&keyring, key, 1)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (keyring, versions) = (&keyring, &versions);
            scope.spawn(move || {
                for i in 0..500 {
                    let version = &versions[(i + thread) % versions.len()];
                    let message = keyring.encrypt(version, b"c", b"hello").expect("open");
                    let opened = keyring.decrypt(version, b"c", &message).expect("its own");
                    assert_eq!(opened.expose_secret(), b"hello");
                    if i % 50 == 0 {
                        keyring.forget(version.key_id);
                    }
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_change_of_a_ciphertext_is_an_error(
        plaintext in proptest::collection::vec(any::<u8>(), 0..200),
        context in proptest::collection::vec(any::<u8>(), 0..300),
        place: proptest::sample::Index,
        bit in 0u8..8,
    ) {
        let keyring = open_keyring();
        let version = new_version(&keyring, 1, 1);
        let message = keyring.encrypt(&version, &context, &plaintext).expect("open");
        prop_assert_eq!(message.len(), plaintext.len() + 61);
        let opened = keyring.decrypt(&version, &context, &message).expect("unchanged");
        prop_assert_eq!(opened.expose_secret(), &plaintext[..]);

        let at = place.index(message.len());
        let mut flipped = message.clone();
        flipped[at] ^= 1 << bit;
        let error = keyring.decrypt(&version, &context, &flipped).expect_err("a flipped bit");
        match at {
            0 => prop_assert!(matches!(error, KeyringError::Ciphertext(_))),
            1..=20 => {
                let wrong_key = matches!(error, KeyringError::WrongKey { .. });
                prop_assert!(wrong_key, "{}", error);
            }
            _ => prop_assert_eq!(error, KeyringError::NotAuthentic),
        }
        let cut = keyring.decrypt(&version, &context, &message[..at]).expect_err("a cut");
        let expected = match at {
            0 => CiphertextError::Empty.into(),
            1..61 => CiphertextError::TooShort.into(),
            _ => KeyringError::NotAuthentic,
        };
        prop_assert_eq!(cut, expected);
    }
}
