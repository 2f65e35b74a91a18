//! The bounded queue between callers and the writer: two byte buffers that change places.
//!
//! Callers append a compact record under a short lock; no allocation once the buffers have grown, no
//! system call except to wake a writer that sleeps. The writer takes the whole buffer at once.
//!
//! The buffer has three rooms, each with its bound, so that a flood of one kind takes nothing from the
//! others: what strangers ask, above all, costs nobody else a line.

use std::time::Duration;

use holdfast_types::{IdentityId, Kind, Millis};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::line::cut_as_written;
use super::strangers::Strangers;
use super::{AuditError, ChainHead, Outcome, Record, Resource, Room};
use crate::Action;

/// Longest text of a record; longer ones are cut.
const TEXT_BYTES_MAX: usize = 1024;
/// Longest text of a stranger's, as it stands in the line.
const STRANGERS_TEXT_BYTES_MAX: usize = 256;
/// What part of the room for calls there is for strangers' besides, and for the ends of administration.
const ROOM_PART: usize = 4;
/// What a batch may wait for company.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes of records that wait no longer: a batch and its lines shall not push everything else out of the caches
/// nearest to a core.
const PIECE: usize = 32 << 10;
/// What stands in the buffer.
const CALL: u8 = 0;
const GAP: u8 = 1;
/// Result codes in the buffer: kinds follow.
const BEGUN: u8 = 254;
const OK: u8 = 255;

type Waiter = oneshot::Sender<Result<(), AuditError>>;

/// What the writer takes at once.
#[derive(Default)]
pub(super) struct Batch {
    /// Encoded entries.
    pub bytes: Vec<u8>,
    /// How much of it each room holds.
    taken: [usize; 3],
    /// Records that were dropped after these; none once it was taken.
    gap: u64,
    /// Who waits until these are synced.
    pub waiters: Vec<Waiter>,
    /// Nothing follows.
    pub closed: bool,
}

#[derive(Default)]
struct State {
    waiting: Batch,
    /// The writer sleeps: it wants to be woken when so many bytes of records wait.
    wake_at: Option<usize>,
    /// Somebody waits for the disk.
    urgent: bool,
    head: ChainHead,
    dropped: u64,
    fault: Option<AuditError>,
}

/// The queue.
pub(super) struct Queue {
    bytes_max: usize,
    /// [`GATHER`].
    gather: Duration,
    state: Mutex<State>,
    wake: Condvar,
    pub(super) strangers: Strangers,
}

/// What the writer finds in a batch.
pub(super) enum Entry<'a> {
    Call(Record<'a>),
    /// So many were dropped here.
    Gap(u64),
}

impl Queue {
    pub(super) fn new(bytes_max: usize, head: ChainHead) -> Self {
        let state = State { head, ..State::default() };
        let strangers = Strangers::default();
        Self {
            bytes_max,
            gather: GATHER,
            state: Mutex::new(state),
            wake: Condvar::new(),
            strangers,
        }
    }

    /// Takes what a stranger asked at `now`, or counts it: beyond the rate, or where their room is full.
    /// `now`: since the log was opened, by a clock that does not jump.
    pub(super) fn push_strangers(&self, record: &Record<'_>, now: Duration) {
        if !(self.strangers.may_have_a_line(now) && self.push(Room::Strangers, record)) {
            self.strangers.count();
        }
    }

    /// Whether it was taken.
    pub(super) fn push(&self, room: Room, record: &Record<'_>) -> bool {
        let mut state = self.state.lock();
        if !self.append(&mut state, room, record) {
            return false;
        }
        if state.wake_at.is_some_and(|bytes| state.waiting.bytes.len() >= bytes) {
            state.wake_at = None;
            self.wake.notify_one();
        }
        true
    }

