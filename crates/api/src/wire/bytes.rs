//! Bytes in JSON: base64 with padding (RFC 4648 §4), decoded straight from the request's buffer.

use std::fmt;
use std::ops::Deref;

use base64_simd::{AsOut as _, STANDARD};
use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::wiped::WipedVec;

/// Bytes that are no secret.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Base64(pub Vec<u8>);

/// Bytes that are: wiped on drop, no `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBase64(WipedVec);

impl From<Vec<u8>> for SecretBase64 {
    /// Takes the buffer over. A vector that grew has left copies behind: allocate it at full size.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Deref for SecretBase64 {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = WipedVec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 with padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WipedVec, E> {
        decode(text).ok_or_else(|| E::custom(format!("bad base64: {}", fault(text))))
    }
}

/// Whatever becomes of it, what was decoded so far is wiped.
fn decode(text: &str) -> Option<WipedVec> {
    let mut bytes = WipedVec::from(vec![0; STANDARD.decoded_length(text.as_bytes()).ok()?]);
    STANDARD.decode(text.as_bytes(), bytes.as_mut_slice().as_out()).ok()?;
    Some(bytes)
}

/// What is wrong with a text, and where: the fast decoder does not say.
fn fault(text: &str) -> String {
    let mut bytes = WipedVec::from(vec![0; text.len()]);
    let room = BASE64.decode_len(text.len()).map(|len| &mut bytes[..len]);
    match room.and_then(|room| BASE64.decode_mut(text.as_bytes(), room).map_err(|at| at.error)) {
        Err(error) => error.to_string(),
        // This one also takes several padded texts in a row: bytes have one text each.
        Ok(_) => "padding in the middle".to_owned(),
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader).map(|mut bytes| Self(std::mem::take(&mut *bytes)))
    }
}

impl Serialize for SecretBase64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode_to_string(&self[..]));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for SecretBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        decode(text).map(|bytes| bytes.to_vec())
    }

    /// By the decoder that is slower, and strict but for padding in the middle: bytes have one text each.
    fn decode_slowly(text: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(text.as_bytes()).ok()?;
        (text == BASE64.encode(&bytes)).then_some(bytes)
    }

    proptest! {
        #[test]
        fn every_length_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = STANDARD.encode_to_string(&bytes);
            prop_assert_eq!(&text, &BASE64.encode(&bytes));
            prop_assert_eq!(decoded(&text), Some(bytes));
        }

        /// One character of a text is another one, or is not there: the same answer as the slow decoder's.
        #[test]
        fn what_is_damaged_is_refused_alike(
            bytes in prop::collection::vec(any::<u8>(), 1..120),
            at in any::<prop::sample::Index>(),
            with in prop_oneof![
                any::<char>().prop_map(Some),
                (0..=127_u8).prop_map(|byte| Some(char::from(byte))),
                Just(None),
            ],
        ) {
            let mut text: Vec<char> = BASE64.encode(&bytes).chars().collect();
            let at = at.index(text.len());
            match with {
                Some(other) => text[at] = other,
                None => _ = text.remove(at),
            }
            let text: String = text.into_iter().collect();
            prop_assert_eq!(decoded(&text), decode_slowly(&text), "{}", text);
        }
    }

    #[test]
    fn bytes_read_back_and_bad_base64_is_named() {
        let text = serde_json::to_string(&Base64(vec![0xff, 0, 1])).unwrap();
        assert_eq!(text, "\"/wAB\"");
        assert_eq!(serde_json::from_str::<Base64>(&text).unwrap().0, [0xff, 0, 1]);
        for bad in ["\"/w==/w==\"", "\"/wA=/wA=\"", "\"/wA\"", "\"*\"", "\"/w-B\"", "\" /wAB\""] {
            let error = serde_json::from_str::<Base64>(bad).unwrap_err().to_string();
            assert!(error.contains("bad base64"), "{bad}: {error}");
        }
    }
}
