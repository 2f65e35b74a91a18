//! Packets (RFC 9580 §4.2): a header, and a body whose length is known, comes in parts, or is told by the end of what
//! it stands in. No body is kept, and no length is believed further than there are bytes.

use std::io::{self, BufRead, Read};

/// Tags of packets (RFC 9580 §5).
pub(crate) mod tag {
    pub(crate) const PKESK: u8 = 1;
    pub(crate) const SIGNATURE: u8 = 2;
    pub(crate) const SKESK: u8 = 3;
    pub(crate) const ONE_PASS_SIGNATURE: u8 = 4;
    pub(crate) const COMPRESSED: u8 = 8;
    pub(crate) const SED: u8 = 9;
    pub(crate) const MARKER: u8 = 10;
    pub(crate) const LITERAL: u8 = 11;
    pub(crate) const SEIPD: u8 = 18;
    pub(crate) const GNUPG_AEAD: u8 = 20;
    pub(crate) const PADDING: u8 = 21;
}

/// What is wrong with a stream: its bytes, not the reading of them. The inner error of an [`io::Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Damaged(&'static str),
    #[error("{0}")]
    Unsupported(&'static str),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

pub(crate) fn damaged(why: &'static str) -> io::Error {
    Fault::Damaged(why).into()
}

pub(crate) fn unsupported(why: &'static str) -> io::Error {
    Fault::Unsupported(why).into()
}

/// How much of a body is still to come, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    /// So much.
    Whole(u64),
    /// So much, and then another length.
    Part(u64),
    /// All that its source has.
    Open,
}

/// A packet's header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub tag: u8,
    pub length: Length,
    /// Size of the header itself, in bytes.
    pub octets: u64,
}

impl Header {
    /// The next one; `None` where `source` has ended.
    pub(crate) fn read(source: &mut dyn BufRead) -> io::Result<Option<Self>> {
        let Some(first) = octet(source)? else { return Ok(None) };
        let header = |tag, (length, octets)| Some(Self { tag, length, octets: 1 + octets });
        match first >> 6 {
            0b11 => Ok(header(first & 0x3f, new_length(source)?)),
            0b10 => Ok(header(first >> 2 & 0x0f, old_length(source, first & 0b11)?)),
            _ => Err(damaged("it is not OpenPGP")),
        }
    }
}

/// RFC 9580 §4.2.1, and how many octets it took.
fn new_length(source: &mut dyn BufRead) -> io::Result<(Length, u64)> {
    let first = needed(source)?;
    Ok(match first {
        0..=191 => (Length::Whole(first.into()), 1),
        192..=223 => {
            let second = needed(source)?;
            (Length::Whole((u64::from(first - 192) << 8) + u64::from(second) + 192), 2)
        }
        224..=254 => (Length::Part(1 << (first & 0x1f)), 1),
        255 => (Length::Whole(number(source, 4)?), 5),
    })
}

/// RFC 9580 §4.2.2.
fn old_length(source: &mut dyn BufRead, kind: u8) -> io::Result<(Length, u64)> {
    if kind == 0b11 {
        return Ok((Length::Open, 0));
    }
    let octets = 1 << kind;
    Ok((Length::Whole(number(source, octets)?), octets))
}

fn number(source: &mut dyn BufRead, octets: u64) -> io::Result<u64> {
    (0..octets).try_fold(0, |value, _| Ok(value << 8 | u64::from(needed(source)?)))
}

fn needed(source: &mut dyn BufRead) -> io::Result<u8> {
    octet(source)?.ok_or_else(cut)
}

