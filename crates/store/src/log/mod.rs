//! Raft's log: segments of checksummed records, a vote, a base.
//!
//! Promises:
//! - What [`Log::append`] took is durable once [`Log::sync`] returned; the vote, a truncation, a purge
//!   and a reset are durable when their call returns.
//! - [`Log::open`] tells a torn tail (what was being written when the machine stopped; it is cut and
//!   reported) from damage to what was durable (an error naming segment and offset). Every header says
//!   how many bytes were durable when it was written, and a mark behind the last record says so for
//!   it; damage is what any of them proves to have been durable.
//! - What [`Log::open`] found is durable when it returns, even where a sync failed before.
//! - Every read checks the record's checksums.
//! - After a failed write nothing more is written.

mod record;
mod segment;
mod small;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{Fs, make_dirs};
use holdfast_machine::LogId;

use self::record::{RECORD_HEADER, SegmentHeader, put_record};
use self::segment::{Found, Segment, Slot, damaged};
use self::small::{Base, NO_CUT};
use crate::StoreError;

/// A segment that has grown to this gets no more records, in bytes.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Longest segment file that is read: a full segment and one group of records.
const SEGMENT_FILE_BYTES_MAX: usize = 1 << 30;
/// Largest entry, in bytes: commands are at most 1 MiB, membership far less.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// What a crash left behind the last whole record. It was cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The segment's file.
    pub segment: PathBuf,
    /// Where it was cut, in bytes from the start.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// The last entry before it: what came after was never known to be durable.
    pub last: Option<LogId>,
}

/// What [`Log::open`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The last entry, or the last purged one.
    pub last: Option<LogId>,
    /// What was cut.
    pub torn: Option<TornTail>,
}

/// The log. One writer; reads take `&self`.
#[derive(Debug)]
pub struct Log {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    base: Base,
    segments: Vec<Segment>,
    vote: Option<Vec<u8>>,
    segment_bytes: u64,
    stopped: bool,
}

impl Log {
    /// Opens the log in `dir`, making an empty one where there is none.
    ///
    /// Errors: [`StoreError::LogDamaged`] or [`StoreError::Corrupt`] when something that was durable
    /// is not what was written.
    pub fn open(fs: Arc<dyn Fs>, dir: &Path) -> Result<(Self, Opened), StoreError> {
        Self::open_with(fs, dir, SEGMENT_BYTES)
    }

    /// As [`Self::open`], with segments of about `segment_bytes`. For tests.
    pub fn open_with(
        fs: Arc<dyn Fs>,
        dir: &Path,
        segment_bytes: u64,
    ) -> Result<(Self, Opened), StoreError> {
        make_dirs(fs.as_ref(), dir)?;
        let mut base = Base::load(fs.as_ref(), dir)?;
        let vote = small::load_vote(fs.as_ref(), dir)?;
        let (segments, torn) = open_segments(fs.as_ref(), dir, &base)?;
        if base.cut != NO_CUT {
            base.cut = NO_CUT;
            base.save(fs.as_ref(), dir)?;
        }
        let dir = dir.to_path_buf();
        let log = Self { fs, dir, base, segments, vote, segment_bytes, stopped: false };
        let opened = Opened { last: log.last(), torn };
        Ok((log, opened))
    }

    /// The last entry, or the last purged one; `None` in a log that never had any.
    #[must_use]
    pub fn last(&self) -> Option<LogId> {
        let last = self.segments.last().and_then(Segment::last);
        match (last, self.base.purged) {
            (Some(last), Some(purged)) if last.index < purged.index => Some(purged),
            (last, purged) => last.or(purged),
        }
    }

    /// The last entry that is no longer in the log.
    #[must_use]
    pub fn purged(&self) -> Option<LogId> {
        self.base.purged
    }

    /// Appends entries; not durable before [`Self::sync`].
    ///
    /// Errors: [`StoreError::OutOfOrder`] unless each entry's index is the last one's plus one (any
    /// index begins an empty log). After an error none of them is in the log.
    pub fn append(&mut self, entries: &[(LogId, Vec<u8>)]) -> Result<(), StoreError> {
        self.check_running()?;
        let Some((first, _)) = entries.first() else { return Ok(()) };
        let last = self.last().map(|id| id.index);
        let next = last.map_or(first.index, |last| last + 1);
        for (next, (id, payload)) in (next..).zip(entries) {
            if id.index != next || payload.len() > PAYLOAD_BYTES_MAX {
                return Err(StoreError::OutOfOrder { last, found: id.index });
            }
        }
        let result = self.segment_for(first.index).and_then(|segment| write(segment, entries));
        self.watch(result)
    }

