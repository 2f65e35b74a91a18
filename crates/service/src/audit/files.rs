//! The files under the log: `NNNNNNNN.ndjson`, continued where the last one ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{File, Fs, FsError, Open, make_dirs};

use super::line::{follow, read};
use super::{AuditError, ChainHead};

/// How much is read at once; far above the longest line.
const CHUNK_BYTES: usize = 256 * 1024;

/// What opening found at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing unusual.
    Whole,
    /// So many bytes without a whole line in them were cut.
    Cut(u64),
    /// A file is damaged before its end; it was left, and the next one begun.
    Damaged(String),
}

/// The files, open for appending.
pub(super) struct Log {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    number: u64,
    file: Arc<dyn File>,
    end: u64,
    head: ChainHead,
    /// `end` and `head` as of the last sync.
    synced: (u64, ChainHead),
    /// Something may stand behind `end` that belongs to no line.
    ragged: bool,
    file_bytes_max: u64,
    pub(super) found: Found,
}

impl Log {
    pub(super) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        file_bytes_max: u64,
    ) -> Result<Self, AuditError> {
        make_dirs(&*fs, dir)?;
        let numbers = numbers(&*fs, dir)?;
        let number = numbers.last().copied().unwrap_or(1);
        let path = path(dir, number);
        let file = fs.open(&path, Open::Create)?;
        fs.sync_dir(dir)?;
        // The chain enters the last file where the one before it ended.
        let before = match numbers.len().checked_sub(2).and_then(|i| numbers.get(i)) {
            Some(before) => last_line(&*fs, &self::path(dir, *before))?,
            None => ChainHead::default(),
        };
        let tail = scan(&*file, before, number == 1)?;
        let mut log = Self {
            fs,
            dir: dir.to_owned(),
            number,
            file,
            end: tail.good_end,
            head: tail.head,
            synced: (tail.good_end, tail.head),
            ragged: false,
            file_bytes_max,
            found: Found::Whole,
        };
        match tail.after {
            After::Nothing => {}
            After::Torn(bytes) => {
                log.file.set_len(log.end)?;
                log.file.sync_all()?;
                log.found = Found::Cut(bytes);
            }
            After::Lines(last) => {
                log.head = last;
                log.file.sync_data()?;
                log.next_file()?;
                log.found = Found::Damaged(path.display().to_string());
            }
        }
        Ok(log)
    }

    pub(super) fn head(&self) -> ChainHead {
        self.head
    }

    /// Whether the next lines belong into the next file.
    pub(super) fn is_full(&self) -> bool {
        self.end >= self.file_bytes_max
    }

    /// Appends whole lines that take the chain to `head`. After an error nothing of them is left.
    pub(super) fn append(&mut self, lines: &[u8], head: ChainHead) -> Result<(), AuditError> {
        self.trim()?;
        if let Err(error) = self.file.write_at(lines, self.end) {
            // Part of it may stand there.
            self.ragged = true;
            // Where even cutting fails, the next append tries again.
            let _ = self.trim();
            return Err(error.into());
        }
        self.end += lines.len() as u64;
        self.head = head;
        Ok(())
    }

    /// Makes what was appended durable. After an error all of it since the last sync is gone: the system
    /// may have dropped those bytes and report the next sync as done all the same.
    pub(super) fn sync(&mut self) -> Result<(), AuditError> {
        let synced = self.trim().and_then(|()| Ok(self.file.sync_data()?));
        if let Err(error) = synced {
            (self.end, self.head) = self.synced;
            self.ragged = true;
            // Where even cutting fails, the next append tries again.
            let _ = self.trim();
            return Err(error);
        }
        self.synced = (self.end, self.head);
        Ok(())
    }

    /// Cuts what stands behind the last line.
    fn trim(&mut self) -> Result<(), AuditError> {
        if self.ragged {
            self.file.set_len(self.end)?;
            self.ragged = false;
        }
        Ok(())
    }

    /// Begins the next file; the chain goes on in it. The one before it must be synced.
    pub(super) fn next_file(&mut self) -> Result<(), AuditError> {
        let number = self.number + 1;
        let file = self.fs.open(&path(&self.dir, number), Open::Create)?;
        // Left over from an attempt that failed: nothing in it was ever reported.
        file.set_len(0)?;
        self.fs.sync_dir(&self.dir)?;
        (self.number, self.file, self.end) = (number, file, 0);
        (self.synced, self.ragged) = ((0, self.head), false);
        Ok(())
    }
}

/// The numbers of the log's files, ascending.
pub(super) fn numbers(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>, FsError> {
    let mut numbers: Vec<u64> = fs
        .read_dir(dir)?
        .iter()
        .filter_map(|entry| entry.name.to_str()?.strip_suffix(".ndjson")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a file lies.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}.ndjson"))
}

enum After {
    Nothing,
    Torn(u64),
    /// Lines follow the break; the chain may go on from the last of them.
    Lines(ChainHead),
}

struct Tail {
    head: ChainHead,
    good_end: u64,
    after: After,
}

/// Walks a file's lines from `before`. Where files before it were taken away the first line is believed.
fn scan(file: &dyn File, before: ChainHead, first_file: bool) -> Result<Tail, AuditError> {
    let mut head = before;
    let mut good_end = 0;
    let mut end = 0;
    let mut whole = true;
    let mut last_after_break = None;
    lines(file, &mut |line| {
        end += line.len() as u64;
        if end == line.len() as u64 && !first_file && head == ChainHead::default() {
            head = enter(line).unwrap_or_default();
        }
        whole = whole && follow(&mut head, line);
        if whole {
            good_end = end;
        } else if let Some(last) = read_head(line) {
            last_after_break = Some(last);
        }
    })?;
    let len = file.len()?;
    let after = match last_after_break {
        Some(last) => After::Lines(last),
        None if len > good_end => After::Torn(len - good_end),
        None => After::Nothing,
    };
    Ok(Tail { head, good_end, after })
}

/// The head just before `line`, by its own word.
pub(super) fn enter(line: &[u8]) -> Option<ChainHead> {
    let (seq, prev) = read(line)?;
    Some(ChainHead { count: seq.checked_sub(1)?, hash: prev })
}

/// The head just after `line`, by its own word.
fn read_head(line: &[u8]) -> Option<ChainHead> {
    let mut head = enter(line)?;
    follow(&mut head, line).then_some(head)
}

/// The head after the last whole line of a file; the default for a file without one.
fn last_line(fs: &dyn Fs, path: &Path) -> Result<ChainHead, AuditError> {
    let file = fs.open(path, Open::Read)?;
    let mut last = ChainHead::default();
    lines(&*file, &mut |line| {
        if let Some(head) = read_head(line) {
            last = head;
        }
    })?;
    Ok(last)
}

/// Every line of a file that ends with a newline, with it, in pieces of bounded memory. A stretch longer
/// than any line of ours comes as pieces that are none.
pub(super) fn lines(file: &dyn File, each: &mut dyn FnMut(&[u8])) -> Result<(), FsError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut filled, mut offset) = (0, 0);
    loop {
        let read = file.read_at(&mut buffer[filled..], offset)?;
        offset += read as u64;
        filled += read;
        let mut start = 0;
        while let Some(len) = buffer[start..filled].iter().position(|b| *b == b'\n') {
            each(&buffer[start..=start + len]);
            start += len + 1;
        }
        if read == 0 {
            return Ok(());
        }
        if start == 0 && filled == buffer.len() {
            each(&buffer);
            start = filled;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}
