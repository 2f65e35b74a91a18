//! The JSON form of rows: one object a line, keys sorted, no spaces, integers up to 2^53 - 1, bytes in
//! lower-case hex. Strict both ways: a line that does not come back byte for byte is refused.

mod fields;

use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{Millis, Revision, Row, Table, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::define::{Parsed, TableInfo};
use crate::{Record, RecordError, tables};
pub(crate) use fields::Fields;
use fields::cut;

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
        return finish(&(info.fields)(row)?, &row.value);
    }
    if !row.value.body.is_empty() {
        return Err(RecordError::Body(row.table).into());
    }
    finish(&Fields::of(&(info.tombstone)(&row.key)?)?, &row.value)
}

/// The row of a line of `table`.
pub fn parse(table: Table, text: &str) -> Result<Row, JsonError> {
    let info = info(table)?;
    let Some(mut fields) = cut(text) else {
        // It says best what is wrong, if it is no JSON at all.
        serde_json::from_str::<serde::de::IgnoredAny>(text)?;
        return Err(JsonError::NotCanonical);
    };
    let rev = Revision(integer(&mut fields, "rev")?);
    let at = Millis(integer(&mut fields, "at")?);
    let deleted = take(&mut fields, "del").is_some();
    let schema = if deleted { 0 } else { schema(integer(&mut fields, "schema")?)? };
    let rest = ["{", &fields.join(","), "}"].concat();
    let value = Value { schema, rev, at, body: Vec::new() };
    let (row, fields) = if deleted {
        let map = serde_json::from_str(&rest)?;
        (Row { table, key: (info.key_of)(&map)?, value }, Fields::of(&map)?)
    } else {
        let Parsed { key, body, fields } = (info.row)(&rest)?;
        (
            Row { table, key, value: Value { schema: body.schema, body: body.bytes, ..value } },
            fields,
        )
    };
    if finish(&fields, &row.value)? == text { Ok(row) } else { Err(JsonError::NotCanonical) }
}

pub(crate) fn fields_of<R: Record + Serialize>(row: &Row) -> Result<Fields, JsonError> {
    let record = R::decode(row.value.schema, &row.key, &row.value.body)?;
    // postcard reads some numbers in more than one spelling; only ours comes back from the line.
    if record.encode().bytes != row.value.body {
        return Err(RecordError::Body(R::TABLE).into());
    }
    Fields::of(&record)
}

pub(crate) fn row_of<R: Record + Serialize + DeserializeOwned>(
    text: &str,
) -> Result<Parsed, JsonError> {
    let record: R = serde_json::from_str(text)?;
    Ok(Parsed { key: record.key(), body: record.encode(), fields: Fields::of(&record)? })
}

/// The line of a record's or a tombstone's own fields.
fn finish(fields: &Fields, value: &Value) -> Result<String, JsonError> {
    if value.rev.0.max(value.at.0) > JSON_INTEGER_MAX {
        return Err(JsonError::Integer);
    }
    let kind = match value.is_tombstone() {
        true => "\"del\":true".to_owned(),
        false => format!("\"schema\":{}", value.schema),
    };
    let (rev, at) = (format!("\"rev\":{}", value.rev.0), format!("\"at\":{}", value.at.0));
    Ok(fields.line(&[&kind, &rev, &at]))
}

fn schema(number: u64) -> Result<u8, JsonError> {
    if number == 1 { Ok(1) } else { Err(JsonError::Schema(number)) }
}

/// Takes the value of the first field of that name out.
fn take<'a>(fields: &mut Vec<&'a str>, name: &str) -> Option<&'a str> {
    let value = |field: &&'a str| field.strip_prefix('"')?.strip_prefix(name)?.strip_prefix("\":");
    let (at, value) =
        fields.iter().enumerate().find_map(|(at, field)| Some((at, value(field)?)))?;
    fields.remove(at);
    Some(value)
}

fn integer(fields: &mut Vec<&str>, name: &'static str) -> Result<u64, JsonError> {
    let text = take(fields, name).ok_or(JsonError::Missing(name))?;
    text.parse().ok().filter(|n| *n <= JSON_INTEGER_MAX).ok_or(JsonError::Integer)
}

fn info(table: Table) -> Result<&'static TableInfo, JsonError> {
    tables().iter().find(|info| info.table == table).ok_or(JsonError::Table(table))
}
