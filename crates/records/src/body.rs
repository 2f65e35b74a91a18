//! Bodies: postcard, and nothing after it.

use holdfast_types::{Body, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::RecordError;

pub(crate) fn encode(schema: u8, fields: &impl Serialize) -> Body {
    let bytes = postcard::to_allocvec(fields).expect("only numbers, texts, lists and options");
    Body { schema, bytes }
}

pub(crate) fn decode<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, RecordError> {
    match postcard::take_from_bytes(bytes) {
        Ok((fields, [])) => Ok(fields),
        _ => Err(RecordError::Body(table)),
    }
}
