//! The golden file: what version 1 wrote for each table, as `table key body json` (hex, hex, text). It is
//! never changed: archives with such lines restore for ever. A new schema adds a file.

use super::*;

const VERSION_1: &str = include_str!("../../../../testdata/records/v1.txt");

#[test]
fn rows_are_written_as_published() {
    let mut found = String::new();
    for row in rows() {
        let name = archive_name(row.table).unwrap();
        let (key, body) = (hex::encode(&row.key), hex::encode(&row.value.body));
        found.push_str(&format!("{name} {key} {body} {}\n", json::line(&row).unwrap()));
    }
    assert_eq!(
        found, VERSION_1,
        "stored bytes changed: a new schema is needed, not a new golden file"
    );
}

/// From the file alone, without the records that made it.
#[test]
fn published_lines_and_rows_are_read() {
    assert_eq!(VERSION_1.lines().count(), tables().len());
    for text in VERSION_1.lines() {
        let fields: Vec<&str> = text.splitn(4, ' ').collect();
        let [name, key, body, line] = fields[..] else { panic!("{text}") };
        let table = table_named(name).unwrap();
        let read = json::parse(table, line).unwrap();
        assert_eq!(hex::encode(&read.key), key, "{name}");
        assert_eq!(hex::encode(&read.value.body), body, "{name}");
        let row = Row {
            table,
            key: hex::decode(key).unwrap(),
            value: Value { body: hex::decode(body).unwrap(), ..read.value },
        };
        assert_eq!(json::line(&row).unwrap(), line, "{name}");
    }
}

#[test]
fn archive_names_are_the_published_ones() {
    let archived = tables().iter().filter(|info| info.table.class() == TableClass::Archived);
    let names: Vec<&str> = archived.map(|info| info.name).collect();
    // `schedules` (0d) is reserved: it has no rows yet, and so no record.
    let published = "vault enclaves enclave_names keys key_names key_versions policies identities \
                     root_generations slots custodians cluster_secrets ledger audit_heads";
    assert_eq!(names.join(" "), published);
}
