//! Types that hold secrets: on the heap, wiped on drop, compared in constant time, printed as
//! `<redacted>`, opened through one visible door.

use std::fmt;
use std::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret of `N` bytes. It is boxed, so that moving it copies a pointer and leaves no bytes behind.
#[derive(PartialEq, Eq)]
pub struct Secret<const N: usize>(Box<AtHand<N>>);

impl<const N: usize> Secret<N> {
    /// Draws `N` random bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self::fill_with(crate::random)
    }

    /// Lets `fill` write the bytes where they will stay.
    #[must_use]
    pub fn fill_with(fill: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = Box::new(AtHand::new([0; N]));
        fill(&mut bytes[..]);
        Self(bytes)
    }

    /// Copies `bytes`, whose owner wipes the original.
    #[must_use]
    pub fn copy_from(bytes: &[u8; N]) -> Self {
        Self::fill_with(|own| own.copy_from_slice(bytes))
    }

    /// Copies `bytes`; `None` unless there are `N`.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::fill_with(|own| own.copy_from_slice(bytes)))
    }

    /// The bytes. Do not copy them where nobody wipes them.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Clone for Secret<N> {
    /// From heap to heap: a derived clone passes through the stack, which nobody wipes.
    fn clone(&self) -> Self {
        Self::copy_from(self.expose_secret())
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(<redacted>)")
    }
}

/// A secret of `N` bytes where it is used, on the stack: moving it leaves bytes behind, so it is not for keeping.
/// Wiped on drop as a whole, where `Zeroizing` wipes an array byte by byte.
pub struct AtHand<const N: usize>([u8; N]);

impl<const N: usize> AtHand<N> {
    /// These bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> Deref for AtHand<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for AtHand<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> PartialEq for AtHand<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0[..].ct_eq(&other.0[..]).into()
    }
}

impl<const N: usize> Eq for AtHand<N> {}

impl<const N: usize> fmt::Debug for AtHand<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AtHand<{N}>(<redacted>)")
    }
}

impl<const N: usize> Drop for AtHand<N> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// A secret of any length, wiped on drop with all the capacity of its buffer, and as a whole: `Vec::zeroize`
/// goes byte by byte.
#[derive(Clone, Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// The bytes. Do not copy them where nobody wipes them.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes: not a secret.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, to be changed where they are.
    #[must_use]
    pub fn expose_secret_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps the first `len` bytes; the others are wiped with them.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

impl From<Vec<u8>> for SecretBytes {
    /// Takes the buffer over. A vector that grew has left copies behind: allocate it at full size.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> From<&Secret<N>> for SecretBytes {
    fn from(secret: &Secret<N>) -> Self {
        Self::from(secret.expose_secret().to_vec())
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes, <redacted>)", self.len())
    }
}

impl Zeroize for SecretBytes {
    fn zeroize(&mut self) {
        self.0.as_mut_slice().zeroize();
        self.0.spare_capacity_mut().zeroize();
        self.0.clear();
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::<4>::copy_from(&[0x5a; 4]);
        assert_eq!(format!("{secret:?}"), "Secret<4>(<redacted>)");
        let bytes = SecretBytes::from(&secret);
        assert_eq!(format!("{bytes:?}"), "SecretBytes(4 bytes, <redacted>)");
        let at_hand = AtHand::new(*secret.expose_secret());
        assert_eq!(format!("{at_hand:?}"), "AtHand<4>(<redacted>)");
    }

    #[test]
    fn secrets_compare_by_value() {
        let secret = Secret::<4>::copy_from(&[1, 2, 3, 4]);
        assert_eq!(Secret::from_slice(&[1, 2, 3, 4]), Some(secret.clone()));
        assert_ne!(Secret::from_slice(&[1, 2, 3, 5]), Some(secret));
        assert_eq!(Secret::<4>::from_slice(&[1, 2, 3]), None);
        assert_ne!(SecretBytes::from(vec![1]), SecretBytes::from(vec![1, 2]));
    }

    #[test]
    fn generated_secrets_differ() {
        assert_ne!(Secret::<32>::generate(), Secret::<32>::generate());
    }
}
