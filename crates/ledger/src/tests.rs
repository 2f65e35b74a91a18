//! The chain, its encoding as published, and what is refused.

use holdfast_types::{ArchiveId, CustodianId, EpochId, IdentityId, Millis, Revision, VaultId};
use proptest::prelude::*;

use super::*;

/// One entry of each kind, chained, as `testdata/ledger/v1.ndjson` has them.
const VERSION_1: &str = include_str!("../../../testdata/ledger/v1.ndjson");

fn kinds() -> Vec<EntryKind> {
    let (archive_id, custodian_id) = (ArchiveId([2; 16]), CustodianId([3; 16]));
    let by = || "vault".to_owned();
    let epoch = |archive, n, parent, unsigned| EntryKind::Epoch {
        archive,
        incarnation: EpochId([n; 16]),
        n: n.into(),
        parent: EpochId([parent; 16]),
        unsigned,
        vault_id: VaultId([9; 16]),
    };
    vec![
        epoch(None, 1, 0, false),
        EntryKind::CustodianAdded {
            custodian_id,
            fingerprint: "AB".repeat(20),
            name: "dora".parse().unwrap(),
        },
        EntryKind::Archive {
            archive_id,
            custodians: vec![custodian_id],
            digest: "cd".repeat(32),
            from: Revision(0),
            name: "09090909-e1-0101-0-1".to_owned(),
            sha256: "ef".repeat(32),
            size: 10_240,
            to: Revision((1 << 40) + 7),
        },
        EntryKind::Stored { archive_id, by: by(), place: "/mnt/usb".to_owned() },
        EntryKind::Verified { archive_id, by: by() },
        EntryKind::Drilled {
            archive_id,
            by: by(),
            custodian_id: None,
            digest: "cd".repeat(32),
            elapsed_ms: 1500,
            mode: DrillMode::Byte,
            versions: 4,
        },
        EntryKind::Drilled {
            archive_id,
            by: IdentityId([1; 32]).to_string(),
            custodian_id: None,
            digest: "cd".repeat(32),
            elapsed_ms: 2500,
            mode: DrillMode::Full,
            versions: 4,
        },
        epoch(Some(archive_id), 2, 1, false),
        EntryKind::Administrator { identity: IdentityId([1; 32]) },
        EntryKind::CustodianRemoved { custodian_id },
        epoch(Some(archive_id), 3, 2, true),
        EntryKind::Drilled {
            archive_id,
            by: IdentityId([1; 32]).to_string(),
            custodian_id: Some(custodian_id),
            digest: "cd".repeat(32),
            elapsed_ms: 3500,
            mode: DrillMode::Full,
            versions: 4,
        },
        EntryKind::AuditGap {
            count: 41,
            hash: "0f".repeat(32),
            lines: 32,
            node: "0123456789abcdef".to_owned(),
        },
        EntryKind::AuditAcknowledged { by: IdentityId([1; 32]).to_string() },
    ]
}

fn chain() -> Vec<Entry> {
    let mut head = Head::default();
    let chained = kinds().into_iter().enumerate().map(|(n, kind)| {
        let entry = append(&head, Millis(1_000 + n as u64), kind);
        head = Head::after(&entry);
        entry
    });
    chained.collect()
}

#[test]
fn entries_are_written_and_read_as_published() {
    let lines: Vec<String> =
        chain().iter().map(|entry| String::from_utf8(entry.encode()).unwrap() + "\n").collect();
    assert_eq!(lines.concat(), VERSION_1, "stored and hashed bytes never change");
    let read: Vec<Entry> =
        VERSION_1.lines().map(|line| Entry::decode(line.as_bytes()).unwrap()).collect();
    assert_eq!(read, chain());
    let head = verify(&read).unwrap();
    assert_eq!(head, Head::after(read.last().unwrap()));
    assert_eq!(head.size, 14);
}

/// Independent of the types: what is hashed has sorted keys and no spaces.
#[test]
fn keys_are_sorted_in_every_object() {
    fn canonical(value: &serde_json::Value) -> String {
        let serde_json::Value::Object(map) = value else { return value.to_string() };
        let mut fields: Vec<String> =
            map.iter().map(|(key, value)| format!("\"{key}\":{}", canonical(value))).collect();
        fields.sort();
        format!("{{{}}}", fields.join(","))
    }
    for line in VERSION_1.lines() {
        assert_eq!(canonical(&serde_json::from_str(line).unwrap()), line);
    }
}

