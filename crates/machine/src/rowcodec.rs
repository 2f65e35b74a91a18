//! A row's value as the store keeps it: `schema u8 | rev u64 | at u64 | body | xxh3-64`.
//!
//! Integers are big-endian. The checksum is XXH3-64 with seed 0 over `table u8`, the key and the
//! value before it, so a row that is damaged, or stands in another row's place, is noticed when it
//! is read. It finds accidents; the digest finds the rest.

use holdfast_types::{Millis, Revision, Table, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::ReadError;

/// Bytes before the body.
const HEADER: usize = 1 + 8 + 8;
/// Bytes after the body.
const CHECKSUM: usize = 8;

/// Encodes a value that stands at `key` in `table`.
#[must_use]
pub fn encode_value(table: Table, key: &[u8], value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + value.body.len() + CHECKSUM);
    bytes.push(value.schema);
    bytes.extend_from_slice(&value.rev.0.to_be_bytes());
    bytes.extend_from_slice(&value.at.0.to_be_bytes());
    bytes.extend_from_slice(&value.body);
    let checksum = checksum(table, key, &bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Reads what [`encode_value`] wrote for the same place.
///
/// Errors: [`ReadError::Damaged`] for anything else.
pub fn decode_value(table: Table, key: &[u8], bytes: &[u8]) -> Result<Value, ReadError> {
    let damaged = |why| ReadError::Damaged { table, key: key.to_vec(), why };
    let (bytes, stored) = bytes.split_last_chunk().ok_or_else(|| damaged("too short"))?;
    if u64::from_be_bytes(*stored) != checksum(table, key, bytes) {
        return Err(damaged("wrong checksum"));
    }
    let (header, body) = bytes.split_at_checked(HEADER).ok_or_else(|| damaged("too short"))?;
    let number = |at: usize| {
        u64::from_be_bytes(header[at..at + 8].try_into().expect("eight bytes of the header"))
    };
    let schema = header[0];
    if schema == 0 && !body.is_empty() {
        return Err(damaged("a tombstone with a body"));
    }
    Ok(Value { schema, rev: Revision(number(1)), at: Millis(number(9)), body: body.to_vec() })
}

fn checksum(table: Table, key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&[table.0]);
    hasher.update(key);
    hasher.update(value);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        let value = Value { schema: 1, rev: Revision(7), at: Millis(9), body: b"body".to_vec() };
        let bytes = encode_value(Table::KEYS, b"key", &value);
        assert_eq!(decode_value(Table::KEYS, b"key", &bytes), Ok(value));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_value(Table::KEYS, b"key", &flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode_value(Table::KEYS, b"key", &bytes[..len]).is_err(), "length {len}");
        }
        assert!(decode_value(Table::KEYS, b"kez", &bytes).is_err());
        assert!(decode_value(Table::POLICIES, b"key", &bytes).is_err());
    }

    #[test]
    fn a_tombstone_has_no_body() {
        let tombstone = Value { schema: 0, rev: Revision(7), at: Millis(9), body: Vec::new() };
        let bytes = encode_value(Table::KEYS, b"key", &tombstone);
        assert_eq!(decode_value(Table::KEYS, b"key", &bytes), Ok(tombstone.clone()));
        let bytes = encode_value(Table::KEYS, b"key", &Value { body: vec![1], ..tombstone });
        assert!(decode_value(Table::KEYS, b"key", &bytes).is_err());
    }
}
