//! A buffer that is wiped when it is dropped.

use std::ops::{Deref, DerefMut};

use zeroize::Zeroize as _;

/// Bytes that may be a secret. Whoever writes them sees to it that the buffer never grows: growing copies.
///
/// Wiped as a whole, where a `Zeroizing<Vec<u8>>` does it byte by byte; as `SecretBytes` of `holdfast-crypto`, on
/// which the wire types of a client do not depend.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct WipedVec(Vec<u8>);

impl From<Vec<u8>> for WipedVec {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for WipedVec {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for WipedVec {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for WipedVec {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl AsRef<[u8]> for WipedVec {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