    pub(super) fn push_durable(
        &self,
        record: &Record<'_>,
    ) -> Result<oneshot::Receiver<Result<(), AuditError>>, AuditError> {
        let mut state = self.state.lock();
        if !self.append(&mut state, Room::Calls, record) {
            // Why it is full says more than that it is.
            let why = state.fault.clone().unwrap_or(AuditError::Behind);
            return Err(if state.waiting.closed { AuditError::Closed } else { why });
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.waiters.push(sender);
        state.urgent = true;
        state.wake_at = None;
        self.wake.notify_one();
        Ok(receiver)
    }

    /// Whether it was taken. A room that is full stays so until the writer took the batch: so the line that
    /// counts what was dropped stands where it is missing.
    fn append(&self, state: &mut State, room: Room, record: &Record<'_>) -> bool {
        let batch = &mut state.waiting;
        let free = |room: Room| batch.taken[room as usize] < self.bound(room);
        // The end of administration goes among the calls while there is room for it.
        let room = if room == Room::Ends && free(Room::Calls) { Room::Calls } else { room };
        if batch.closed || !free(room) {
            if room != Room::Strangers {
                batch.gap += 1;
                state.dropped += 1;
            }
            return false;
        }
        let before = batch.bytes.len();
        batch.close_gap();
        let cut = if room == Room::Strangers { cut_strangers } else { cut };
        encode(&mut batch.bytes, record, cut);
        batch.taken[room as usize] += batch.bytes.len() - before;
        true
    }

    fn bound(&self, room: Room) -> usize {
        match room {
            Room::Calls => self.bytes_max,
            Room::Ends | Room::Strangers => self.bytes_max / ROOM_PART,
        }
    }

    /// Waits for records and exchanges them for the emptied `batch`. Comes back after `time` at the latest,
    /// with an empty batch: the writer may owe a sync, or a line that says how many strangers were counted.
    pub(super) fn take(&self, batch: &mut Batch, time: Duration) {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            self.sleep(&mut state, 1, time);
        }
        let enough = state.urgent || state.waiting.closed || state.waiting.bytes.len() >= PIECE;
        if !enough && !state.waiting.is_empty() {
            self.sleep(&mut state, PIECE, self.gather);
        }
        state.urgent = false;
        state.waiting.close_gap();
        std::mem::swap(&mut state.waiting, batch);
        state.waiting.closed = batch.closed;
    }

    /// Until so many bytes of records wait, somebody waits for the disk, or `time` is over.
    fn sleep(&self, state: &mut MutexGuard<'_, State>, bytes: usize, time: Duration) {
        state.wake_at = Some(bytes);
        self.wake.wait_for(state, time);
        state.wake_at = None;
    }

    /// Where the disk refuses: sleeps for `time`, or until somebody is waiting for it.
    pub(super) fn pause(&self, time: Duration) {
        let mut state = self.state.lock();
        if !state.urgent && !state.waiting.closed {
            self.wake.wait_for(&mut state, time);
        }
    }

    /// The writer's word after a batch: synced so far, or why not.
    pub(super) fn report(&self, synced: Option<ChainHead>, fault: Option<AuditError>) {
        let mut state = self.state.lock();
        if let Some(head) = synced {
            state.head = head;
        }
        state.fault = fault;
    }

    /// Counts records that were taken and could not be written.
    pub(super) fn lost(&self, count: u64) {
        self.state.lock().dropped += count;
    }

    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.waiting.closed = true;
        state.wake_at = None;
        self.wake.notify_one();
    }

    pub(super) fn head(&self) -> ChainHead {
        self.state.lock().head
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.lock().dropped
    }

    pub(super) fn fault(&self) -> Option<AuditError> {
        self.state.lock().fault.clone()
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.gap == 0 && self.waiters.is_empty() && !self.closed
    }

    /// Empties it but for who waits.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.taken = [0; 3];
    }

    /// Notes in their place how many were dropped.
    fn close_gap(&mut self) {
        if self.gap > 0 {
            self.bytes.push(GAP);
            self.bytes.extend_from_slice(&std::mem::take(&mut self.gap).to_le_bytes());
        }
    }
}

/// call 1 | at 8 | action 1 | outcome 1 | identity 1 + 32 | four texts, each length 2 and bytes. A gap: 1 and
/// its count 8.
fn encode(out: &mut Vec<u8>, record: &Record<'_>, cut: fn(&str) -> &str) {
    out.push(CALL);
    out.extend_from_slice(&record.at.0.to_le_bytes());
    let outcome = match record.outcome {
        Outcome::Begun => BEGUN,
        Outcome::Ok => OK,
        Outcome::Failed(kind) => kind as u8,
    };
    out.extend_from_slice(&[record.action as u8, outcome, u8::from(record.identity.is_some())]);
    out.extend_from_slice(record.identity.unwrap_or_default().as_bytes());
    let (enclave, name) = match record.resource {
        Resource::Within(enclave, name) => (enclave, name),
        Resource::Text(text) => ("", text),
    };
    for text in [enclave, name, record.remote, record.detail] {
        let text = cut(text);
        // `cut` bounds it far below 64 KiB.
        out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of `text`, whole characters.
fn cut(text: &str) -> &str {
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let end = (0..=TEXT_BYTES_MAX).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..end]
}

/// As [`cut`], for a stranger's.
fn cut_strangers(text: &str) -> &str {
    cut_as_written(text, STRANGERS_TEXT_BYTES_MAX)
}

/// The entries of a batch, in order. It was encoded here, so a fault ends it rather than being an error.
pub(super) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    std::iter::from_fn(move || match take::<1>(&mut bytes)? {
        [GAP] => Some(Entry::Gap(u64::from_le_bytes(*take::<8>(&mut bytes)?))),
        _ => decode(&mut bytes).map(Entry::Call),
    })
}