    /// Makes everything appended durable.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.check_running()?;
        let Some(segment) = self.segments.last_mut() else { return Ok(()) };
        if segment.synced >= segment.end {
            return Ok(());
        }
        let result = segment.sync();
        self.watch(result)
    }

    /// Removes the entries after `index` (`None`: all of them); durable on return.
    pub fn truncate_after(&mut self, index: Option<u64>) -> Result<(), StoreError> {
        self.check_running()?;
        let result = self.truncate(index);
        self.watch(result)
    }

    /// Forgets the entries up to `id`; durable on return. One beyond the end leaves an empty log that
    /// goes on after `id`.
    pub fn purge_to(&mut self, id: LogId) -> Result<(), StoreError> {
        self.check_running()?;
        if self.base.purged.is_some_and(|purged| purged.index >= id.index) {
            return Ok(());
        }
        if self.last().is_none_or(|last| last.index < id.index) {
            return self.reset(id);
        }
        let result = self.purge(id);
        self.watch(result)
    }

    /// Makes the log empty, going on after `base`, whatever was in it; durable on return.
    pub fn reset(&mut self, base: LogId) -> Result<(), StoreError> {
        self.check_running()?;
        let result = self.start_era(base);
        self.watch(result)
    }

    /// The entries with indexes in `range`, as far as the log has them.
    ///
    /// Errors: [`StoreError::LogDamaged`] when one is not what was written.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<(LogId, Vec<u8>)>, StoreError> {
        let start = self.base.purged.map_or(0, |purged| purged.index + 1).max(range.start);
        let mut entries = Vec::new();
        for segment in &self.segments {
            let from = segment.slots.partition_point(|slot| slot.id.index < start);
            for slot in segment.slots[from..].iter().take_while(|s| s.id.index < range.end) {
                entries.push((slot.id, segment.read(slot)?));
            }
        }
        Ok(entries)
    }

    /// Saves the vote; durable on return.
    pub fn save_vote(&mut self, vote: &[u8]) -> Result<(), StoreError> {
        self.check_running()?;
        let result = small::save_vote(self.fs.as_ref(), &self.dir, vote);
        self.watch(result)?;
        self.vote = Some(vote.to_vec());
        Ok(())
    }

    /// The vote saved last.
    pub fn vote(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.vote.clone())
    }

    fn check_running(&self) -> Result<(), StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped { path: self.dir.clone() });
        }
        Ok(())
    }

    fn watch<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.stopped |= result.is_err();
        result
    }

    /// The segment that takes the next entry: the last one, or a new one when that is full.
    fn segment_for(&mut self, first: u64) -> Result<&mut Segment, StoreError> {
        let full = self.segments.last().is_none_or(|segment| segment.end >= self.segment_bytes);
        if full {
            if let Some(last) = self.segments.last_mut() {
                // Only the last segment may have a tail that is not durable.
                last.sync()?;
            }
            let header = SegmentHeader { era: self.base.era, first, previous: self.last() };
            self.segments.push(Segment::create(self.fs.as_ref(), &self.dir, header)?);
        }
        Ok(self.segments.last_mut().expect("there is one, or one was just made"))
    }

    /// The intent is durable first: a disk that stops half-way through a cut leaves holes in what was
    /// durable, and opening must know that they are none.
    fn truncate(&mut self, index: Option<u64>) -> Result<(), StoreError> {
        let cut = index.map_or(0, |index| index.saturating_add(1));
        if self.segments.last().is_none_or(|last| last.next_index() <= cut) {
            return Ok(());
        }
        self.base.cut = cut;
        self.base.save(self.fs.as_ref(), &self.dir)?;
        while let Some(segment) = self.segments.pop_if(|segment| segment.header.first >= cut) {
            self.fs.remove_file(&segment.path)?;
        }
        self.fs.sync_dir(&self.dir)?;
        if let (Some(segment), Some(index)) = (self.segments.last_mut(), index) {
            segment.truncate_after(index)?;
        }
        self.base.cut = NO_CUT;
        self.base.save(self.fs.as_ref(), &self.dir)
    }

    fn purge(&mut self, id: LogId) -> Result<(), StoreError> {
        self.base.purged = Some(id);
        self.base.save(self.fs.as_ref(), &self.dir)?;
        // A segment goes once the next one begins at or before the first entry that is kept. The
        // removals need not be durable: what comes back is recognised and removed again.
        let keep = self.segments.partition_point(|s| s.header.first <= id.index + 1);
        for segment in self.segments.drain(..keep.saturating_sub(1)) {
            self.fs.remove_file(&segment.path)?;
        }
        Ok(())
    }

    /// The new era, once saved, voids every segment at once.
    fn start_era(&mut self, base: LogId) -> Result<(), StoreError> {
        self.base = Base { era: self.base.era + 1, purged: Some(base), cut: NO_CUT };
        self.base.save(self.fs.as_ref(), &self.dir)?;
        for segment in self.segments.drain(..) {
            self.fs.remove_file(&segment.path)?;
        }
        Ok(self.fs.sync_dir(&self.dir)?)
    }
}

