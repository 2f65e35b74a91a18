//! Properties: whatever can be stored comes back, whatever cannot is refused, nothing panics.

use proptest::prelude::*;

use super::*;

/// A row of any table with other bytes in places.
fn damaged() -> impl Strategy<Value = Row> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (prop::sample::select(rows()), edits, any::<bool>()).prop_map(|(mut row, edits, in_key)| {
        let bytes = if in_key { &mut row.key } else { &mut row.value.body };
        for (index, byte) in edits {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        row
    })
}

fn key_versions() -> impl Strategy<Value = KeyVersion> {
    let state = prop::sample::select(VersionState::ALL);
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u32>());
    let secrets = (any::<[u8; 8]>(), prop::collection::vec(any::<u8>(), 0..200));
    (ids, state, secrets).prop_map(|((key, enclave, version), state, (kcv, wrapped))| KeyVersion {
        key_id: KeyId(key),
        version: Version(version),
        enclave_id: EnclaveId(enclave),
        kind: KeyKind::Aes256,
        state,
        kcv,
        wrapped,
    })
}

proptest! {
    #[test]
    fn a_record_comes_back_from_row_and_line(
        record in key_versions(),
        rev in 0u64..1 << 53,
        at in 0u64..1 << 53,
    ) {
        let (key, body) = (record.key(), record.encode());
        prop_assert_eq!(&KeyVersion::decode(body.schema, &key, &body.bytes).unwrap(), &record);
        let value =
            Value { schema: body.schema, rev: Revision(rev), at: Millis(at), body: body.bytes };
        let row = Row { table: Table::KEY_VERSIONS, key, value };
        prop_assert_eq!(json::parse(row.table, &json::line(&row).unwrap()).unwrap(), row);
    }

    /// A row that has a line is exactly the row that this line has.
    #[test]
    fn a_damaged_row_has_no_line_or_its_own(row in damaged()) {
        if let Ok(line) = json::line(&row) {
            prop_assert_eq!(&sorted(&line), &line);
            prop_assert_eq!(json::parse(row.table, &line).unwrap(), row, "{}", line);
        }
    }

    #[test]
    fn garbage_is_no_row(
        table in any::<u8>(),
        schema in any::<u8>(),
        key in prop::collection::vec(any::<u8>(), 0..100),
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let value = Value { schema, rev: Revision(1), at: Millis(1), body };
        let row = Row { table: Table(table), key, value };
        if let Ok(line) = json::line(&row) {
            prop_assert_eq!(json::parse(row.table, &line).unwrap(), row, "{}", line);
        }
    }

    #[test]
    fn garbage_is_no_line(table in any::<u8>(), text in "\\PC{0,80}") {
        for table in [Table(table), Table::KEYS, Table::VAULT] {
            prop_assert!(json::parse(table, &text).is_err());
        }
    }

    /// A line with another byte in it is refused, or is itself the one line of another row.
    #[test]
    fn a_changed_line_is_refused_or_another_rows_own(
        row in prop::sample::select(rows()),
        at in any::<prop::sample::Index>(),
        byte in 0x20u8..0x7f,
        dead in any::<bool>(),
    ) {
        let row = if dead {
            Row { value: Value { schema: 0, body: Vec::new(), ..row.value.clone() }, ..row }
        } else {
            row
        };
        let mut line = json::line(&row).unwrap().into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        let line = String::from_utf8(line).unwrap();
        if let Ok(other) = json::parse(row.table, &line) {
            prop_assert_eq!(json::line(&other).unwrap(), line);
        }
    }
}

/// A row of each table, and that it is gone.
fn live_and_dead() -> Vec<Row> {
    let gone = |row: &Row| Row {
        value: Value { schema: 0, body: Vec::new(), ..row.value.clone() },
        ..row.clone()
    };
    rows().into_iter().flat_map(|row| [gone(&row), row]).collect()
}

