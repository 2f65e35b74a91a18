//! One segment: its file, and where its records are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_fs::{File, Fs, Open, read_to_vec};
use holdfast_machine::LogId;

use super::record::{
    HeaderError, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, mark,
};
use super::small::Base;
use super::{SEGMENT_FILE_BYTES_MAX, TornTail};
use crate::StoreError;

/// Where a record is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) id: LogId,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) header: SegmentHeader,
    pub(crate) slots: Vec<Slot>,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// How many bytes are durable.
    pub(crate) synced: u64,
    pub(crate) seed: u64,
    /// What was found from `synced` to `end`, until [`Segment::settle`].
    unproven: Vec<u8>,
}

/// What a segment's file turned out to be.
pub(crate) enum Found {
    Whole(Segment),
    /// Records up to here are whole; behind them lies what a crash left.
    Torn(Segment, TornTail),
    /// Nothing was ever durable in it but its name.
    Unborn,
    /// Of an earlier era.
    Void,
}

impl Segment {
    /// The file name of the segment that begins with entry `first`.
    pub(crate) fn name(first: u64) -> String {
        format!("{first:016x}.log")
    }

    /// Makes a segment; its header and its name are durable on return.
    pub(crate) fn create(
        fs: &dyn Fs,
        dir: &Path,
        header: SegmentHeader,
    ) -> Result<Self, StoreError> {
        let path = dir.join(Self::name(header.first));
        let file = fs.open(&path, Open::Create)?;
        file.set_len(0)?;
        file.write_at(&header.encode(), 0)?;
        file.sync_all()?;
        fs.sync_dir(dir)?;
        let end = SEGMENT_HEADER as u64;
        let seed = SegmentHeader::seed(header.era, header.first);
        let (slots, unproven) = (Vec::new(), Vec::new());
        Ok(Self { path, file, header, slots, end, synced: end, seed, unproven })
    }

