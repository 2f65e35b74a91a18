//! XAES-256-GCM (C2SP, `c2sp.org/XAES-256-GCM`): AES-256-GCM with a 192-bit nonce, random without
//! worry: 2^80 messages under one key at a risk of 2^-32.
//!
//! The first 12 bytes of the nonce derive a key by CMAC in counter mode (SP 800-108, SP 800-38B),
//! the last 12 are the nonce of AES-256-GCM under it. Both CMAC messages are one full block, so the
//! derivation is three AES blocks, of which the first depends on the key alone:
//!
//! ```text
//! K1 = L << 1 in GF(2^128), L = AES(K, 0^128)
//! Kx = AES(K, K1 ^ (00 01 'X' 00 ‖ N[..12])) ‖ AES(K, K1 ^ (00 02 'X' 00 ‖ N[..12]))
//! ```

use aes::Aes256Enc;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};

use crate::{AtHand, NONCE_BYTES, NotAuthentic, SecretBytes, gcm};

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;
/// Bytes of the tag at the end of every ciphertext.
pub const TAG_BYTES: usize = gcm::TAG_BYTES;

/// Seals `plaintext`: returns ciphertext ‖ tag. `nonce` must be random ([`crate::nonce`]).
///
/// # Panics
/// Above 2^36 - 32 bytes of plaintext; callers' limits are far below.
#[must_use]
pub fn seal(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    seal_into(key, nonce, aad, plaintext, &mut out);
    out
}

/// Like [`seal`], appending to `out` so that a header can stand in front.
pub fn seal_into(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    let (prefix, rest) = split(nonce);
    gcm::seal_into(&derive(key, prefix), rest, aad, plaintext, out);
}

/// Opens ciphertext ‖ tag. Every cause of failure is the same error.
pub fn open(
    key: &[u8; KEY_BYTES],
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, NotAuthentic> {
    let (prefix, rest) = split(nonce);
    gcm::open(&derive(key, prefix), rest, aad, sealed)
}

fn split(nonce: &[u8; NONCE_BYTES]) -> ([u8; 12], [u8; 12]) {
    let (mut prefix, mut rest) = ([0; 12], [0; 12]);
    prefix.copy_from_slice(&nonce[..12]);
    rest.copy_from_slice(&nonce[12..]);
    (prefix, rest)
}

/// The key of one nonce prefix.
fn derive(key: &[u8; KEY_BYTES], prefix: [u8; 12]) -> AtHand<32> {
    let aes = Aes256Enc::new(key.into());
    let mut k1 = AtHand::new([0; 16]);
    aes.encrypt_block((&mut *k1).into());
    double(&mut k1);
    let mut derived = AtHand::new([0; 32]);
    for (i, block) in derived.chunks_exact_mut(16).enumerate() {
        block[1] = if i == 0 { 1 } else { 2 };
        block[2] = b'X';
        block[4..].copy_from_slice(&prefix);
        block.iter_mut().zip(k1.iter()).for_each(|(byte, k)| *byte ^= k);
        aes.encrypt_block(GenericArray::from_mut_slice(block));
    }
    derived
}

/// Doubles in GF(2^128) with the polynomial 0x87 (SP 800-38B §6.1), without a branch on the secret.
fn double(block: &mut [u8; 16]) {
    let value = u128::from_be_bytes(*block);
    let carry = value >> 127;
    *block = ((value << 1) ^ (carry * 0x87)).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use sha3::Shake128;
    use sha3::digest::{ExtendableOutput, Update, XofReader};

    const NONCE: &[u8; 24] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    fn check(key: [u8; 32], aad: &[u8], derived: &str, sealed: &str) {
        assert_eq!(HEXLOWER.encode(&derive(&key, split(NONCE).0)[..]), derived);
        assert_eq!(HEXLOWER.encode(&seal(&key, NONCE, aad, b"XAES-256-GCM")), sealed);
        let bytes = HEXLOWER.decode(sealed.as_bytes()).expect("hex");
        assert_eq!(open(&key, NONCE, aad, &bytes), Ok(b"XAES-256-GCM".to_vec().into()));
    }

    #[test]
    fn published_vectors() {
        check(
            [1; 32],
            b"",
            "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
        );
        check(
            [3; 32],
            b"c2sp.org/XAES-256-GCM",
            "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
        );
    }

    #[test]
    fn accumulated_vector() {
        let mut source = Shake128::default().finalize_xof();
        let mut sink = Shake128::default();
        for _ in 0..10_000 {
            let (mut key, mut nonce) = ([0; 32], [0; 24]);
            source.read(&mut key);
            source.read(&mut nonce);
            let plaintext = sized(&mut source);
            let aad = sized(&mut source);
            let sealed = seal(&key, &nonce, &aad, &plaintext);
            assert_eq!(open(&key, &nonce, &aad, &sealed), Ok(plaintext.into()));
            sink.update(&sealed);
        }
        let mut sum = [0; 32];
        sink.finalize_xof().read(&mut sum);
        let published = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939";
        assert_eq!(HEXLOWER.encode(&sum), published);
    }

    /// One byte of length, and that many bytes.
    fn sized(source: &mut impl XofReader) -> Vec<u8> {
        let mut length = [0];
        source.read(&mut length);
        let mut bytes = vec![0; usize::from(length[0])];
        source.read(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_shorter_than_a_tag_is_not_authentic() {
        for length in 0..TAG_BYTES {
            assert_eq!(open(&[1; 32], NONCE, b"", &vec![0; length]), Err(NotAuthentic));
        }
    }

    proptest! {
        #[test]
        fn any_flip_is_refused(
            key: [u8; 32],
            nonce: [u8; 24],
            aad in proptest::collection::vec(any::<u8>(), 1..40),
            plaintext in proptest::collection::vec(any::<u8>(), 0..80),
            place: proptest::sample::Index,
            bit in 0u8..8,
        ) {
            let sealed = seal(&key, &nonce, &aad, &plaintext);
            let flip = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                let at = place.index(bytes.len());
                bytes[at] ^= 1 << bit;
                bytes
            };
            prop_assert_eq!(open(&key, &nonce, &aad, &flip(&sealed)), Err(NotAuthentic));
            prop_assert_eq!(open(&key, &nonce, &flip(&aad), &sealed), Err(NotAuthentic));
            let other: [u8; 24] = flip(&nonce).try_into().expect("24");
            prop_assert_eq!(open(&key, &other, &aad, &sealed), Err(NotAuthentic));
            let other: [u8; 32] = flip(&key).try_into().expect("32");
            prop_assert_eq!(open(&other, &nonce, &aad, &sealed), Err(NotAuthentic));
        }
    }
}