fn decode<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let at = Millis(u64::from_le_bytes(*take::<8>(bytes)?));
    let [action, outcome, known] = *take::<3>(bytes)?;
    let identity = IdentityId(*take::<32>(bytes)?);
    let enclave = text(bytes)?;
    let name = text(bytes)?;
    let remote = text(bytes)?;
    let detail = text(bytes)?;
    let resource = match enclave {
        "" => Resource::Text(name),
        enclave => Resource::Within(enclave, name),
    };
    let outcome = match outcome {
        BEGUN => Outcome::Begun,
        OK => Outcome::Ok,
        kind => Outcome::Failed(*Kind::ALL.get(usize::from(kind))?),
    };
    let action = *Action::ALL.get(usize::from(action))?;
    let identity = (known == 1).then_some(identity);
    Some(Record { at, identity, remote, action, resource, outcome, detail })
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(head)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = usize::from(u16::from_le_bytes(*take::<2>(bytes)?));
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(head).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const RECORD: Record<'static> = Record {
        at: Millis(0),
        identity: None,
        remote: "192.0.2.1:9",
        action: Action::KeyEncrypt,
        resource: Resource::Within("e", "k"),
        outcome: Outcome::Ok,
        detail: "",
    };

    #[test]
    fn records_come_back_as_they_were() {
        let mut bytes = Vec::new();
        for (index, action) in Action::ALL.iter().enumerate() {
            let outcome = match index % 3 {
                0 => Outcome::Begun,
                1 => Outcome::Ok,
                _ => Outcome::Failed(Kind::ALL[index % Kind::ALL.len()]),
            };
            let identity = (index % 2 == 0).then_some(IdentityId([7; 32]));
            let at = Millis(index as u64);
            encode(&mut bytes, &Record { at, identity, action: *action, outcome, ..RECORD }, cut);
        }
        let back: Vec<_> = entries(&bytes).filter_map(call).collect();
        assert_eq!(back.len(), Action::ALL.len());
        for (index, record) in back.iter().enumerate() {
            assert_eq!(record.action, Action::ALL[index]);
            assert_eq!(record.at, Millis(index as u64));
            assert_eq!(record.identity.is_some(), index % 2 == 0);
        }
        assert_eq!(back[2].outcome, Outcome::Failed(Kind::ALL[2]));
    }

    #[test]
    fn a_piece_waits_for_no_more_company() {
        let gather = Duration::from_secs(600);
        let queue = Queue { gather, ..Queue::new(1 << 20, ChainHead::default()) };
        let taken = std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                let mut batch = Batch::default();
                queue.take(&mut batch, gather);
                batch.bytes.len()
            });
            queue.push(Room::Calls, &RECORD);
            while queue.state.lock().wake_at != Some(PIECE) {
                std::thread::yield_now();
            }
            let one = queue.state.lock().waiting.bytes.len();
            for _ in 1..PIECE.div_ceil(one) {
                assert!(!taken.is_finished(), "it is not enough yet");
                queue.push(Room::Calls, &RECORD);
            }
            let begun = Instant::now();
            while !taken.is_finished() && begun.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            let in_time = taken.is_finished();
            queue.close();
            assert!(in_time);
            taken.join().expect("it does not panic")
        });
        assert!(taken >= PIECE);
    }

    fn call(entry: Entry<'_>) -> Option<Record<'_>> {
        match entry {
            Entry::Call(record) => Some(record),
            Entry::Gap(_) => None,
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        assert_eq!(cut(&long).len(), TEXT_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), TEXT_BYTES_MAX - 1);
    }
}
