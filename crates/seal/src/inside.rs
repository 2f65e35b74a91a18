//! What lies inside a seal: one literal packet, which gpg compresses unless told not to, and nothing beside it.

use std::io::{self, BufRead, Read};

use pgp::packet::Decompressor;
use pgp::types::CompressionAlgorithm;

use crate::decrypt::Decrypted;
use crate::framing::{Body, Fault, Header, array, damaged, ended, tag, unsupported};

const BESIDE: Fault = Fault::Unsupported("something lies beside the data inside it");

/// The data of the literal packet.
pub(crate) enum Inside<R: BufRead> {
    Plain(Box<Body<Decrypted<R>>>),
    /// One layer of compression; more of them are no archive.
    Compressed(Box<Body<Decompressor<Body<Decrypted<R>>>>>),
}

impl<R: BufRead> Inside<R> {
    /// Begins to read what was decrypted.
    pub(crate) fn new(mut plain: Decrypted<R>) -> io::Result<Self> {
        let header = header(&mut plain)?;
        if header.tag != tag::COMPRESSED {
            return literal(plain, header).map(|data| Self::Plain(Box::new(data)));
        }
        let mut inflated = inflate(Body::new(plain, header))?;
        let header = self::header(&mut inflated)?;
        literal(inflated, header).map(|data| Self::Compressed(Box::new(data)))
    }

    /// At the end of the data: that all of it was authentic, and nothing beside it, inside the seal or behind it.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        let plain = match self {
            Self::Plain(data) => data.source(),
            Self::Compressed(data) => {
                ended(data.source(), BESIDE)?;
                let packet = data.source().get_mut();
                drain(packet)?;
                packet.source()
            }
        };
        ended(plain, BESIDE)?;
        ended(plain.source(), Fault::Damaged("something follows the sealed data"))
    }
}

impl<R: BufRead> Read for Inside<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(data) => data.read(buf),
            Self::Compressed(data) => data.read(buf),
        }
    }
}

fn header(source: &mut dyn BufRead) -> io::Result<Header> {
    Header::read(source)?.ok_or_else(|| damaged("there is no data inside it"))
}

/// What a compressed packet holds (RFC 9580 §5.6).
fn inflate<R: BufRead>(mut packet: Body<R>) -> io::Result<Decompressor<Body<R>>> {
    let [algorithm] = array(&mut packet)?;
    match CompressionAlgorithm::from(algorithm) {
        known @ (CompressionAlgorithm::Uncompressed
        | CompressionAlgorithm::ZIP
        | CompressionAlgorithm::ZLIB) => Decompressor::from_algorithm(known, packet),
        _ => Err(unsupported("it is compressed with something else than ZIP and ZLIB")),
    }
}

/// A literal packet's data, from behind its format, its name and its date on (RFC 9580 §5.9).
fn literal<R: BufRead>(source: R, header: Header) -> io::Result<Body<R>> {
    match header.tag {
        tag::LITERAL => {}
        tag::SIGNATURE | tag::ONE_PASS_SIGNATURE | tag::COMPRESSED => {
            return Err(unsupported("it holds no plain data"));
        }
        _ => return Err(unsupported("something else than data lies inside it")),
    }
    let mut data = Body::new(source, header);
    let [_format, name] = array(&mut data)?;
    for _ in 0..name {
        array::<1>(&mut data)?;
    }
    array::<4>(&mut data)?;
    Ok(data)
}

/// Passes over what follows compressed data in its packet: some pad it there, to hide its length.
fn drain(packet: &mut dyn BufRead) -> io::Result<()> {
    loop {
        match packet.fill_buf()?.len() {
            0 => return Ok(()),
            some => packet.consume(some),
        }
    }
}
