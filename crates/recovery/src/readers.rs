//! The rows of an archive, read on every core: lines are parsed, digested and unwrapped in pieces, and come
//! back in their order. Memory is bounded: a few pieces are under way at a time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use holdfast_keyring::Keyring;
use holdfast_machine::Digester;
use holdfast_records::{KeyVersion, Record as _, RootGeneration, VersionState, json};
use holdfast_types::limits::LINE_BYTES_MAX;
use holdfast_types::{Row, Table};

use crate::ArchiveError;
use crate::give_way::GiveWay;

/// Bytes of lines that one thread takes at a time; one line may be longer.
const PIECE_BYTES: usize = 128 * 1024;
/// Threads at most: beyond this the one that decrypts and stores cannot keep up.
const THREADS_MAX: usize = 8;

/// Whole lines of one member.
pub(crate) struct Piece {
    table: Table,
    table_name: &'static str,
    member: Arc<Vec<u8>>,
    range: Range<usize>,
}

/// What stands in a piece.
#[derive(Default)]
pub(crate) struct Lines {
    /// In strictly ascending order.
    pub(crate) rows: Vec<Row>,
    /// Of these rows.
    pub(crate) digester: Digester,
    /// Key versions that were unwrapped.
    pub(crate) versions: u64,
    /// The root generations among them.
    pub(crate) roots: Vec<RootGeneration>,
}

type Answer = Result<Lines, ArchiveError>;
type Job = (Piece, SyncSender<Answer>);

/// Reads pieces; answers in the order in which they were given.
pub(crate) struct Readers<'a> {
    keyring: &'a Keyring,
    /// To the threads; `None` where the caller's does it all.
    jobs: Option<SyncSender<Job>>,
    under_way: VecDeque<Receiver<Answer>>,
    under_way_max: usize,
}

/// How many threads there is use for.
pub(crate) fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX)
}

impl<'a> Readers<'a> {
    /// Starts `threads` in `scope`; with one the caller's own thread reads. They end when this is dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        keyring: &'a Keyring,
        threads: usize,
    ) -> Self
    where
        'a: 'scope,
    {
        let under_way_max = 2 * threads;
        let jobs = (threads > 1).then(|| {
            let (sender, receiver) = sync_channel::<Job>(under_way_max);
            let receiver = Arc::new(Mutex::new(receiver));
            for _ in 0..threads {
                let receiver = Arc::clone(&receiver);
                scope.spawn(move || work(&receiver, keyring));
            }
            sender
        });
        Self { keyring, jobs, under_way: VecDeque::new(), under_way_max }
    }

    /// Takes a piece. Where enough are under way, the oldest of them is answered.
    pub(crate) fn give(&mut self, piece: Piece) -> Result<Option<Lines>, ArchiveError> {
        let Some(jobs) = &self.jobs else { return piece.read(self.keyring).map(Some) };
        let (sender, receiver) = sync_channel(1);
        jobs.send((piece, sender)).map_err(|_| failed())?;
        self.under_way.push_back(receiver);
        if self.under_way.len() < self.under_way_max { Ok(None) } else { self.next() }
    }

    /// The oldest piece that is under way; `None` where there is none.
    pub(crate) fn next(&mut self) -> Result<Option<Lines>, ArchiveError> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(None) };
        oldest.recv().map_err(|_| failed())?.map(Some)
    }
}

fn failed() -> ArchiveError {
    ArchiveError::damaged("a thread that read it failed")
}

fn work(jobs: &Mutex<Receiver<Job>>, keyring: &Keyring) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((piece, answer)) = job else { return };
        // Whoever asked may have met an error and gone.
        let _ = answer.send(piece.read(keyring));
    }
}

impl Piece {
    /// Cuts a member into pieces, at the ends of lines.
    ///
    /// Errors: it is empty, or its last line does not end.
    pub(crate) fn cut(
        table: Table,
        table_name: &'static str,
        member: Vec<u8>,
    ) -> Result<Vec<Self>, ArchiveError> {
        if member.last() != Some(&b'\n') {
            return Err(refused(table_name, "does not end"));
        }
        let member = Arc::new(member);
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < member.len() {
            let least = (start + PIECE_BYTES).min(member.len()) - 1;
            let line = member[least..].iter().position(|byte| *byte == b'\n');
            let end = line.map_or(member.len(), |line| least + line + 1);
            let member = Arc::clone(&member);
            pieces.push(Self { table, table_name, member, range: start..end });
            start = end;
        }
        Ok(pieces)
    }

    fn read(&self, keyring: &Keyring) -> Answer {
        let refuse = |why: &str| refused(self.table_name, why);
        let mut lines = Lines::default();
        let mut give_way = GiveWay::default();
        // It ends with a newline, after which nothing begins.
        let body = &self.member[self.range.start..self.range.end - 1];
        for line in body.split(|byte| *byte == b'\n') {
            give_way.row();
            if line.len() > LINE_BYTES_MAX {
                return Err(refuse("is too long"));
            }
            let text = std::str::from_utf8(line).map_err(|_| refuse("is not UTF-8"))?;
            let row = json::parse(self.table, text).map_err(|error| refuse(&error.to_string()))?;
            if lines.rows.last().is_some_and(|last| last.key >= row.key) {
                return Err(out_of_order(self.table_name));
            }
            lines.digester.add(&row);
            if !row.value.is_tombstone() {
                lines.keys(&row, keyring)?;
            }
            lines.rows.push(row);
        }
        Ok(lines)
    }
}

impl Lines {
    /// Unwraps a key version against its check value; keeps root generations for the end.
    fn keys(&mut self, row: &Row, keyring: &Keyring) -> Result<(), ArchiveError> {
        let (schema, body) = (row.value.schema, &row.value.body);
        if row.table == Table::KEY_VERSIONS {
            let version = KeyVersion::decode(schema, &row.key, body)?;
            if version.state != VersionState::Destroyed {
                keyring.check_version(&version)?;
                self.versions += 1;
            }
        } else if row.table == Table::ROOT_GENERATIONS {
            self.roots.push(RootGeneration::decode(schema, &row.key, body)?);
        }
        Ok(())
    }
}

fn refused(table_name: &str, why: &str) -> ArchiveError {
    ArchiveError::damaged(format!("a line of {table_name}: {why}"))
}

/// A row whose key is not above the one before.
pub(crate) fn out_of_order(table_name: &str) -> ArchiveError {
    refused(table_name, "is out of order, or stands twice")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(member: &[u8]) -> Vec<Vec<u8>> {
        let pieces = Piece::cut(Table::KEYS, "keys", member.to_vec()).unwrap_or_default();
        pieces.iter().map(|piece| piece.member[piece.range.clone()].to_vec()).collect()
    }

    #[test]
    fn pieces_are_whole_lines_and_all_of_them() {
        assert!(Piece::cut(Table::KEYS, "keys", Vec::new()).is_err());
        assert!(Piece::cut(Table::KEYS, "keys", b"a\nb".to_vec()).is_err());
        assert_eq!(cut(b"a\n"), [b"a\n"]);
        for line in [1, 100, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let mut member = Vec::new();
            for n in 0..(4 * PIECE_BYTES).div_ceil(line) {
                member.extend(std::iter::repeat_n(b'a' + (n % 26) as u8, line - 1));
                member.push(b'\n');
            }
            let pieces = cut(&member);
            assert!(pieces.len() > 1 && pieces.concat() == member, "lines of {line}");
            assert!(pieces.iter().all(|piece| piece.last() == Some(&b'\n')));
            assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + line));
        }
    }
}
