//! The chain: each entry names the one before.

use holdfast_types::Millis;

use crate::{Entry, EntryKind};

/// How far a ledger goes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// Hash of the last one; zeros without any.
    pub hash: [u8; 32],
}

/// The first place where a ledger is not a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger breaks at entry {seq}: {why}")]
pub struct Broken {
    /// The entry that should stand there.
    pub seq: u64,
    /// What is wrong.
    pub why: &'static str,
}

impl Head {
    /// The head after `entry`, which is the last one.
    #[must_use]
    pub fn after(entry: &Entry) -> Self {
        Self { size: entry.seq + 1, hash: entry.hash() }
    }

    /// The hash in lower-case hex.
    #[must_use]
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.hash.iter().fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

/// The entry that follows `head`. Times do not go back: callers pass the state's time.
#[must_use]
pub fn append(head: &Head, at: Millis, kind: EntryKind) -> Entry {
    Entry { at, kind, prev: head.hex(), seq: head.size }
}

/// Checks a ledger from its first entry on.
///
/// Errors: the first entry that is missing, out of order, or does not name the one before.
pub fn verify<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Head, Broken> {
    let mut head = Head::default();
    for entry in entries {
        let broken = |why| Err(Broken { seq: head.size, why });
        if entry.seq != head.size {
            return broken("another entry stands there");
        }
        if entry.prev != head.hex() {
            return broken("it does not name the entry before");
        }
        head = Head::after(entry);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use holdfast_types::{ArchiveId, IdentityId};

    use super::*;

    fn chain() -> Vec<Entry> {
        let kinds = [
            EntryKind::Administrator { identity: IdentityId([1; 32]) },
            EntryKind::Verified { archive_id: ArchiveId([2; 16]), by: "vault".to_owned() },
            EntryKind::Stored {
                archive_id: ArchiveId([2; 16]),
                by: "vault".to_owned(),
                place: "/a".to_owned(),
            },
        ];
        let mut head = Head::default();
        let mut out = Vec::new();
        for (n, kind) in kinds.into_iter().enumerate() {
            let entry = append(&head, Millis(n as u64), kind);
            head = Head::after(&entry);
            out.push(entry);
        }
        out
    }

    #[test]
    fn a_chain_verifies_and_its_encoding_is_fixed() {
        let entries = chain();
        let head = verify(&entries).unwrap();
        assert_eq!(head, Head::after(&entries[2]));
        let text = String::from_utf8(entries[1].encode()).unwrap();
        let prev = Head::after(&entries[0]).hex();
        assert_eq!(
            text,
            format!(
                "{{\"at\":1,\"kind\":{{\"verified\":{{\"archive_id\":\"{}\",\"by\":\"vault\"}}}},\
                 \"prev\":\"{prev}\",\"seq\":1}}",
                "02".repeat(16)
            )
        );
        assert_eq!(Entry::decode(text.as_bytes()).unwrap(), entries[1]);
        assert!(Entry::decode(text.replace(':', ": ").as_bytes()).is_err());
        assert!(Entry::decode(b"{}").is_err());
    }

    #[test]
    fn a_changed_a_missing_and_a_moved_entry_are_found() {
        let good = chain();
        let mut changed = good.clone();
        changed[0].at = Millis(9);
        assert_eq!(verify(&changed).unwrap_err().seq, 1);
        assert_eq!(verify(&good[1..]).unwrap_err().seq, 0);
        let mut moved = good;
        moved.swap(1, 2);
        assert_eq!(verify(&moved).unwrap_err().seq, 1);
    }
}
