//! Key check values (ANSI X9.24 has the idea): 8 bytes that tell the right key from a wrong one
//! without showing it. Layout: `formats/keys.md` §1.
//!
//! A version's value binds vault, key and version, so equal secrets do not show as equal. Values of
//! versions appear only inside the seal.

use holdfast_types::{Generation, KeyId, VaultId, Version};

use crate::hkdf_sha256;

/// A key check value.
pub type Kcv = [u8; 8];

/// Of a key version's raw secret.
#[must_use]
pub fn version_kcv(vault: VaultId, key: KeyId, version: Version, secret: &[u8]) -> Kcv {
    let mut salt = [0; 36];
    salt[..16].copy_from_slice(&vault.0);
    salt[16..32].copy_from_slice(&key.0);
    salt[32..].copy_from_slice(&version.0.to_be_bytes());
    let mut kcv = Kcv::default();
    hkdf_sha256(secret, &salt, b"holdfast/v1/kcv", &mut kcv);
    kcv
}

/// Of a root.
#[must_use]
pub fn root_kcv(vault: VaultId, generation: Generation, root: &[u8; 32]) -> Kcv {
    let mut info = *b"holdfast/v1/kcv/root....";
    let number = info.len() - 4;
    info[number..].copy_from_slice(&generation.0.to_be_bytes());
    let mut kcv = Kcv::default();
    hkdf_sha256(root, &vault.0, &info, &mut kcv);
    kcv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_depend_on_everything_that_they_bind() {
        let (vault, key, v) = (VaultId([1; 16]), KeyId([2; 16]), Version(3));
        let kcv = version_kcv(vault, key, v, &[4; 32]);
        assert_eq!(kcv, version_kcv(vault, key, v, &[4; 32]));
        assert_ne!(kcv, version_kcv(VaultId([9; 16]), key, v, &[4; 32]));
        assert_ne!(kcv, version_kcv(vault, KeyId([9; 16]), v, &[4; 32]));
        assert_ne!(kcv, version_kcv(vault, key, Version(9), &[4; 32]));
        assert_ne!(kcv, version_kcv(vault, key, v, &[9; 32]));
        let root = root_kcv(vault, Generation(1), &[4; 32]);
        assert_ne!(root, root_kcv(vault, Generation(2), &[4; 32]));
        assert_ne!(root, root_kcv(VaultId([9; 16]), Generation(1), &[4; 32]));
    }
}
