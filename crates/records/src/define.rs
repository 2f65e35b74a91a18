//! What makes a paragraph of `tables.rs` a record: a struct, its row key, its body, its JSON form, and a
//! row of the registry that finds all of it by table.

use holdfast_types::{Body, Row, Table};

use crate::json::JsonError;

/// A JSON object.
pub(crate) type Object = serde_json::Map<String, serde_json::Value>;
/// A record that was read from its own fields of a line: key and body of its row, and those fields as an object,
/// written again.
pub(crate) struct Parsed {
    pub(crate) key: Vec<u8>,
    pub(crate) body: Body,
    pub(crate) again: String,
}

/// A table of archives and what is done with its rows.
pub struct TableInfo {
    /// The table.
    pub table: Table,
    /// Its name in archives; cluster-only tables have one, too, for messages.
    pub name: &'static str,
    pub(crate) fields: fn(&Row) -> Result<String, JsonError>,
    pub(crate) row: fn(&str) -> Result<Parsed, JsonError>,
    pub(crate) tombstone: fn(&[u8]) -> Result<Object, JsonError>,
    pub(crate) key_of: fn(&Object) -> Result<Vec<u8>, JsonError>,
}

/// Defines a struct for each table, and `TABLES`, the registry of all of them.
macro_rules! records {
    ($(
        $(#[$doc:meta])*
        $record:ident, $table:ident, $name:literal,
        key { $($(#[$kattr:meta])* $key:ident: $kty:ty,)* }
        body { $($(#[$battr:meta])* $field:ident: $fty:ty,)* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $record {
                $($(#[$kattr])* pub $key: $kty,)*
                $($(#[$battr])* pub $field: $fty,)*
            }

            impl Record for $record {
                const TABLE: Table = Table::$table;
                const SCHEMA: u8 = 1;

                #[allow(unused_mut)]
                fn key(&self) -> Vec<u8> {
                    let mut out = Vec::new();
                    $(self.$key.write(&mut out);)*
                    out
                }

                fn encode(&self) -> Body {
                    body::encode(Self::SCHEMA, &($(&self.$field,)*))
                }

                #[allow(unused_mut, unused_variables)]
                fn decode(schema: u8, key: &[u8], bytes: &[u8]) -> Result<Self, RecordError> {
                    let table = Self::TABLE;
                    if schema != Self::SCHEMA {
                        return Err(RecordError::Schema { table, schema });
                    }
                    let mut from = key;
                    $(let $key = <$kty>::read(&mut from).ok_or(RecordError::Key(table))?;)*
                    if !from.is_empty() {
                        return Err(RecordError::Key(table));
                    }
                    let ($($field,)*): ($($fty,)*) = body::decode(table, bytes)?;
                    Ok(Self { $($key,)* $($field,)* })
                }
            }
        )*

        static TABLES: &[TableInfo] = &[$(TableInfo {
            table: Table::$table,
            name: $name,
            fields: fields_of::<$record>,
            row: row_of::<$record>,
            tombstone: |key| {
                #[allow(unused_mut)]
                let mut map = Object::new();
                #[allow(unused_mut)]
                let mut from = key;
                $(
                    let part = <$kty>::read(&mut from).ok_or(RecordError::Key(Table::$table))?;
                    map.insert(stringify!($key).to_owned(), part.to_json()?);
                )*
                if !from.is_empty() {
                    return Err(RecordError::Key(Table::$table).into());
                }
                Ok(map)
            },
            key_of: |map| {
                #[allow(unused_mut)]
                let mut out = Vec::new();
                $(
                    let value = map.get(stringify!($key)).ok_or(JsonError::Missing(stringify!($key)))?;
                    <$kty>::from_json(value)?.write(&mut out);
                )*
                let _ = map;
                Ok(out)
            },
        },)*];
    };
}
pub(crate) use records;
