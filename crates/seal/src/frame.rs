//! The frame of a sealed stream: a few packets, the data packet, and the end of the source.
//!
//! rPGP skips packets that it does not know, before the data and after it, and reads those after it
//! into memory. Whoever can append to a file needs no key for that. So every byte passes through
//! [`Frame`] first, which follows the packets' headers (RFC 9580 §4.2) and refuses what is too long
//! before the data, and anything after it. It holds no data and copies none.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How much may lie before the data packet, in bytes: the PKESKs of 16 recipients with several
/// RSA-4096 keys each fit.
pub(crate) const HEAD_BYTES: u64 = 64 * 1024;

/// How much of the data packet may be read without plaintext coming out, in bytes. What the buffers
/// of cipher, inflater and packets hold is far less.
const IDLE_BYTES: u64 = 256 * 1024;

const TOO_LONG: FrameError = FrameError::Damaged("more than 64 KiB lie before the data");

/// Why a frame is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Damaged(&'static str),
    #[error("{0}")]
    Unsupported(&'static str),
}

impl FrameError {
    /// The frame's own error, if `error` is one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// What the frame and whoever reads the plaintext tell each other.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Bytes of the data packet that were read since plaintext last came out.
    idle: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    /// Plaintext came out.
    pub fn delivered(&self) {
        self.0.idle.store(0, Ordering::Relaxed);
    }

    /// Whether the data packet was read to its end, and the source ended there.
    pub fn ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }
}

/// Where the next byte lies.
#[derive(Clone, Copy)]
enum State {
    /// First of a packet.
    Tag,
    /// First of a new-format length.
    Length,
    /// Second of a new-format length of two octets, whose first is given.
    Second(u8),
    /// In a big-endian length: octets to come, and its value so far.
    Number(u8, u64),
    /// In a body: bytes to come, and whether another length follows them.
    Body(u64, bool),
    /// After the data packet.
    End,
    Refused(FrameError),
}

/// A source whose packets are followed.
pub(crate) struct Frame<R> {
    inner: R,
    state: State,
    /// The byte that `fill_buf` showed last.
    shown: u8,
    /// Whether the data packet has begun.
    data: bool,
    /// What may still come before it, in bytes.
    head: u64,
    progress: Progress,
}

impl<R> Frame<R> {
    pub fn new(inner: R) -> (Self, Progress) {
        let progress = Progress::default();
        let frame = Self {
            inner,
            state: State::Tag,
            shown: 0,
            data: false,
            head: HEAD_BYTES,
            progress: progress.clone(),
        };
        (frame, progress)
    }

    /// Goes over one byte of a header.
    fn header(&mut self, byte: u8) -> Result<State, FrameError> {
        let octet = u64::from(byte);
        match self.state {
            State::Tag => self.tag(byte),
            State::Length => match byte {
                0..=191 => self.body(octet, false),
                192..=223 => Ok(State::Second(byte - 192)),
                224..=254 => self.body(1 << (byte & 0x1f), true),
                255 => Ok(State::Number(4, 0)),
            },
            State::Second(first) => self.body((u64::from(first) << 8) + octet + 192, false),
            State::Number(1, value) => self.body(value << 8 | octet, false),
            State::Number(left, value) => Ok(State::Number(left - 1, value << 8 | octet)),
            State::Body(..) | State::End | State::Refused(_) => Ok(self.state),
        }
    }

    fn tag(&mut self, byte: u8) -> Result<State, FrameError> {
        let (tag, old) = match byte >> 6 {
            0b11 => (byte & 0x3f, false),
            0b10 => (byte >> 2 & 0x0f, true),
            _ => return Err(FrameError::Damaged("it is not OpenPGP")),
        };
        match tag {
            // PKESK, SKESK, marker, padding.
            1 | 3 | 10 | 21 => {}
            // SEIPD; an old header has no room for its number.
            18 => self.data = true,
            // One-pass signature, signature, compressed, literal.
            2 | 4 | 8 | 11 => return Err(FrameError::Unsupported("it is not encrypted")),
            9 | 20 => return Err(FrameError::Unsupported("its encryption is not SEIPD")),
            _ => return Err(FrameError::Damaged("another packet lies before the data")),
        }
        match byte & 0b11 {
            _ if !old => Ok(State::Length),
            0b11 => Err(FrameError::Damaged("a packet before the data has no length")),
            power => Ok(State::Number(1 << power, 0)),
        }
    }

    fn body(&self, length: u64, partial: bool) -> Result<State, FrameError> {
        match (self.data, length) {
            (false, _) if partial => {
                Err(FrameError::Damaged("a packet before the data has a partial length"))
            }
            (false, _) if length > self.head => Err(TOO_LONG),
            (false, 0) => Ok(State::Tag),
            (true, 0) => Ok(State::End),
            _ => Ok(State::Body(length, partial)),
        }
    }

    /// Goes over `amount` bytes: of a body, or one of a header.
    fn pass(&mut self, amount: u64) -> Result<State, FrameError> {
        let next = match self.state {
            State::Body(left, partial) => match left.saturating_sub(amount) {
                0 if partial => State::Length,
                0 if self.data => State::End,
                0 => State::Tag,
                left => State::Body(left, partial),
            },
            _ => self.header(self.shown)?,
        };
        if !self.data {
            self.head = self.head.checked_sub(amount).ok_or(TOO_LONG)?;
            return Ok(next);
        }
        let idle = self.progress.0.idle.fetch_add(amount, Ordering::Relaxed);
        if idle > IDLE_BYTES {
            return Err(FrameError::Damaged("there is no data in much of it"));
        }
        Ok(next)
    }
}

impl<R> fmt::Debug for Frame<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frame")
    }
}

impl<R: BufRead> BufRead for Frame<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let room = match self.state {
            State::Body(left, _) => usize::try_from(left).unwrap_or(usize::MAX),
            State::End => 0,
            State::Refused(why) => return Err(refusal(why)),
            _ => 1,
        };
        let bytes = self.inner.fill_buf()?;
        if room == 0 && !bytes.is_empty() {
            let why = FrameError::Damaged("something follows the sealed data");
            self.state = State::Refused(why);
            return Err(refusal(why));
        }
        if room == 0 {
            self.progress.0.ended.store(true, Ordering::Relaxed);
        }
        self.shown = bytes.first().copied().unwrap_or_default();
        Ok(&bytes[..bytes.len().min(room)])
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        if amount > 0 {
            self.state = self.pass(amount as u64).unwrap_or_else(State::Refused);
        }
    }
}

impl<R: BufRead> Read for Frame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let read = bytes.len().min(buf.len());
        buf[..read].copy_from_slice(&bytes[..read]);
        self.consume(read);
        Ok(read)
    }
}

fn refusal(why: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
