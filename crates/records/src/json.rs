//! The JSON form of rows: one object a line, keys sorted, no spaces, integers up to 2^53 - 1, bytes in
//! lower-case hex. Strict both ways: a line that does not come back byte for byte is refused.

mod fields;

use holdfast_types::limits::JSON_INTEGER_MAX;
use holdfast_types::{Millis, Revision, Row, Table, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::define::{Parsed, TableInfo};
use crate::{Record, RecordError, tables};
use fields::{cut, object, sorted};

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
    finish(&serde_json::to_string(&(info.tombstone)(&row.key)?)?, &row.value)
}

/// The row of a line of `table`.
pub fn parse(table: Table, text: &str) -> Result<Row, JsonError> {
    parse_fields(table, text).or_else(|error| {
        // That says best what is wrong, if it is no JSON at all.
        serde_json::from_str::<serde::de::IgnoredAny>(text)?;
        Err(error)
    })
}

fn parse_fields(table: Table, text: &str) -> Result<Row, JsonError> {
    let info = info(table)?;
    let mut fields = cut(text)?.fields;
    let rev = Revision(integer(&mut fields, "rev")?);
    let at = Millis(integer(&mut fields, "at")?);
    let value = |schema, body| Value { schema, rev, at, body };
    let (row, again) = if take(&mut fields, "del").is_some() {
        let key = (info.key_of)(&serde_json::from_str(&object(&fields))?)?;
        let row = Row { table, key, value: value(0, Vec::new()) };
        // Of the row: what was read may have more than its key.
        let again = line(&row)?;
        (row, again)
    } else {
        let schema = integer(&mut fields, "schema")?;
        if schema != 1 {
            return Err(JsonError::Schema(schema));
        }
        let Parsed { key, body, again } = (info.row)(&object(&fields))?;
        let row = Row { table, key, value: value(body.schema, body.bytes) };
        let again = finish(&again, &row.value)?;
        (row, again)
    };
    if again == text { Ok(row) } else { Err(JsonError::NotCanonical) }
}

pub(crate) fn fields_of<R: Record + Serialize>(row: &Row) -> Result<String, JsonError> {
    let record = R::decode(row.value.schema, &row.key, &row.value.body)?;
    // postcard reads some numbers in more than one spelling; only ours comes back from the line.
    if record.encode().bytes != row.value.body {
        return Err(RecordError::Body(R::TABLE).into());
    }
    Ok(serde_json::to_string(&record)?)
}

/// Key and body come back as this record, whatever record it is: so the line is that of the row.
pub(crate) fn row_of<R: Record + Serialize + DeserializeOwned>(
    text: &str,
) -> Result<Parsed, JsonError> {
    let record: R = serde_json::from_str(text)?;
    let again = serde_json::to_string(&record)?;
    Ok(Parsed { key: record.key(), body: record.encode(), again })
}

/// The line of a record's or a tombstone's own fields, an object.
fn finish(own: &str, value: &Value) -> Result<String, JsonError> {
    if value.rev.0.max(value.at.0) > JSON_INTEGER_MAX {
        return Err(JsonError::Integer);
    }
    let kind = match value.is_tombstone() {
        true => "\"del\":true".to_owned(),
        false => format!("\"schema\":{}", value.schema),
    };
    let (rev, at) = (format!("\"rev\":{}", value.rev.0), format!("\"at\":{}", value.at.0));
    sorted(own, &[&kind, &rev, &at])
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
