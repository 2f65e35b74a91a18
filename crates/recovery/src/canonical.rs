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
pub use holdfast_types::hex;
