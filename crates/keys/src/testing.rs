//! Records for tests.

use holdfast_records::{
    Enclave, EnclaveState, Key, KeyKind, KeyName, KeyState, KeyVersion, Stored, Vault, VersionState,
};
use holdfast_types::{EnclaveId, Expect, KeyId, Millis, Name, Revision, Table, VaultId, Version};

pub(crate) const NOW: Millis = Millis(5000);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// As if written at revision `rev`.
pub(crate) fn at<R>(rev: u64, record: R) -> Stored<R> {
    Stored { rev: Revision(rev), at: Millis(rev), record }
}

pub(crate) fn vault() -> Stored<Vault> {
    at(1, Vault { vault_id: VaultId([1; 16]), created: Millis(1) })
}

pub(crate) fn enclave(state: EnclaveState) -> Stored<Enclave> {
    at(2, Enclave { enclave_id: EnclaveId([2; 16]), name: name("default"), state })
}

pub(crate) fn key() -> Stored<Key> {
    let record = Key {
        key_id: KeyId([3; 16]),
        enclave_id: EnclaveId([2; 16]),
        name: name("orders"),
        kind: KeyKind::Aes256,
        state: KeyState::Active,
        primary: Version(2),
        created: Millis(3),
    };
    at(3, record)
}

pub(crate) fn deleted() -> Stored<Key> {
    let record = Key { state: KeyState::Deleted { at: Millis(4) }, ..key().record };
    at(4, record)
}

pub(crate) fn key_name(text: &str, key: u8) -> Stored<KeyName> {
    let (enclave_id, key_id) = (EnclaveId([2; 16]), KeyId([key; 16]));
    at(6, KeyName { enclave_id, name: name(text), key_id })
}

pub(crate) fn version(number: u32, state: VersionState) -> Stored<KeyVersion> {
    let record = KeyVersion {
        key_id: KeyId([3; 16]),
        version: Version(number),
        enclave_id: EnclaveId([2; 16]),
        kind: KeyKind::Aes256,
        state,
        kcv: [7; 8],
        wrapped: vec![number as u8; 4],
    };
    at(10 + u64::from(number), record)
}

/// A draft as (table, expectation, W(rite) / D(elete) / R(equire)), and a check that it keeps the contract:
/// what is written is expected, and written once.
pub(crate) fn shape(draft: &holdfast_types::Draft) -> Vec<(Table, Option<u64>, char)> {
    let written = |table, key: &Vec<u8>| {
        let mut found = draft.write.iter().filter(|write| write.0 == table && write.1 == *key);
        let first = found.next();
        assert!(found.next().is_none(), "written once");
        first.map(|write| write.2.is_some())
    };
    for (table, key, _) in &draft.write {
        assert_eq!(draft.expect.iter().filter(|e| e.0 == *table && e.1 == *key).count(), 1);
    }
    let mut shape: Vec<_> = draft
        .expect
        .iter()
        .map(|(table, key, expect)| {
            let rev = match expect {
                Expect::Absent => None,
                Expect::At(rev) => Some(rev.0),
            };
            let what = match written(*table, key) {
                None => 'R',
                Some(true) => 'W',
                Some(false) => 'D',
            };
            (*table, rev, what)
        })
        .collect();
    shape.sort();
    shape
}
