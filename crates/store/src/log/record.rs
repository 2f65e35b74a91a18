//! The bytes of a segment: a header, records, and at its end a mark.
//!
//! ```text
//! segment header  magic 8 | format u32 | zero u32 | era u64 | first u64
//!                 | term u64 | node u64 | has previous u64 | xxh3 u64            64 bytes
//! record          kind u32 | length u32 | term u64 | node u64 | index u64
//!                 | synced u64 | xxh3 of the body u64 | xxh3 of the header u64   56 bytes, then the body
//! mark            a record header of its own kind with length 0
//! ```
//!
//! Integers are little-endian. Checksums are XXH3-64, seeded by era and first index, so that bytes of
//! another segment never pass. `synced` says how many bytes of the segment were known durable when
//! the header was written: it is what tells a torn tail from damage.

use holdfast_machine::LogId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// Bytes of a record's header, and of a mark.
pub(crate) const RECORD_HEADER: usize = 56;

const MAGIC: &[u8; 8] = b"HFASTLOG";
const FORMAT: u32 = 1;
const RECORD: u32 = 0x3143_4552;
const MARK: u32 = 0x314b_524d;

/// What a segment's header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    /// Raised by every reset; segments of an earlier one are void.
    pub(crate) era: u64,
    /// Index of the first record.
    pub(crate) first: u64,
    /// The entry before the first, if there was one.
    pub(crate) previous: Option<LogId>,
}

/// What is wrong with a segment's header.
pub(crate) enum HeaderError {
    Damaged,
    Newer(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let previous = self.previous.unwrap_or(LogId { term: 0, node: 0, index: 0 });
        let has = u64::from(self.previous.is_some());
        for (i, n) in
            [self.era, self.first, previous.term, previous.node, has].into_iter().enumerate()
        {
            bytes[16 + i * 8..24 + i * 8].copy_from_slice(&n.to_le_bytes());
        }
        let sum = xxh3_64_with_seed(&bytes[..56], 0);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.get(..SEGMENT_HEADER).ok_or(HeaderError::Damaged)?;
        if &header[..8] != MAGIC || u64_at(header, 56) != xxh3_64_with_seed(&header[..56], 0) {
            return Err(HeaderError::Damaged);
        }
        let format = u32_at(header, 8);
        if format != FORMAT {
            return Err(HeaderError::Newer(format));
        }
        let first = u64_at(header, 24);
        let previous = match (u64_at(header, 48), first.checked_sub(1)) {
            (1, Some(index)) => {
                Some(LogId { term: u64_at(header, 32), node: u64_at(header, 40), index })
            }
            (0, _) => None,
            _ => return Err(HeaderError::Damaged),
        };
        Ok(Self { era: u64_at(header, 16), first, previous })
    }

    /// Seeds the checksums of the segment's records.
    pub(crate) fn seed(era: u64, first: u64) -> u64 {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&era.to_le_bytes());
        bytes[8..].copy_from_slice(&first.to_le_bytes());
        xxh3_64_with_seed(&bytes, 1)
    }
}

/// A record's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) is_mark: bool,
    pub(crate) len: u32,
    pub(crate) id: LogId,
    pub(crate) synced: u64,
    body_sum: u64,
}

impl RecordHeader {
    /// Decodes the header at the start of `bytes`; `None` unless it is one, whole and unchanged.
    pub(crate) fn decode(bytes: &[u8], seed: u64) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER)?;
        let kind = u32_at(header, 0);
        // The kind first: this runs at every offset of a damaged tail.
        if (kind != RECORD && kind != MARK)
            || u64_at(header, 48) != xxh3_64_with_seed(&header[..48], seed)
        {
            return None;
        }
        Some(Self {
            is_mark: kind == MARK,
            len: u32_at(header, 4),
            id: LogId {
                term: u64_at(header, 8),
                node: u64_at(header, 16),
                index: u64_at(header, 24),
            },
            synced: u64_at(header, 32),
            body_sum: u64_at(header, 40),
        })
    }

    pub(crate) fn body_is_whole(&self, body: &[u8], seed: u64) -> bool {
        body.len() == self.len as usize && self.body_sum == xxh3_64_with_seed(body, seed)
    }
}

/// Appends a record to `out`.
pub(crate) fn put_record(out: &mut Vec<u8>, id: LogId, body: &[u8], synced: u64, seed: u64) {
    let len = u32::try_from(body.len()).expect("the log bounds entries far below 4 GiB");
    put(out, RECORD, len, id, synced, body, seed);
    out.extend_from_slice(body);
}

/// A mark: `synced` bytes before it are durable.
pub(crate) fn mark(synced: u64, seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(RECORD_HEADER);
    put(&mut out, MARK, 0, LogId { term: 0, node: 0, index: 0 }, synced, &[], seed);
    out
}

fn put(out: &mut Vec<u8>, kind: u32, len: u32, id: LogId, synced: u64, body: &[u8], seed: u64) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    for n in [id.term, id.node, id.index, synced, xxh3_64_with_seed(body, seed)] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    let sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of a checked header"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes of a checked header"))
}
