//! Every table: row → JSON → row, tombstones, and what is refused.

use holdfast_types::*;

use super::*;

mod golden;
mod properties;

fn rows() -> Vec<Row> {
    let name = |text: &str| -> Name { text.parse().unwrap() };
    let (enclave_id, key_id) = (EnclaveId([1; 16]), KeyId([2; 16]));
    let mut draft = Draft::default();
    let d = &mut draft;
    let e = Expect::Absent;
    put(d, e, &Vault { vault_id: VaultId([9; 16]), created: Millis(1) });
    put(d, e, &Enclave { enclave_id, name: name("e"), state: EnclaveState::Closing });
    put(d, e, &EnclaveName { name: name("e"), enclave_id });
    put(
        d,
        e,
        &Key {
            key_id,
            enclave_id,
            name: name("k"),
            kind: KeyKind::Aes256,
            state: KeyState::Deleted { at: Millis(5) },
            primary: Version(3),
            created: Millis(2),
        },
    );
    put(d, e, &KeyName { enclave_id, name: name("k.1"), key_id });
    put(
        d,
        e,
        &KeyVersion {
            key_id,
            version: Version(3),
            enclave_id,
            kind: KeyKind::Aes256,
            state: VersionState::PreActivation,
            kcv: [7; 8],
            wrapped: vec![1, 2, 255],
        },
    );
    put(
        d,
        e,
        &Policy {
            enclave_id,
            name: name("p"),
            allow: vec!["key.*:a-*".parse().unwrap()],
            deny: vec![],
        },
    );
    put(
        d,
        e,
        &Identity {
            identity: IdentityId([4; 32]),
            name: name("i"),
            privilege: Privilege::User,
            enclave: Some(enclave_id),
            policy: Some(name("p")),
            created: Millis(3),
        },
    );
    put(
        d,
        e,
        &RootGeneration { generation: Generation(1), kcv: [1; 8], current: true, canary: vec![3] },
    );
    put(
        d,
        e,
        &Slot {
            generation: Generation(1),
            slot_id: SlotId([5; 16]),
            kind: SlotKind::OpenPgp,
            custodian: Some(CustodianId([6; 16])),
            recipient: "AB".into(),
            sealed: vec![1],
        },
    );
    put(
        d,
        e,
        &Custodian {
            custodian_id: CustodianId([6; 16]),
            name: name("c"),
            fingerprint: "AB".into(),
            certificate: vec![8; 9],
            added: Millis(1),
            expires: None,
        },
    );
    put(
        d,
        e,
        &ClusterSecret {
            secret_id: SecretId([7; 16]),
            n: 1,
            kind: SecretKind::SigningPrimary,
            created: Millis(1),
            public: vec![2],
            generation: Generation(1),
            wrapped: vec![3],
        },
    );
    put(d, e, &LedgerRow { seq: 1, entry: b"{}".to_vec() });
    put(d, e, &AuditHead { node: NodeId(u64::MAX), count: 9, hash: [3; 32] });
    put(
        d,
        e,
        &ArchiveState {
            archive_id: ArchiveId([1; 16]),
            name: "n".into(),
            from: Revision(0),
            to: Revision(9),
            sha256: [1; 32],
            size: 5,
            written: Some(Millis(1)),
            stored: None,
            verified: None,
            drilled: None,
            where_: "/x".into(),
        },
    );
    put(d, e, &SessionKey { n: SessionKey::SLOT, id: [1; 16], wrapped: vec![1] });
    put(
        d,
        e,
        &Job {
            job_id: JobId([1; 16]),
            kind: JobKind::Backup,
            holder: NodeId(u64::MAX),
            token: 1,
            state: JobState::Running,
            started: Millis(1),
            ended: None,
            note: "x".into(),
        },
    );
    draft
        .write
        .into_iter()
        .map(|(table, key, body)| {
            let body = body.unwrap();
            Row {
                table,
                key,
                value: Value {
                    schema: body.schema,
                    rev: Revision((1 << 40) + 7),
                    at: Millis(1000),
                    body: body.bytes,
                },
            }
        })
        .collect()
}

/// The line again, by way of a general reader and a general writer that sorts.
fn sorted(line: &str) -> String {
    let map: std::collections::BTreeMap<String, serde_json::Value> =
        serde_json::from_str(line).unwrap();
    serde_json::to_string(&map).unwrap()
}

#[test]
fn every_table_has_an_example_and_reads_back() {
    assert_eq!(rows().len(), tables().len());
    for row in rows() {
        let text = json::line(&row).unwrap();
        assert_eq!(sorted(&text), text);
        assert_eq!(json::parse(row.table, &text).unwrap(), row, "{text}");
        assert_eq!(table_named(archive_name(row.table).unwrap()), Some(row.table));
        let dead = Row { value: Value { schema: 0, body: Vec::new(), ..row.value.clone() }, ..row };
        let text = json::line(&dead).unwrap();
        assert!(text.contains("\"del\":true"));
        assert_eq!(sorted(&text), text);
        assert_eq!(json::parse(dead.table, &text).unwrap(), dead, "{text}");
    }
    assert!(tables().is_sorted_by_key(|info| info.table));
}

