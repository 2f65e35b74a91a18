//! The keyring through its public interface.

mod golden;
mod operations;
mod recover;

use holdfast_keyring::{Keyring, NewVersion};
use holdfast_records::{KeyKind, KeyVersion, VersionState};
use holdfast_types::{EnclaveId, Generation, KeyId, VaultId, Version};

const VAULT: VaultId = VaultId([0xa0; 16]);
const ENCLAVE: EnclaveId = EnclaveId([0xb0; 16]);

/// A keyring with a root of generation 1.
fn open_keyring() -> Keyring {
    let keyring = Keyring::new(VAULT);
    assert_eq!(keyring.generate_root(), Ok(Generation(1)));
    keyring
}

/// A new version as the row that would hold it.
fn new_version(keyring: &Keyring, key: u8, version: u32) -> KeyVersion {
    let (key_id, version, kind) = (KeyId([key; 16]), Version(version), KeyKind::Aes256);
    let NewVersion { wrapped, kcv, .. } =
        keyring.new_version(ENCLAVE, key_id, version, kind).expect("the root is open");
    KeyVersion {
        key_id,
        version,
        enclave_id: ENCLAVE,
        kind,
        state: VersionState::Active,
        kcv,
        wrapped,
    }
}

/// The check value of an open root.
fn root_kcv(keyring: &Keyring) -> holdfast_keyring::Kcv {
    keyring.root_kcv(Generation(1)).expect("the root is open")
}
