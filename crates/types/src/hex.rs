//! Bytes as lower-case hex, the one spelling there is of them in JSON, names and messages.
//!
//! Also a `serde(with = "...")` module: text in every format, for records whose rows are not serde's.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Two digits a byte.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Reads what [`encode`] wrote into a vector, or into an array whose length must fit. `None` for anything
/// else, upper case included.
#[must_use]
pub fn decode<T: TryFrom<Vec<u8>>>(text: &str) -> Option<T> {
    T::try_from(HEXLOWER.decode(text.as_bytes()).ok()?).ok()
}

/// For `serde(with)`.
///
/// Errors: the serializer's own.
pub fn serialize<S: Serializer>(
    bytes: &impl AsRef<[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    encode(bytes.as_ref()).serialize(serializer)
}

/// For `serde(with)`.
///
/// Errors: not a text; not lower-case hex; another length than that of the array.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<Vec<u8>>,
    D: Deserializer<'de>,
{
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    decode(&text)
        .ok_or_else(|| de::Error::custom("not lower-case hex, or not as many digits as it has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling() {
        assert_eq!(encode(&[0x00, 0xab, 0xff]), "00abff");
        assert_eq!(decode("00abff"), Some(vec![0x00, 0xab, 0xff]));
        assert_eq!(decode("00abff"), Some([0x00, 0xab, 0xff]));
        assert_eq!(decode(""), Some(Vec::new()));
        for bad in ["0", "0g", "AB", " ab", "ab\n", "0xab"] {
            assert_eq!(decode::<Vec<u8>>(bad), None, "{bad:?}");
        }
        assert_eq!(decode::<[u8; 2]>("00abff"), None, "another length");
    }
}