/// The next byte, whatever interrupts: a header is not begun twice.
fn octet(source: &mut dyn BufRead) -> io::Result<Option<u8>> {
    loop {
        match source.fill_buf() {
            Ok(bytes) => {
                let first = bytes.first().copied();
                source.consume(usize::from(first.is_some()));
                return Ok(first);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The next bytes, whatever interrupts.
pub(crate) fn array<const N: usize>(source: &mut dyn BufRead) -> io::Result<[u8; N]> {
    let mut out = [0; N];
    for byte in &mut out {
        *byte = needed(source)?;
    }
    Ok(out)
}

/// That `source` has ended; else the fault.
pub(crate) fn ended(source: &mut dyn BufRead, otherwise: Fault) -> io::Result<()> {
    if source.fill_buf()?.is_empty() { Ok(()) } else { Err(otherwise.into()) }
}

/// Of a source that ends too early.
pub(crate) fn cut() -> io::Error {
    damaged("its end is missing")
}

/// The body of a packet of `source`. Ends with it; a source that ends first is a fault.
pub(crate) struct Body<R> {
    source: R,
    length: Length,
}

impl<R: BufRead> Body<R> {
    pub(crate) fn new(source: R, header: Header) -> Self {
        Self { source, length: header.length }
    }

    /// What it is read from: after its end, what follows it.
    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }
}

impl<R: BufRead> BufRead for Body<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.length == Length::Part(0) {
            (self.length, _) = new_length(&mut self.source)?;
        }
        let room = match self.length {
            Length::Whole(0) => return Ok(&[]),
            Length::Whole(left) | Length::Part(left) => left,
            Length::Open => return self.source.fill_buf(),
        };
        let bytes = self.source.fill_buf()?;
        if bytes.is_empty() {
            return Err(cut());
        }
        Ok(&bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
        if let Length::Whole(left) | Length::Part(left) = &mut self.length {
            *left = left.saturating_sub(amount as u64);
        }
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        copy_out(self, buf)
    }
}

/// [`Read::read`] of a source that has a buffer.
pub(crate) fn copy_out(source: &mut dyn BufRead, buf: &mut [u8]) -> io::Result<usize> {
    let bytes = source.fill_buf()?;
    let read = bytes.len().min(buf.len());
    buf[..read].copy_from_slice(&bytes[..read]);
    source.consume(read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<(Header, Vec<u8>, usize)> {
        let header = Header::read(&mut bytes)?.expect("a header");
        let mut body = Body::new(bytes, header);
        let mut out = Vec::new();
        body.read_to_end(&mut out)?;
        Ok((header, out, body.source().len()))
    }

    #[test]
    fn lengths_are_those_of_the_rfc() {
        // RFC 9580 §4.2.1.5: a length of 100, of 1723, of 100 000.
        for (header, length) in [
            (&[0xcb, 0x64][..], 100),
            (&[0xcb, 0xc5, 0xfb], 1723),
            (&[0xcb, 0xff, 0x00, 0x01, 0x86, 0xa0], 100_000),
            (&[0xac, 0x64], 100),
            (&[0xad, 0x06, 0xbb], 1723),
            (&[0xae, 0x00, 0x01, 0x86, 0xa0], 100_000),
        ] {
            let bytes = [header, &vec![7; length], b"rest"].concat();
            let (found, body, left) = read(&bytes).unwrap();
            assert_eq!((found.tag, found.octets), (tag::LITERAL, header.len() as u64));
            assert!(body == vec![7; length] && left == 4, "{header:x?}");
            assert!(read(&bytes[..bytes.len() - 5]).is_err(), "a cut: {header:x?}");
        }
    }

    #[test]
    fn parts_end_with_a_whole_one() {
        // The fourth example: 32768, 2, 1, 65536 and 1693 octets.
        let parts = [(&[0xef][..], 32_768), (&[0xe1], 2), (&[0xe0], 1), (&[0xf0], 65_536)];
        let mut bytes = vec![0xcb];
        for (length, octets) in parts {
            bytes.extend_from_slice(length);
            bytes.extend(std::iter::repeat_n(octets as u8, octets));
        }
        bytes.extend_from_slice(&[0xc5, 0xdd]);
        bytes.extend_from_slice(&[9; 1693]);
        bytes.push(1);
        let (_, body, left) = read(&bytes).unwrap();
        assert_eq!((body.len(), left), (32_768 + 2 + 1 + 65_536 + 1693, 1));
        for cut in [2, 32_770, 32_771, bytes.len() - 1696, bytes.len() - 2] {
            assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_open_length_takes_all_there_is() {
        let (header, body, left) = read(b"\xa3\x01abc").unwrap();
        assert_eq!((header.tag, body.as_slice(), left), (tag::COMPRESSED, &b"\x01abc"[..], 0));
        assert!(Header::read(&mut &b""[..]).unwrap().is_none());
        assert!(Header::read(&mut &b"\x3f"[..]).is_err(), "no header");
        assert!(Header::read(&mut &b"\xcb"[..]).is_err(), "no length");
    }
}
