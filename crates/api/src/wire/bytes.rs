//! Bytes in JSON: base64 with padding (RFC 4648 §4), decoded straight from the request's buffer.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// Bytes that are no secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Base64(pub Vec<u8>);

/// Bytes that are: wiped on drop, no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBase64(pub Zeroizing<Vec<u8>>);

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 with padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        let bytes = BASE64.decode(text.as_bytes());
        let bytes = bytes.map_err(|error| E::custom(format!("bad base64: {error}")))?;
        // The decoder also takes several padded texts in a row: bytes have one text each.
        if text.len() != BASE64.encode_len(bytes.len()) {
            return Err(E::custom("bad base64: padding in the middle"));
        }
        Ok(bytes)
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader).map(Self)
    }
}

impl Serialize for SecretBase64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64.encode(&self.0));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_and_bad_base64_is_named() {
        let text = serde_json::to_string(&Base64(vec![0xff, 0, 1])).unwrap();
        assert_eq!(text, "\"/wAB\"");
        assert_eq!(serde_json::from_str::<Base64>(&text).unwrap().0, [0xff, 0, 1]);
        for bad in ["\"/w==/w==\"", "\"/wA\"", "\"*\"", "\"/w-B\"", "\" /wAB\""] {
            let error = serde_json::from_str::<Base64>(bad).unwrap_err().to_string();
            assert!(error.contains("bad base64"), "{bad}: {error}");
        }
    }
}
