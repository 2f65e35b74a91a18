//! Opening an archive with its ledger: the entries inside are a chain, and it ends where the JSON says.

use std::io::BufRead;

use holdfast_ledger::{Entry, Head};
use holdfast_machine::{RowSink, SinkError};
use holdfast_records::{LedgerRow, Record as _};
use holdfast_recovery::{ArchiveError, LedgerHead, Opened, Public, Unseal, open_archive};
use holdfast_types::Row;

/// As [`open_archive`]; answers with the head of the ledger, too.
///
/// Errors: as there; the ledger inside breaks, or has another head than `public` names.
pub fn open_chained<R: BufRead + Send>(
    sealed: R,
    public: &Public,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
    progress: &mut dyn FnMut(u64),
) -> Result<(Opened, Head), ArchiveError> {
    let mut chained = Chained::new(sink);
    let opened = open_archive(sealed, Some(public), unseal, &mut chained, progress)?;
    // Only now: a tar that is damaged anywhere is told so, and not what its ledger looks like.
    let head = chained.end(&public.ledger);
    let head = head.map_err(|why| ArchiveError::Damaged(format!("the ledger inside: {why}")))?;
    Ok((opened, head))
}

/// Follows the ledger while its rows go by.
pub(crate) struct Chained<'a> {
    sink: &'a mut dyn RowSink,
    head: Result<Head, String>,
}

impl<'a> Chained<'a> {
    /// Before the first row, which `sink` gets.
    pub(crate) fn new(sink: &'a mut dyn RowSink) -> Self {
        Self { sink, head: Ok(Head::default()) }
    }

    /// The head after the last row.
    ///
    /// Errors: the first place where the ledger is no chain; its head is not the one that is `said`.
    pub(crate) fn end(self, said: &LedgerHead) -> Result<Head, String> {
        let head = self.head?;
        if (said.size, said.head.as_str()) == (head.size, head.hex().as_str()) {
            return Ok(head);
        }
        Err(format!(
            "it has {} entries and the head {}, its JSON says {} and {}",
            head.size,
            head.hex(),
            said.size,
            said.head
        ))
    }
}

impl RowSink for Chained<'_> {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        if row.table == LedgerRow::TABLE
            && let Ok(head) = &self.head
        {
            self.head = follow(*head, row);
        }
        self.sink.put(row)
    }
}

fn follow(head: Head, row: &Row) -> Result<Head, String> {
    let record = LedgerRow::decode(row.value.schema, &row.key, &row.value.body);
    let record = record.map_err(|error| error.to_string())?;
    let entry = Entry::decode(&record.entry).map_err(|error| error.to_string())?;
    if record.seq != entry.seq {
        return Err(format!("row {} holds entry {}", record.seq, entry.seq));
    }
    head.follow(&entry).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use holdfast_ledger::{EntryKind, append};
    use holdfast_types::{Millis, Value};

    use super::*;

    #[test]
    fn rows_that_are_no_chain_are_named() {
        let identity = holdfast_types::IdentityId([1; 32]);
        let kind = EntryKind::Administrator { identity };
        let first = append(&Head::default(), Millis(1), kind.clone());
        let second = append(&Head::after(&first), Millis(2), kind);
        let row = |seq, entry: &Entry| {
            let record = LedgerRow { seq, entry: entry.encode() };
            let body = record.encode();
            let (rev, at) = (holdfast_types::Revision(1), Millis(1));
            let value = Value { schema: body.schema, rev, at, body: body.bytes };
            Row { table: LedgerRow::TABLE, key: record.key(), value }
        };
        let at_first = follow(Head::default(), &row(0, &first)).unwrap();
        assert_eq!(follow(at_first, &row(1, &second)), Ok(Head::after(&second)));
        for (row, why) in [
            (row(2, &second), "row 2 holds entry 1"),
            (row(0, &first), "breaks at entry 1"),
            (row(1, &Entry { prev: "00".repeat(32), ..second.clone() }), "breaks at entry 1"),
        ] {
            let error = follow(at_first, &row).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
