//! JSON that has one encoding: keys sorted, no spaces, a newline at the end. Strict on the way in.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ArchiveError;

/// `value` as canonical JSON. Every object goes through a sorted map.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let sorted = serde_json::to_value(value).expect("these structs have string keys only");
    let mut out = serde_json::to_vec(&sorted).expect("a value has string keys only");
    out.push(b'\n');
    out
}

/// Reads what [`to_bytes`] wrote. Any other spelling of the same value is refused, and so is every field that
/// the type does not have: it would not come out again.
pub fn from_bytes<T: Serialize + DeserializeOwned>(
    what: &str,
    bytes: &[u8],
) -> Result<T, ArchiveError> {
    let value: T = serde_json::from_slice(bytes)
        .map_err(|error| ArchiveError::damaged(format!("{what} does not parse: {error}")))?;
    if to_bytes(&value) != bytes {
        return Err(ArchiveError::damaged(format!(
            "{what} is not in its canonical form, or has a field that is unknown"
        )));
    }
    Ok(value)
}