#[test]
fn what_is_not_so_is_left_away() {
    let line = VERSION_1.lines().next().unwrap();
    assert!(Entry::decode(line.as_bytes()).is_ok());
    let said = line.replacen("\"vault_id\"", "\"unsigned\":false,\"vault_id\"", 1);
    assert_eq!(Entry::decode(said.as_bytes()), Err(EntryError::NotCanonical));
}

#[test]
fn a_number_that_not_every_reader_keeps_is_refused() {
    let at = |n: &str| {
        let line = VERSION_1.lines().next().unwrap();
        let end = line.find(",\"kind\"").unwrap();
        Entry::decode(format!("{{\"at\":{n}{}", &line[end..]).as_bytes())
    };
    assert!(at("9007199254740991").is_ok());
    assert_eq!(at("9007199254740992").unwrap_err(), EntryError::Integer);
    assert_eq!(at("18446744073709551615").unwrap_err(), EntryError::Integer);
}

#[test]
fn another_spelling_of_an_entry_is_refused() {
    for line in VERSION_1.lines() {
        for bad in [
            line.replacen(':', ": ", 1),
            format!("{line} "),
            format!("{line}\n"),
            line.replacen("\"at\":1", "\"at\":01", 1),
            line.replacen('{', "{\"at\":1000,", 1),
            line.replacen('{', "{\"x\":1,", 1),
            line.replacen("\"kind\":{", "\"kind\":{\"x\":{},", 1),
            line.replacen("\"seq\"", "\"\\u0073eq\"", 1),
            line[..line.len() - 1].to_owned(),
        ] {
            assert_ne!(bad, line);
            assert!(Entry::decode(bad.as_bytes()).is_err(), "{bad}");
        }
    }
    assert!(Entry::decode(b"").is_err() && Entry::decode(b"{}").is_err());
}

#[test]
fn a_changed_a_missing_a_doubled_and_a_moved_entry_are_found() {
    let good = chain();
    assert_eq!(verify([]).unwrap(), Head::default());
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at].at = Millis(9);
        // The last one's change shows in the head, which archives sign.
        match verify(&changed) {
            Err(broken) => assert_eq!(broken.seq, at as u64 + 1),
            Ok(head) => {
                assert_eq!(at, good.len() - 1);
                assert_ne!(head, verify(&good).unwrap());
            }
        }
        let mut missing = good.clone();
        missing.remove(at);
        match verify(&missing) {
            Err(broken) => assert_eq!(broken.seq, at as u64),
            Ok(head) => assert_eq!(head.size, good.len() as u64 - 1),
        }
        let mut doubled = good.clone();
        doubled.insert(at, good[at].clone());
        assert_eq!(verify(&doubled).unwrap_err().seq, at as u64 + 1);
    }
    let mut moved = good.clone();
    moved.swap(4, 5);
    assert_eq!(verify(&moved).unwrap_err().seq, 4);
    // Renumbered after a removal: the hashes do not fit.
    let mut renumbered = good;
    renumbered.remove(2);
    renumbered.iter_mut().enumerate().for_each(|(n, entry)| entry.seq = n as u64);
    assert_eq!(verify(&renumbered).unwrap_err().seq, 2);
}

#[test]
fn a_damaged_number_does_not_panic() {
    let last = Entry { seq: u64::MAX, ..chain().remove(0) };
    assert_eq!(Head::after(&last).size, u64::MAX);
}

proptest! {
    #[test]
    fn a_changed_byte_is_refused_or_another_entry(
        line in prop::sample::select(VERSION_1.lines().collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = line.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(entry) = Entry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes.clone());
            let same = bytes == line.as_bytes();
            prop_assert_eq!(entry.hash() == Entry::decode(line.as_bytes()).unwrap().hash(), same);
        }
    }

    #[test]
    fn garbage_is_no_entry(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Entry::decode(&bytes).is_err());
    }
}
