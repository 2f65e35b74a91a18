//! Opening: with a secret key, with a session key, or through the caller's own gpg.
//!
//! A stream is three rooms: what lies before the data (`head.rs`), the data decrypted (`decrypt.rs`), and what lies
//! inside (`inside.rs`), all of packets (`framing.rs`). Bytes come out *before* the integrity check, which is made at
//! the end: [`OpenedStream`] answers end of file only after the hash agreed and the source ended with the data packet.

use std::io::{self, BufRead, Cursor, Read};

use holdfast_crypto::SecretBytes;

use crate::decrypt::Decrypted;
use crate::framing::{Body, Fault, array};
use crate::gpg::GpgAgent;
use crate::head::Head;
use crate::identity::Identity;
use crate::inside::Inside;
use crate::session::SessionKey;
use crate::source::{Failure, Source};
use crate::stream::VERSION;

/// What a sealed stream is opened with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Opener {
    /// A custodian's secret key.
    Identity(Identity),
    /// The session key of this very stream.
    Session(SessionKey),
    /// The caller's own gpg: its key ring, agent and smart card.
    Gpg(GpgAgent),
}

/// Why a sealed stream was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is sealed to others.
    #[error("the stream is sealed to {}, not to this identity", recipients.join(", "))]
    NotForThisIdentity {
        /// Key ids of those it is sealed to, 16 upper-case hex digits each.
        recipients: Vec<String>,
    },
    /// Not OpenPGP, cut, changed, or opened with the session key of another stream.
    #[error("the sealed stream is damaged: {why}")]
    Damaged {
        /// What did not hold.
        why: String,
    },
    /// OpenPGP, but not what we seal: not SEIPDv1 with AES.
    #[error("the sealed stream is of a kind that is not supported: {why}")]
    Unsupported {
        /// What it is.
        why: &'static str,
    },
    /// The passphrase does not unlock the key that it is sealed to.
    #[error("the passphrase does not unlock the encryption key that the stream is sealed to")]
    WrongPassphrase,
    /// It is sealed to a key of this identity whose secret part is elsewhere.
    #[error(
        "the identity's file does not hold the secret part of encryption key {key}: it is on a card (use --identity \
         gpg), or was left out of the export"
    )]
    SecretMissing {
        /// Key id, 16 upper-case hex digits.
        key: String,
    },
    /// gpg could not be run, or gave no session key.
    #[error("gpg gave no session key: {why}")]
    Gpg {
        /// The last thing it said.
        why: String,
    },
    /// It is larger than the caller allows.
    #[error("the sealed bytes hold more than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// Reading failed.
    #[error("reading the sealed stream")]
    Io(#[source] io::Error),
}

/// The plaintext of a sealed stream.
///
/// Nothing read from it may be *used* before `read` answered 0: only then has the integrity check
/// passed. Otherwise `read` fails with [`io::ErrorKind::InvalidData`], and goes on failing.
pub struct OpenedStream<'a> {
    inside: Inside<Source<'a>>,
    state: State,
    session_key: SessionKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Whole,
    Failed,
}

impl OpenedStream<'_> {
    /// The session key it was opened with. Before end of file nothing says that it is the right one.
    #[must_use]
    pub fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// Whether end of file was reached and the integrity check passed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    fn read_or_end(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inside.read(buf)?;
        if read == 0 {
            self.inside.end()?;
            self.state = State::Whole;
        }
        Ok(read)
    }
}

impl Read for OpenedStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Failed => return Err(invalid("the sealed stream failed before")),
            State::Whole => return Ok(0),
            State::Reading if buf.is_empty() => return Ok(0),
            State::Reading => {}
        }
        self.read_or_end(buf).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            self.state = State::Failed;
            match error.into() {
                Failure::Fault(fault) => invalid(&OpenError::from(fault)),
                Failure::Source(error) => error,
            }
        })
    }
}

/// Starts to open `source`: finds the session key and reads the headers.
///
/// # Errors
/// See [`OpenError`].
pub fn open_reader<'a, R: BufRead + Send + 'a>(
    mut source: R,
    opener: &Opener,
) -> Result<OpenedStream<'a>, OpenError> {
    match opener {
        Opener::Gpg(gpg) => {
            // gpg gets the head only: the session key is in it, and the data need not be copied.
            let mut shown = Vec::new();
            (&mut source)
                .take(GpgAgent::SHOWN_BYTES)
                .read_to_end(&mut shown)
                .map_err(OpenError::Io)?;
            let again = Cursor::new(shown.clone()).chain(source);
            start(Source::new(again), |head| gpg.session_key(&shown, head.recipients()))
        }
        Opener::Identity(identity) => start(Source::new(source), |head| identity.session_key(head)),
        Opener::Session(session_key) => start(Source::new(source), |_| Ok(session_key.clone())),
    }
}

fn start<'a>(
    mut source: Source<'a>,
    session_key: impl FnOnce(&Head) -> Result<SessionKey, OpenError>,
) -> Result<OpenedStream<'a>, OpenError> {
    let (head, header) = Head::read(&mut source).map_err(refused)?;
    let mut data = Body::new(source, header);
    if array(&mut data).map_err(refused)? != [VERSION] {
        return Err(OpenError::Unsupported { why: "its encryption is not SEIPD version 1" });
    }
    let session_key = session_key(&head)?;
    let inside = Decrypted::new(data, &session_key).and_then(Inside::new).map_err(refused)?;
    Ok(OpenedStream { inside, state: State::Reading, session_key })
}

/// Why a stream is not opened.
fn refused(error: io::Error) -> OpenError {
    match error.into() {
        Failure::Fault(fault) => fault.into(),
        Failure::Source(error) => OpenError::Io(error),
    }
}

/// Opens a few bytes (a slot) that hold at most `max` bytes; nothing is answered unless whole.
///
/// # Errors
/// See [`OpenError`].
pub fn open_bytes(
    sealed: &[u8],
    opener: &Opener,
    max: usize,
) -> Result<(SecretBytes, SessionKey), OpenError> {
    let mut stream = open_reader(sealed, opener)?;
    // Full size at once: a vector that grows leaves copies behind. One byte more shows the end.
    let mut out = SecretBytes::from(vec![0; max.saturating_add(1)]);
    let mut filled = 0;
    // Bytes at hand are never interrupted, and after an error nobody asks again.
    while filled < out.len() {
        match stream.read_or_end(&mut out.expose_secret_mut()[filled..]).map_err(refused)? {
            0 => break,
            read => filled += read,
        }
    }
    if filled > max {
        return Err(OpenError::TooLarge { max });
    }
    out.truncate(filled);
    Ok((out, stream.session_key))
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Damaged(why) => Self::Damaged { why: why.to_owned() },
            Fault::Unsupported(why) => Self::Unsupported { why },
        }
    }
}

fn invalid(why: &(impl ToString + ?Sized)) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}
