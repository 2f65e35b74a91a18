//! The packet that ends what a seal holds: a SHA-1 of all before it, and of its own header (RFC 9580 §5.13.1, §5.14).

use sha1::{Digest as _, Sha1};

/// Its header: new format, tag 19, 20 bytes.
const HEAD: [u8; 2] = [0xD3, 20];
/// Size of the packet.
pub(crate) const MDC_BYTES: usize = HEAD.len() + 20;
/// Size of what SHA-1 takes at once, and holds back of it.
const HASH_BLOCK_BYTES: usize = 64;

/// Takes all the plaintext there is, and wipes what it held of it, which stays where it is when this is moved.
pub(crate) struct Mdc(Box<Sha1>);

impl Mdc {
    pub(crate) fn new() -> Self {
        Self(Box::new(Sha1::new()))
    }

    pub(crate) fn update(&mut self, plain: &[u8]) {
        self.0.update(plain);
    }

    /// The packet; it begins anew.
    pub(crate) fn packet(&mut self) -> [u8; MDC_BYTES] {
        self.0.update(HEAD);
        let mut packet = [0; MDC_BYTES];
        packet[..HEAD.len()].copy_from_slice(&HEAD);
        packet[HEAD.len()..].copy_from_slice(&self.0.finalize_reset());
        packet
    }
}

impl Drop for Mdc {
    fn drop(&mut self) {
        // To finish writes the end of the block, and this what is before it.
        self.0.finalize_reset();
        self.0.update([0; HASH_BLOCK_BYTES - 1]);
        std::hint::black_box(&mut *self.0);
    }
}
