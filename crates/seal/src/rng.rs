//! The one random source, in the shape rPGP asks for.

use rand::{CryptoRng, Error, RngCore};

/// AWS-LC's generator, as an argument to rPGP.
pub(crate) struct Rng;

impl RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        u32::from_ne_bytes(holdfast_crypto::random_array())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_ne_bytes(holdfast_crypto::random_array())
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        holdfast_crypto::random(out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        holdfast_crypto::random(out);
        Ok(())
    }
}

impl CryptoRng for Rng {}
