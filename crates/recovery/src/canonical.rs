//! JSON that has one encoding: keys sorted, no spaces, a newline at the end. Strict on the way in.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ArchiveError;

/// `value` as canonical JSON. The fields of the structs here stand in alphabetical order.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = serde_json::to_vec(value).expect("these structs have string keys only");
    out.push(b'\n');
    out
}

/// Reads what [`to_bytes`] wrote; any other spelling of the same value is refused.
pub fn from_bytes<T: Serialize + DeserializeOwned>(
    what: &str,
    bytes: &[u8],
) -> Result<T, ArchiveError> {
    let value: T = serde_json::from_slice(bytes)
        .map_err(|error| ArchiveError::damaged(format!("{what} does not parse: {error}")))?;
    if to_bytes(&value) != bytes {
        return Err(ArchiveError::damaged(format!("{what} is not in its canonical form")));
    }
    Ok(value)
}

/// Bytes as lower-case hex in JSON.
pub mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        decode(&text).ok_or_else(|| de::Error::custom("not lower-case hex"))
    }

    pub fn encode(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    pub fn decode(text: &str) -> Option<Vec<u8>> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
    }
}
