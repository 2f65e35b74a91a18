//! BLAKE3 in key-derivation mode with a long output.
//!
//! The blocks of a long output are one and the same compression under the counters 0, 1, 2, … (BLAKE3, §2.6), so
//! they can be computed side by side. The `blake3` crate does so with AVX-512 alone and makes one after the other
//! elsewhere: of the short rows and long elements of a digest that was a quarter of a restore's CPU time. With AVX2
//! we do it; all else is the crate's.

#[cfg(target_arch = "x86_64")]
mod avx2;

use blake3::Hasher;

/// Bytes of an output.
pub(super) const OUT_BYTES: usize = 2048;

/// Derives outputs under one context.
pub(super) struct Xof {
    hasher: Hasher,
    #[cfg(target_arch = "x86_64")]
    wide: Option<avx2::Xof>,
}

impl Xof {
    /// For a context. It costs as much as a short output.
    pub(super) fn new(context: &str) -> Self {
        Self {
            hasher: Hasher::new_derive_key(context),
            #[cfg(target_arch = "x86_64")]
            wide: avx2::Xof::new(context),
        }
    }

    /// The output for `input`.
    pub(super) fn fill(&self, input: &[u8], out: &mut [u8; OUT_BYTES]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(wide) = &self.wide
            && input.len() <= avx2::INPUT_BYTES_MAX
        {
            return wide.fill(input, out);
        }
        self.hasher.clone().update(input).finalize_xof().fill(out);
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::hex;
    use proptest::prelude::*;

    use super::*;

    /// Lines of the published `test_vectors.json` (BLAKE3 team), mode `derive_key`: the length of an input of 0, 1, …
    /// 250, 0, 1, … and the first 131 bytes of its output.
    const PUBLISHED: &str = include_str!("../../../../testdata/machine/blake3-derive-key.txt");
    const CONTEXT: &str = "BLAKE3 2019-12-27 16:29:52 test vectors context";

    fn input(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    fn output(context: &str, input: &[u8]) -> [u8; OUT_BYTES] {
        let mut out = [0; OUT_BYTES];
        Xof::new(context).fill(input, &mut out);
        out
    }

    fn check(context: &str, input: &[u8]) {
        let mut expected = [0; OUT_BYTES];
        Hasher::new_derive_key(context).update(input).finalize_xof().fill(&mut expected);
        assert!(output(context, input) == expected, "{} bytes", input.len());
    }

    #[test]
    fn published_vectors() {
        for line in PUBLISHED.lines() {
            let (len, begin) = line.split_once(' ').expect("a length and an output");
            let output = output(CONTEXT, &input(len.parse().expect("a number")));
            assert_eq!(hex::encode(&output[..131]), begin, "{len} bytes");
        }
        assert_eq!(PUBLISHED.lines().count(), 5);
    }

    #[test]
    fn outputs_are_the_crates_at_every_length() {
        (0..=1100).chain([3000]).for_each(|len| check(CONTEXT, &input(len)));
    }

    proptest! {
        #[test]
        fn outputs_are_the_crates(context: String, input in proptest::collection::vec(any::<u8>(), 0..1200)) {
            check(&context, &input);
        }
    }
}
