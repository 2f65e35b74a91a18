//! The stream under a seal: a literal packet in a SEIPDv1 packet (RFC 9580 §5.9, §5.13.1), both in partial
//! lengths (§4.2.1.4). What is sealed passes through buffers that are wiped, and is encrypted in them.

use std::io::{self, Write};

use aes::Aes256;
use aes::cipher::KeyIvInit as _;
use cfb_mode::BufEncryptor;
use zeroize::Zeroizing;

use crate::framing::tag;
use crate::mdc::Mdc;

/// Size of a partial length: what is held of a stream, and encrypted, at a time, in bytes.
pub(crate) const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u8 = 16;

/// Bits of a header that a length follows (RFC 9580 §4.2).
const HEADER: u8 = 0xC0;
/// Binary data without a name and without a date (§5.9).
const LITERAL_HEAD: [u8; 6] = [b'b', 0, 0, 0, 0, 0];
/// Version 1 (§5.13.1).
pub(crate) const VERSION: u8 = 1;
/// Size of a block of AES; as many random bytes come first.
pub(crate) const BLOCK_BYTES: usize = 16;

/// Takes the plaintext of a stream and writes the sealed one.
pub(crate) struct Sealing<'a>(Chunks<Cipher<'a>>);

impl<'a> Sealing<'a> {
    /// Begins the data packet. `random` must be fresh: equal plaintexts of one key would begin alike.
    pub(crate) fn new(
        key: &[u8; 32],
        random: [u8; BLOCK_BYTES],
        out: &'a mut dyn Write,
    ) -> io::Result<Self> {
        let mut data = Chunks::new(HEADER | tag::SEIPD, out);
        data.write(&[VERSION])?;
        let mut cipher = Cipher::new(key, data);
        // The last two bytes again: who opens it sees a wrong key at once (§5.13.1).
        let [.., a, b] = random;
        cipher.write_all(&random)?;
        cipher.write_all(&[a, b])?;
        let mut literal = Chunks::new(HEADER | tag::LITERAL, cipher);
        literal.write(&LITERAL_HEAD)?;
        Ok(Self(literal))
    }

    /// Seals some more plaintext.
    pub(crate) fn write(&mut self, plain: &[u8]) -> io::Result<()> {
        self.0.write(plain)
    }

    /// Writes what is held, and the ends of both packets.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.0.finish()?.finish()
    }
}

/// Cuts a packet's body into partial lengths.
struct Chunks<W> {
    /// The packet's header, until it is written.
    header: Option<u8>,
    held: Zeroizing<Vec<u8>>,
    out: W,
}

impl<W: Write> Chunks<W> {
    fn new(header: u8, out: W) -> Self {
        let held = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Self { header: Some(header), held, out }
    }

    fn write(&mut self, mut body: &[u8]) -> io::Result<()> {
        loop {
            let (fits, rest) = body.split_at(body.len().min(CHUNK_BYTES - self.held.len()));
            self.held.extend_from_slice(fits);
            if rest.is_empty() {
                return Ok(());
            }
            // There is more: so this is not the last one.
            self.emit(&[0xE0 | CHUNK_BITS])?;
            body = rest;
        }
    }

    /// The last length is a whole one, of five octets (§4.2.1.3).
    fn finish(mut self) -> io::Result<W> {
        // At most a chunk.
        let [a, b, c, d] = (self.held.len() as u32).to_be_bytes();
        self.emit(&[0xFF, a, b, c, d])?;
        Ok(self.out)
    }

    fn emit(&mut self, length: &[u8]) -> io::Result<()> {
        if let Some(header) = self.header.take() {
            self.out.write_all(&[header])?;
        }
        self.out.write_all(length)?;
        self.out.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

/// AES-256 in CFB mode from an initial vector of zeros, and the hash of what goes in (§5.13.1).
struct Cipher<'a> {
    cfb: BufEncryptor<Aes256>,
    mdc: Mdc,
    held: Zeroizing<Vec<u8>>,
    /// Where what is encrypted goes.
    data: Chunks<&'a mut dyn Write>,
}

impl<'a> Cipher<'a> {
    fn new(key: &[u8; 32], data: Chunks<&'a mut dyn Write>) -> Self {
        let cfb = BufEncryptor::new(key.into(), &[0; BLOCK_BYTES].into());
        let held = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Self { cfb, mdc: Mdc::new(), held, data }
    }

    fn encrypt(&mut self, plain: &[u8]) -> io::Result<()> {
        self.held.clear();
        self.held.extend_from_slice(plain);
        self.cfb.encrypt(&mut self.held);
        self.data.write(&self.held)
    }

    /// Writes the packet that ends the plaintext, and the end of the data.
    fn finish(mut self) -> io::Result<()> {
        let end = self.mdc.packet();
        self.encrypt(&end)?;
        self.data.finish().map(drop)
    }
}

impl Write for Cipher<'_> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        let plain = &plain[..plain.len().min(CHUNK_BYTES)];
        self.mdc.update(plain);
        self.encrypt(plain)?;
        Ok(plain.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