/// One field more, wherever it is sorted in: of another name, or one of its own once more.
#[test]
fn a_line_with_a_field_more_is_refused() {
    for row in live_and_dead() {
        let line = json::line(&row).unwrap();
        let map: serde_json::Map<_, _> = serde_json::from_str(&line).unwrap();
        let fields: Vec<String> =
            map.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        assert_eq!(format!("{{{}}}", fields.join(",")), line);
        let strange = ["\"aaa\":1", "\"zzz\":[[],{\"a\":1}]", "\"del\":true", "\"schema\":1"];
        let again = ["\"at\":1", "\"at\":1000", "\"rev\":9", "\"rev\":1099511627783"];
        let own = fields.iter().map(String::as_str);
        for more in strange.into_iter().chain(again).chain(own) {
            let mut fields = fields.clone();
            fields.push(more.to_owned());
            fields.sort_unstable();
            let text = format!("{{{}}}", fields.join(","));
            assert!(json::parse(row.table, &text).is_err(), "{text}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    let said = |text: &str| json::parse(Table::VAULT, text).unwrap_err().to_string();
    assert!(said("{x}").contains("does not parse"), "{}", said("{x}"));
    assert!(said(r#"{"at":1,"rev":x}"#).contains("does not parse"));
    assert_eq!(said("{}"), "line has no field rev");
    assert_eq!(said(r#"{ "at":1,"rev":1,"schema":1}"#), "line is not in its canonical form");
    // Whatever numbers a newer program writes.
    let newer = said(r#"{"at":1,"rev":1,"schema":2,"x":-1}"#);
    assert_eq!(newer, "schema 2 is none that this program knows");
}

#[test]
fn lines_in_another_spelling_are_refused() {
    for row in live_and_dead() {
        let line = json::line(&row).unwrap();
        let value: serde_json::Map<_, _> = serde_json::from_str(&line).unwrap();
        let unsorted: Vec<String> = value
            .iter()
            .rev()
            .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
            .collect();
        let hex = in_upper_case(&line);
        for bad in [
            format!("{{{}}}", unsorted.join(",")),
            line.replacen(':', ": ", 1),
            line.replacen(',', ", ", 1),
            format!(" {line}"),
            format!("{line}\n"),
            format!("{line}{line}"),
            line.replacen('{', "{\"at\":1000,", 1),
            line.replacen("\"at\":1000", "\"at\":01000", 1),
            line.replacen("\"at\":1000", "\"at\":1e3", 1),
            line.replacen("\"at\":1000", "\"at\":-1000", 1),
            line.replacen("\"at\":1000", "\"at\":9007199254740992", 1),
            line.replacen("\"at\":1000", "\"at\":null", 1),
            line.replacen("\"at\":1000,", "", 1),
            line.replacen('{', "{\"aaa\":1,", 1),
            line.replacen('{', "{\"del\":true,", 1),
            line.replacen("\"schema\":1", "\"schema\":0", 1),
            line.replacen("\"del\":true", "\"del\":false", 1),
            hex,
        ] {
            if bad == line {
                continue;
            }
            assert!(json::parse(row.table, &bad).is_err(), "{bad}");
        }
    }
}

/// The line with its first hex "ff" in upper case; without one, with another schema.
fn in_upper_case(line: &str) -> String {
    match line.find("ff\"") {
        Some(at) => format!("{}FF{}", &line[..at], &line[at + 2..]),
        None => line.replacen("\"schema\":1", "\"schema\":11", 1),
    }
}

#[test]
fn numbers_that_json_does_not_keep_have_no_line() {
    let exact = (1u64 << 53) - 1;
    let key = |at: u64| Key {
        key_id: KeyId([1; 16]),
        enclave_id: EnclaveId([2; 16]),
        name: "k".parse().unwrap(),
        kind: KeyKind::Aes256,
        state: KeyState::Deleted { at: Millis(at) },
        primary: Version(1),
        created: Millis(1),
    };
    for (at, fits) in [(exact, true), (exact + 1, false), (u64::MAX, false)] {
        let record = key(at);
        let body = record.encode();
        let value = Value { schema: 1, rev: Revision(1), at: Millis(1), body: body.bytes };
        let row = Row { table: Table::KEYS, key: record.key(), value };
        assert_eq!(json::line(&row).is_ok(), fits, "{at}");
    }
    // When a row was written is such a number, too.
    let record = key(1);
    let written = |rev: u64, at: u64, live: bool| {
        let Body { schema, bytes } = record.encode();
        let (schema, body) = if live { (schema, bytes) } else { (0, Vec::new()) };
        let value = Value { schema, rev: Revision(rev), at: Millis(at), body };
        json::line(&Row { table: Table::KEYS, key: record.key(), value })
    };
    for live in [true, false] {
        assert!(written(exact, exact, live).is_ok());
        for (rev, at) in [(exact + 1, 1), (1, exact + 1)] {
            assert!(matches!(written(rev, at, live), Err(json::JsonError::Integer)));
        }
    }
}

#[test]
fn a_tombstone_with_a_body_and_a_number_in_a_long_spelling_are_damage() {
    let row = rows().into_iter().find(|row| row.table == Table::VAULT).unwrap();
    let dead = Row { value: Value { schema: 0, ..row.value.clone() }, ..row.clone() };
    assert!(matches!(json::line(&dead), Err(json::JsonError::Record(RecordError::Body(_)))));

    // 1 as a varint of two bytes: postcard reads it, we never write it.
    let mut long = row;
    assert_eq!(long.value.body.pop(), Some(1));
    long.value.body.extend_from_slice(&[0x81, 0x00]);
    assert!(matches!(json::line(&long), Err(json::JsonError::Record(RecordError::Body(_)))));
}
