//! One id type per kind of thing, so that a key's id can never be passed for an enclave's.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no {kind}: expected {expected}")]
pub struct ParseIdError {
    kind: &'static str,
    expected: &'static str,
}

/// 16 random bytes, written as 32 lower-case hex digits (JSON, display), as raw bytes in rows.
macro_rules! id16 {
    ($($(#[$doc:meta])* $name:ident, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// As it is written: ASCII, without the heap.
            #[must_use]
            pub fn text(&self) -> [u8; 32] {
                let mut text = [0; 32];
                HEXLOWER.encode_mut(&self.0, &mut text);
                text
            }

            /// The sixteen bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bad = ParseIdError { kind: $kind, expected: "32 lower-case hex digits" };
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| bad.clone())?;
                Ok(Self(bytes.try_into().map_err(|_| bad)?))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    Ok(Self(<[u8; 16]>::deserialize(deserializer)?))
                }
            }
        }
    )*};
}

id16! {
    /// Everything under one root. Survives every restore; wraps bind to it.
    VaultId, "vault id";
    /// An incarnation: one per epoch, made anew by every restore and forced recovery.
    EpochId, "incarnation";
    /// An isolated name space of keys, policies and identities.
    EnclaveId, "enclave id";
    /// A key. A name may be reused, this never.
    KeyId, "key id";
    /// A custodian.
    CustodianId, "custodian id";
    /// A seal slot.
    SlotId, "slot id";
    /// A secret of the cluster's own: a CA key, a signing key.
    SecretId, "secret id";
    /// An archive.
    ArchiveId, "archive id";
    /// A transaction, drawn by its proposer, so that a retry is recognised.
    TxnId, "transaction id";
    /// A job that one node should do.
    JobId, "job id";
}

/// A node: random 64 bits, never reused.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who calls: SHA-256 of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) behind an API key, written
/// `h1:` + base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IdentityId(pub [u8; 32]);

impl IdentityId {
    /// The actor of what a vault does by itself: jobs, first start, restore.
    pub const SYSTEM: Self = Self([0; 32]);

    /// As it is written: ASCII, without the heap.
    #[must_use]
    pub fn text(&self) -> [u8; 46] {
        let mut text = *b"h1:___________________________________________";
        BASE64URL_NOPAD.encode_mut(&self.0, &mut text[3..]);
        text
    }

    /// The thirty-two bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityId({self})")
    }
}

impl FromStr for IdentityId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bad = ParseIdError { kind: "identity", expected: "\"h1:\" and 43 base64url digits" };
        let digits = text.strip_prefix("h1:").ok_or_else(|| bad.clone())?;
        let bytes = BASE64URL_NOPAD.decode(digits.as_bytes()).map_err(|_| bad.clone())?;
        Ok(Self(bytes.try_into().map_err(|_| bad)?))
    }
}

impl Serialize for IdentityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for IdentityId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            Ok(Self(<[u8; 32]>::deserialize(deserializer)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_ids_read_back() {
        let id = KeyId([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse::<KeyId>(), Ok(id));
        assert!("AB".repeat(16).parse::<KeyId>().is_err());
        assert!("ab".repeat(15).parse::<KeyId>().is_err());
        assert_eq!(
            serde_json::from_str::<KeyId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        assert_eq!(postcard::to_allocvec(&id).unwrap(), vec![0xab; 16]);
    }

    #[test]
    fn identity_is_the_published_vector() {
        let text = "h1:oFCDfYUHBYLM9zlLCYiEfMMSy4glm4lImfbyOc8XkaU";
        assert_eq!(text.parse::<IdentityId>().unwrap().to_string(), text);
        assert!(text[3..].parse::<IdentityId>().is_err());
        assert!(text[..45].parse::<IdentityId>().is_err());
    }
}