/// Writes entries behind the last record, in one write.
fn write(segment: &mut Segment, entries: &[(LogId, Vec<u8>)]) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    let mut slots = Vec::with_capacity(entries.len());
    for (id, payload) in entries {
        let offset = segment.end + bytes.len() as u64;
        put_record(&mut bytes, *id, payload, segment.synced, segment.seed);
        let len = bytes.len() - (offset - segment.end) as usize - RECORD_HEADER;
        slots.push(Slot { id: *id, offset, len: u32::try_from(len).expect("checked by append") });
    }
    if let Err(error) = segment.file.write_at(&bytes, segment.end) {
        // Whole records of the failed write must not come back at the next start.
        segment.file.set_len(segment.end)?;
        return Err(error.into());
    }
    segment.end += bytes.len() as u64;
    segment.slots.append(&mut slots);
    Ok(())
}

/// Opens what is there, oldest first, and removes what is void or purged.
fn open_segments(
    fs: &dyn Fs,
    dir: &Path,
    base: &Base,
) -> Result<(Vec<Segment>, Option<TornTail>), StoreError> {
    // The base was read, and may not be durable yet; what it voids goes only after it is.
    fs.sync_dir(dir)?;
    let mut files = segment_files(fs, dir)?;
    let mut segments: Vec<Segment> = Vec::new();
    let mut torn = None;
    let first_kept = base.purged.map_or(0, |purged| purged.index + 1);
    while let Some((_, path)) = files.pop_if(|(first, _)| *first >= base.cut) {
        fs.remove_file(&path)?;
    }
    drop_purged(fs, dir, base, first_kept, &mut files)?;
    let mut files = files.into_iter().peekable();
    while let Some((first, path)) = files.next() {
        let next = files.peek().map(|(first, _)| *first);
        let is_last = next.is_none();
        let segment = match Segment::open(fs, &path, base, first)? {
            Found::Void => {
                fs.remove_file(&path)?;
                continue;
            }
            Found::Unborn if is_last => {
                fs.remove_file(&path)?;
                continue;
            }
            Found::Unborn => return Err(damaged(&path, 0, "wrong header")),
            Found::Whole(segment) => segment,
            Found::Torn(mut segment, tail) if is_last => {
                segment.cut()?;
                // The end of a cut that a crash interrupted is no torn tail.
                torn = (segment.next_index() < base.cut).then_some(tail);
                segment
            }
            // Its mark may be torn, as the mark is never synced.
            Found::Torn(mut segment, _) if Some(segment.next_index()) == next => {
                segment.cut()?;
                segment
            }
            Found::Torn(_, tail) => {
                return Err(damaged(&path, tail.offset, "entries are missing behind it"));
            }
        };
        check_follows(segments.last(), &segment, base)?;
        segments.push(segment);
    }
    // Damage took entries off its end that were purged before: the next entry would not follow in it.
    let purged = |segment: &mut Segment| segment.next_index() < first_kept;
    if let Some(segment) = segments.pop_if(purged) {
        fs.remove_file(&segment.path)?;
    }
    fs.sync_dir(dir)?;
    if let Some(last) = segments.last_mut() {
        // After a kill or a failed sync, entries are found that were never durable.
        last.settle()?;
    }
    Ok((segments, torn))
}

fn segment_files(fs: &dyn Fs, dir: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut files = Vec::new();
    for entry in fs.read_dir(dir)? {
        let Some(name) = entry.name.to_str() else { continue };
        let Some(digits) = name.strip_suffix(".log") else { continue };
        if let Ok(first) = u64::from_str_radix(digits, 16) {
            files.push((first, dir.join(name)));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes segments of which nothing is kept: those before the last one, of this era, that begins at
/// or before the first entry kept. A crash may have brought back any of them, so gaps between them
/// mean nothing.
fn drop_purged(
    fs: &dyn Fs,
    dir: &Path,
    base: &Base,
    first_kept: u64,
    files: &mut Vec<(u64, PathBuf)>,
) -> Result<(), StoreError> {
    let mut keep_from = 0;
    for (i, (first, path)) in files.iter().enumerate() {
        if *first <= first_kept && !matches!(Segment::open(fs, path, base, *first)?, Found::Void) {
            keep_from = i;
        }
    }
    for (_, path) in files.drain(..keep_from) {
        fs.remove_file(&path)?;
    }
    Ok(fs.sync_dir(dir)?)
}

fn check_follows(
    before: Option<&Segment>,
    segment: &Segment,
    base: &Base,
) -> Result<(), StoreError> {
    let header = &segment.header;
    let follows = match before {
        Some(before) => header.first == before.next_index() && header.previous == before.last(),
        None => match base.purged {
            Some(purged) => header.first <= purged.index + 1,
            None => header.previous.is_none(),
        },
    };
    if follows { Ok(()) } else { Err(damaged(&segment.path, 0, "entries are missing before it")) }
}