#[test]
fn a_key_version_is_the_documented_line() {
    let row = rows().into_iter().find(|row| row.table == Table::KEY_VERSIONS).unwrap();
    let ones = "01".repeat(16);
    let twos = "02".repeat(16);
    let expected = format!(
        "{{\"at\":1000,\"enclave_id\":\"{ones}\",\"kcv\":\"0707070707070707\",\"key_id\":\"{twos}\",\"kind\":\"aes256\",\"rev\":1099511627783,\"schema\":1,\"state\":\"pre-activation\",\"version\":3,\"wrapped\":\"0102ff\"}}"
    );
    assert_eq!(json::line(&row).unwrap(), expected);
    for bad in [
        expected.replace("\"at\":1000", "\"at\": 1000"),
        expected.replace("0102ff", "0102FF"),
        expected.replace("\"at\":1000", "\"at\":1000.0"),
        expected.replace("\"at\":1000,", "\"at\":1000,\"at\":1000,"),
        expected.replace("\"schema\":1", "\"schema\":2"),
        expected.replace("}", ",\"x\":1}"),
        expected.replace("1099511627783", "9007199254740992"),
        expected.replace("aes256", "\\u0061es256"),
        expected.replace("1099511627783", "01099511627783"),
        expected.replace("1099511627783", "+1099511627783"),
        expected.replace("{\"at\":1000,", "{").replace('}', ",\"at\":1000}"),
        expected.replace("\"schema\":1", "\"del\":true,\"schema\":1"),
        expected.replace("\"schema\":1", "\"del\":false"),
        expected.replace(",\"schema\":1", ""),
        expected.replace('{', "{,"),
        expected.replace('}', ",}"),
        format!("{expected} "),
    ] {
        assert!(json::parse(Table::KEY_VERSIONS, &bad).is_err(), "{bad}");
    }
}

#[test]
fn cut_or_longer_rows_are_refused() {
    for row in rows() {
        let decode = |key: &[u8], body: &[u8]| {
            json::line(&Row {
                table: row.table,
                key: key.to_vec(),
                value: Value { body: body.to_vec(), ..row.value.clone() },
            })
        };
        assert!(decode(&row.key, &[&row.value.body[..], &[0]].concat()).is_err());
        assert!(decode(&row.key, &row.value.body[..row.value.body.len() - 1]).is_err());
        assert!(decode(&[&row.key[..], &[0]].concat(), &row.value.body).is_err());
    }
}

/// A node's own rows, as `testdata/records/local-v1.txt` has them.
#[test]
fn a_nodes_own_records_are_written_and_read_as_published() {
    let golden = include_str!("../../../testdata/records/local-v1.txt");
    let soft = SoftSlot {
        slot_id: SlotId([1; 16]),
        generation: Generation(1),
        key_path: "/k".into(),
        sealed: vec![1, 2],
    };
    let listen = Listen { addr: "127.0.0.1:1".into() };
    let node = NodeIdentity { node_id: NodeId(u64::MAX), boot: 3 };
    let seen = SeenWithData { archives: vec![ArchiveId([1; 16]), ArchiveId([2; 16])] };
    let line = |key: &[u8], bytes: &[u8]| {
        format!("{} {}\n", String::from_utf8_lossy(key), hex::encode(bytes))
    };
    let written = line(SoftSlot::KEY, &soft.to_bytes())
        + &line(Listen::KEY, &listen.to_bytes())
        + &line(NodeIdentity::KEY, &node.to_bytes())
        + &line(SeenWithData::KEY, &seen.to_bytes());
    assert_eq!(golden.split_once('\n').unwrap().1, written);
}

#[test]
fn a_nodes_own_records_come_back_and_nothing_else_does() {
    let slot = SoftSlot {
        slot_id: SlotId([1; 16]),
        generation: Generation(1),
        key_path: "/k".into(),
        sealed: vec![1, 2],
    };
    let bytes = slot.to_bytes();
    assert_eq!(SoftSlot::from_bytes(&bytes).unwrap(), slot);
    let damaged = Err(RecordError::Body(Table::LOCAL_NODE));
    assert_eq!(SoftSlot::from_bytes(&[]), damaged);
    assert_eq!(SoftSlot::from_bytes(&bytes[..bytes.len() - 1]), damaged);
    assert_eq!(SoftSlot::from_bytes(&[&bytes[..], &[0]].concat()), damaged);
    let newer = [&[2], &bytes[1..]].concat();
    assert!(matches!(SoftSlot::from_bytes(&newer), Err(RecordError::Schema { schema: 2, .. })));
    let listen = Listen { addr: "127.0.0.1:1".into() };
    assert_eq!(Listen::from_bytes(&listen.to_bytes()).unwrap(), listen);
    let node = NodeIdentity { node_id: NodeId(u64::MAX), boot: 3 };
    assert_eq!(NodeIdentity::from_bytes(&node.to_bytes()).unwrap(), node);
    let seen = SeenWithData { archives: vec![ArchiveId([3; 16])] };
    assert_eq!(SeenWithData::from_bytes(&seen.to_bytes()).unwrap(), seen);
}
