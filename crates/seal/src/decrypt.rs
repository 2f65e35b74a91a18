//! The data packet of a sealed stream, decrypted: SEIPDv1 (RFC 9580 §5.13.1) with AES. Plaintext lies in one buffer
//! and, the last of it, in the hash; both are wiped.

use std::io::{self, BufRead, Read};

use aes::cipher::inout::InOutBuf;
use aes::cipher::{BlockDecryptMut, KeyIvInit as _};
use aes::{Aes128, Aes192, Aes256};
use cfb_mode::Decryptor;
use zeroize::Zeroizing;

use crate::framing::{Body, array, copy_out, cut, damaged, unsupported};
use crate::mdc::{MDC_BYTES, Mdc};
use crate::session::{CIPHER_NOT_AES, SessionKey};
use crate::stream::{BLOCK_BYTES, CHUNK_BYTES};

/// What the plaintext begins with: a block of random bytes, and its last two again.
const PREFIX_BYTES: usize = BLOCK_BYTES + 2;

/// The plaintext of a data packet. It is *unauthenticated* until its end was reached: then the packet was whole and its
/// hash agreed. What stands behind the packet is [`Decrypted::source`]'s.
pub(crate) struct Decrypted<R> {
    body: Body<R>,
    cipher: Cipher,
    mdc: Mdc,
    held: Held,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The hash agreed.
    Whole,
    /// It did not.
    Broken,
}

/// A buffer with plaintext that may be given out, plaintext that may be the hash, and what is still encrypted.
struct Held {
    bytes: Zeroizing<Vec<u8>>,
    /// Start of what may be given out.
    at: usize,
    /// Its end.
    ready: usize,
    /// End of what is decrypted.
    plain: usize,
    /// End of what there is.
    filled: usize,
    /// The packet's end was reached.
    ended: bool,
}

/// AES in CFB mode from an initial vector of zeros.
enum Cipher {
    Aes128(Decryptor<Aes128>),
    Aes192(Decryptor<Aes192>),
    Aes256(Decryptor<Aes256>),
}

impl<R: BufRead> Decrypted<R> {
    /// Begins to read `body`, from behind its version on.
    pub(crate) fn new(body: Body<R>, key: &SessionKey) -> io::Result<Self> {
        let cipher = Cipher::new(key.key()).ok_or_else(|| unsupported(CIPHER_NOT_AES))?;
        let mut this =
            Self { body, cipher, mdc: Mdc::new(), held: Held::new(), state: State::Reading };
        let prefix: [u8; PREFIX_BYTES] = array(&mut this)?;
        // For whoever holds the key of another stream: a clear answer at once. Whoever guesses learns nothing by it,
        // since the same people made the archive and open it (RFC 9580 §13.4 is about strangers who ask a service).
        if prefix[BLOCK_BYTES - 2..BLOCK_BYTES] != prefix[BLOCK_BYTES..] {
            return Err(damaged(
                "the session key is not this stream's, or its beginning is damaged",
            ));
        }
        Ok(this)
    }

    /// What the packet is read from: after its end, what follows it.
    pub(crate) fn source(&mut self) -> &mut R {
        self.body.source()
    }

    /// Decrypts some more, so that something may be given out unless it is at its end.
    fn refill(&mut self) -> io::Result<()> {
        self.held.fill(&mut self.body)?;
        self.held.decrypt(&mut self.cipher);
        self.mdc.update(self.held.given_out());
        if self.held.ended {
            self.state = State::Broken;
            self.check()?;
            self.state = State::Whole;
        }
        Ok(())
    }

    /// Whether what is held back is the hash of all before it.
    fn check(&mut self) -> io::Result<()> {
        match self.held.held_back() {
            end if end.len() < MDC_BYTES => Err(cut()),
            end if end != self.mdc.packet() => Err(damaged("its integrity check fails")),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> BufRead for Decrypted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.state == State::Reading && self.held.given_out().is_empty() {
            self.refill()?;
        }
        if self.state == State::Broken {
            return Err(damaged("its integrity check failed before"));
        }
        Ok(self.held.given_out())
    }

    fn consume(&mut self, amount: usize) {
        self.held.at = (self.held.at + amount).min(self.held.ready);
    }
}

impl<R: BufRead> Read for Decrypted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        copy_out(self, buf)
    }
}

impl Held {
    fn new() -> Self {
        let bytes = Zeroizing::new(vec![0; CHUNK_BYTES]);
        Self { bytes, at: 0, ready: 0, plain: 0, filled: 0, ended: false }
    }

    fn given_out(&self) -> &[u8] {
        &self.bytes[self.at..self.ready]
    }

    fn held_back(&self) -> &[u8] {
        &self.bytes[self.ready..self.plain]
    }

    /// Reads some more behind what is left.
    fn fill(&mut self, source: &mut dyn Read) -> io::Result<()> {
        self.bytes.copy_within(self.at..self.filled, 0);
        let gone = std::mem::take(&mut self.at);
        self.ready -= gone;
        self.plain -= gone;
        self.filled -= gone;
        // There is room: what may be the hash and less than a block are left.
        let read = source.read(&mut self.bytes[self.filled..])?;
        self.filled += read;
        self.ended = read == 0;
        Ok(())
    }

    /// Decrypts whole blocks, and at the end the rest; lets go of all that cannot be the hash.
    fn decrypt(&mut self, cipher: &mut Cipher) {
        let fresh = &mut self.bytes[self.plain..self.filled];
        let whole = fresh.len() - fresh.len() % BLOCK_BYTES;
        let (blocks, rest) = fresh.split_at_mut(whole);
        cipher.decrypt(blocks);
        self.plain += whole;
        if self.ended {
            let mut block = Zeroizing::new([0; BLOCK_BYTES]);
            block[..rest.len()].copy_from_slice(rest);
            cipher.decrypt(&mut *block);
            rest.copy_from_slice(&block[..rest.len()]);
            self.plain += rest.len();
        }
        self.ready = self.plain.saturating_sub(MDC_BYTES);
    }
}

impl Cipher {
    /// `None` where the key has not the size of one.
    fn new(key: &[u8]) -> Option<Self> {
        let iv = [0; BLOCK_BYTES];
        match key.len() {
            16 => Decryptor::new_from_slices(key, &iv).ok().map(Self::Aes128),
            24 => Decryptor::new_from_slices(key, &iv).ok().map(Self::Aes192),
            32 => Decryptor::new_from_slices(key, &iv).ok().map(Self::Aes256),
            _ => None,
        }
    }

    /// Whole blocks.
    fn decrypt(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Aes128(cipher) => blocks(cipher, bytes),
            Self::Aes192(cipher) => blocks(cipher, bytes),
            Self::Aes256(cipher) => blocks(cipher, bytes),
        }
    }
}

fn blocks<C: BlockDecryptMut>(cipher: &mut C, bytes: &mut [u8]) {
    let (blocks, _) = InOutBuf::from(bytes).into_chunks();
    cipher.decrypt_blocks_inout_mut(blocks);
}