    /// Reads a segment and judges it. `first` comes from its name; what the base says is cut counts
    /// as torn.
    pub(crate) fn open(
        fs: &dyn Fs,
        path: &Path,
        base: &Base,
        first: u64,
    ) -> Result<Found, StoreError> {
        let era = base.era;
        let bytes = read_to_vec(fs, path, SEGMENT_FILE_BYTES_MAX)?;
        let seed = SegmentHeader::seed(era, first);
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) if header.era < era => return Ok(Found::Void),
            Ok(header) if header.era == era && header.first == first => header,
            Err(HeaderError::Newer(found)) => {
                return Err(StoreError::Newer { path: path.to_path_buf(), found });
            }
            // The header is durable before anything follows it.
            Err(HeaderError::Damaged) if last_synced(&bytes, seed).is_none() => {
                return Ok(Found::Unborn);
            }
            _ => return Err(damaged(path, 0, "wrong header")),
        };
        let file = fs.open(path, Open::Write)?;
        let end = SEGMENT_HEADER as u64;
        let path = path.to_path_buf();
        let (slots, unproven) = (Vec::new(), Vec::new());
        // Not even the header is, until a record says so: no sync of it may have succeeded.
        let mut segment = Self { path, file, header, slots, end, synced: 0, seed, unproven };
        let torn = segment.scan(&bytes, base.cut)?;
        let unproven = bytes.get(segment.synced as usize..segment.end as usize);
        segment.unproven = unproven.unwrap_or_default().to_vec();
        match torn {
            None => Ok(Found::Whole(segment)),
            Some(bytes) => {
                let torn = TornTail {
                    segment: segment.path.clone(),
                    offset: segment.end,
                    bytes,
                    last: segment.last(),
                };
                Ok(Found::Torn(segment, torn))
            }
        }
    }

    /// Finds the records. Returns how many bytes behind them are what a crash left.
    fn scan(&mut self, bytes: &[u8], cut: u64) -> Result<Option<u64>, StoreError> {
        let mut at = SEGMENT_HEADER;
        while at < bytes.len() {
            if self.next_index() >= cut {
                return Ok(Some((bytes.len() - at) as u64));
            }
            let Some(header) = RecordHeader::decode(&bytes[at..], self.seed) else {
                return self.judge(bytes, at);
            };
            self.synced = self.synced.max(header.synced);
            let body_at = at + RECORD_HEADER;
            if header.is_mark {
                // A mark ends the segment, or was being overwritten by the next record.
                return if body_at == bytes.len() { Ok(None) } else { self.judge(bytes, body_at) };
            }
            let end = body_at.saturating_add(header.len as usize);
            let whole = bytes.get(body_at..end).is_some_and(|b| header.body_is_whole(b, self.seed));
            if !whole {
                return self.judge(bytes, at);
            }
            if header.id.index != self.next_index() {
                return Err(damaged(&self.path, at as u64, "an entry out of order"));
            }
            self.slots.push(Slot { id: header.id, offset: at as u64, len: header.len });
            self.end = end as u64;
            at = end;
        }
        Ok(None)
    }

    /// The bytes at `at` are no record. They are damage if anything proves that they were durable:
    /// any header, before or behind, which was written when more than `at` bytes were. Otherwise
    /// they were being written when the machine stopped.
    fn judge(&mut self, bytes: &[u8], at: usize) -> Result<Option<u64>, StoreError> {
        let behind = last_synced(&bytes[at..], self.seed).unwrap_or(0);
        if behind.max(self.synced) > at as u64 {
            return Err(damaged(&self.path, at as u64, "a durable entry is not what was written"));
        }
        Ok(Some(bytes.len() as u64 - self.end))
    }

    /// Removes what a crash left behind the last record, durably.
    pub(crate) fn cut(&mut self) -> Result<(), StoreError> {
        self.file.set_len(self.end)?;
        self.settle()
    }

    /// Makes what was found durable. After a sync that failed, bytes are read back that are in memory
    /// and not on the disk, and that a later sync does not write: Linux takes them for written. So
    /// what no header proves to be durable is written again, as it was found and checked.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        let unproven = std::mem::take(&mut self.unproven);
        if !unproven.is_empty() {
            self.file.write_at(&unproven, self.synced)?;
        }
        self.sync()
    }

    /// Cuts everything after entry `index`, durably.
    pub(crate) fn truncate_after(&mut self, index: u64) -> Result<(), StoreError> {
        let keep = self.slots.partition_point(|slot| slot.id.index <= index);
        if let Some(first) = self.slots.get(keep) {
            self.end = first.offset;
            self.slots.truncate(keep);
        }
        self.synced = self.synced.min(self.end);
        self.cut()
    }

    /// Makes everything appended durable, and says so behind it.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.file.sync_data()?;
        self.synced = self.end;
        // Only evidence against later damage: overwritten by the next record, and a crash may lose
        // it. So a failure here is none of the entries'.
        let _ = self.file.write_at(&mark(self.synced, self.seed), self.end);
        Ok(())
    }

    /// Reads one record's body.
    pub(crate) fn read(&self, slot: &Slot) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; RECORD_HEADER + slot.len as usize];
        let read = self.file.read_at(&mut bytes, slot.offset)?;
        let whole = read == bytes.len()
            && RecordHeader::decode(&bytes, self.seed).is_some_and(|header| {
                header.id == slot.id && header.body_is_whole(&bytes[RECORD_HEADER..], self.seed)
            });
        if !whole {
            return Err(damaged(&self.path, slot.offset, "an entry is not what was written"));
        }
        bytes.drain(..RECORD_HEADER);
        Ok(bytes)
    }

    pub(crate) fn next_index(&self) -> u64 {
        self.slots.last().map_or(self.header.first, |slot| slot.id.index + 1)
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.slots.last().map_or(self.header.previous, |slot| Some(slot.id))
    }
}

/// The most bytes that any header in `bytes`, at whatever offset, says were durable.
fn last_synced(bytes: &[u8], seed: u64) -> Option<u64> {
    let headers = bytes.windows(RECORD_HEADER).filter_map(|at| RecordHeader::decode(at, seed));
    headers.map(|header| header.synced).max()
}

pub(crate) fn damaged(path: &Path, offset: u64, why: &'static str) -> StoreError {
    StoreError::LogDamaged { segment: path.to_path_buf(), offset, why }
}
