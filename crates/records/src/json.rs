//! The JSON form of rows: one object a line, keys sorted, no spaces, integers up to 2^53 - 1, bytes in
//! lower-case hex. Strict both ways: a line that does not come back byte for byte is refused.

use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{Body, Millis, Revision, Row, Table, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;

use crate::define::TableInfo;
use crate::{Record, RecordError, tables};

/// Why a line is no row, or a row has no line.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not of this table's form.
    #[error("line does not parse: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is not there.
    #[error("line has no field {0}")]
    Missing(&'static str),
    /// The row itself does not parse.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A table that archives do not have.
    #[error("table {0} has no JSON form")]
    Table(Table),
    /// An integer above 2^53 - 1.
    #[error("an integer is too large for JSON")]
    Integer,
    /// Spaces, order, case, escapes, duplicates: not how it is written.
    #[error("line is not in its canonical form")]
    NotCanonical,
    /// A schema that this program does not know: a newer one wrote it, or none did.
    #[error("schema {0} is none that this program knows")]
    Schema(u64),
}

/// The line of a row, without newline.
pub fn line(row: &Row) -> Result<String, JsonError> {
    let info = info(row.table)?;
    if !row.value.is_tombstone() {
        return (info.line)(row);
    }
    if !row.value.body.is_empty() {
        return Err(RecordError::Body(row.table).into());
    }
    let mut map = (info.tombstone)(&row.key)?;
    map.insert("del".to_owned(), true.into());
    finish(map, &row.value)
}

/// The row of a line of `table`.
pub fn parse(table: Table, text: &str) -> Result<Row, JsonError> {
    let info = info(table)?;
    let mut map: Map<String, serde_json::Value> = serde_json::from_str(text)?;
    let rev = Revision(integer(&mut map, "rev")?);
    let at = Millis(integer(&mut map, "at")?);
    let row = if map.remove("del").is_some() {
        let key = (info.key_of)(&map)?;
        Row { table, key, value: Value { schema: 0, rev, at, body: Vec::new() } }
    } else {
        let schema = integer(&mut map, "schema")?;
        if schema != 1 {
            return Err(JsonError::Schema(schema));
        }
        let (key, Body { schema, bytes }) = (info.row)(map)?;
        Row { table, key, value: Value { schema, rev, at, body: bytes } }
    };
    if line(&row)? == text { Ok(row) } else { Err(JsonError::NotCanonical) }
}

pub(crate) fn line_of<R: Record + Serialize>(row: &Row) -> Result<String, JsonError> {
    let record = R::decode(row.value.schema, &row.key, &row.value.body)?;
    // postcard reads some numbers in more than one spelling; only ours comes back from the line.
    if record.encode().bytes != row.value.body {
        return Err(RecordError::Body(R::TABLE).into());
    }
    let serde_json::Value::Object(mut map) = serde_json::to_value(&record)? else {
        return Err(JsonError::NotCanonical);
    };
    map.insert("schema".to_owned(), row.value.schema.into());
    finish(map, &row.value)
}

pub(crate) fn row_of<R: Record + DeserializeOwned>(
    map: Map<String, serde_json::Value>,
) -> Result<(Vec<u8>, Body), JsonError> {
    let record: R = serde_json::from_value(serde_json::Value::Object(map))?;
    Ok((record.key(), record.encode()))
}

fn finish(mut map: Map<String, serde_json::Value>, value: &Value) -> Result<String, JsonError> {
    map.insert("rev".to_owned(), value.rev.0.into());
    map.insert("at".to_owned(), value.at.0.into());
    if map.values().any(has_large_integer) {
        return Err(JsonError::Integer);
    }
    // Sorted, whatever order the map keeps in this build.
    let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
    Ok(serde_json::to_string(&sorted)?)
}

/// Whether there is an integer, at any depth, that not every JSON reader keeps exact.
fn has_large_integer(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.as_u64().is_none_or(|n| n > JSON_INTEGER_MAX),
        serde_json::Value::Array(items) => items.iter().any(has_large_integer),
        serde_json::Value::Object(map) => map.values().any(has_large_integer),
        _ => false,
    }
}

fn integer(map: &mut Map<String, serde_json::Value>, name: &'static str) -> Result<u64, JsonError> {
    let value = map.remove(name).ok_or(JsonError::Missing(name))?;
    value.as_u64().filter(|n| *n <= JSON_INTEGER_MAX).ok_or(JsonError::Integer)
}

fn info(table: Table) -> Result<&'static TableInfo, JsonError> {
    tables().iter().find(|info| info.table == table).ok_or(JsonError::Table(table))
}
