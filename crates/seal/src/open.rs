//! Opening: with a secret key, with a session key, or through the caller's own gpg.
//!
//! SEIPDv1 is read as a stream, so bytes come out *before* the integrity check. It is made at the
//! end: [`OpenedStream`] answers end of file only after the MDC agreed and the source ended with the
//! data packet (`frame.rs`).

use std::io::{self, BufRead, Cursor, Read};

use holdfast_crypto::SecretBytes;
use pgp::composed::{DecryptionOptions, Edata, Esk, Message, TheRing};
use pgp::packet::{ProtectedDataConfig, SymEncryptedProtectedDataConfig};
use pgp::types::Seipdv1ReadMode;

use crate::frame::{Frame, FrameError, Progress};
use crate::gpg::GpgAgent;
use crate::identity::Identity;
use crate::session::SessionKey;
use crate::watch::{FirstError, Watch};

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
    message: Option<Message<'a>>,
    whole: bool,
    session_key: SessionKey,
    outside: Outside,
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
        self.whole
    }
}

impl Read for OpenedStream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.whole || buf.is_empty() {
            return Ok(0);
        }
        // Taken out, so that a failed reader is never asked again: rPGP's would panic.
        let Some(mut message) = self.message.take() else {
            return Err(invalid("it failed before"));
        };
        match message.read(buf) {
            Ok(0) => {
                self.outside.whole()?;
                self.whole = true;
                Ok(0)
            }
            Ok(read) => {
                self.outside.progress.delivered();
                self.message = Some(message);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.message = Some(message);
                Err(error)
            }
            Err(error) => Err(self.outside.error().unwrap_or_else(|| invalid(&error))),
        }
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
            let mut head = Vec::new();
            (&mut source)
                .take(GpgAgent::HEAD_BYTES)
                .read_to_end(&mut head)
                .map_err(OpenError::Io)?;
            let recipients = recipients(&parse(Box::new(Cursor::new(head.clone())))?.esk);
            let session_key = gpg.session_key(&head, recipients)?;
            start(Box::new(Cursor::new(head).chain(source)), |_| Ok(session_key))
        }
        Opener::Identity(identity) => start(Box::new(source), |esk| identity.session_key(esk)),
        Opener::Session(session_key) => start(Box::new(source), |_| Ok(session_key.clone())),
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
    while filled < out.len() {
        match stream.read(&mut out.expose_secret_mut()[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(OpenError::Damaged { why: error.to_string() }),
        }
    }
    if filled > max {
        return Err(OpenError::TooLarge { max });
    }
    out.truncate(filled);
    Ok((out, stream.session_key))
}

/// Key ids of the recipients, 16 upper-case hex digits each; an anonymous one is zeros.
pub(crate) fn recipients(esk: &[Esk]) -> Vec<String> {
    let id = |esk: &Esk| match esk {
        Esk::PublicKeyEncryptedSessionKey(key) => {
            key.id().ok().map(|id| format!("{id}").to_ascii_uppercase())
        }
        Esk::SymKeyEncryptedSessionKey(_) => Some("a passphrase".to_owned()),
    };
    esk.iter().filter_map(id).collect()
}

type Source<'a> = Box<dyn BufRead + Send + 'a>;

/// What rPGP's message reads from: how far that is, and its first failure, which rPGP would wrap.
struct Outside {
    error: FirstError,
    progress: Progress,
}

impl Outside {
    /// What failed there, if anything did.
    fn error(&self) -> Option<io::Error> {
        let error = self.error.take()?;
        Some(FrameError::of(&error).map_or(error, invalid))
    }

    /// That rPGP passed over no failure, and that the source ended with the data packet.
    fn whole(&self) -> io::Result<()> {
        match self.error() {
            Some(error) => Err(error),
            None if self.progress.ended() => Ok(()),
            None => Err(invalid("its end is missing")),
        }
    }

    /// Why a message did not begin.
    fn failed(&self, error: &pgp::errors::Error) -> OpenError {
        let Some(first) = self.error.take() else {
            return OpenError::Damaged { why: error.to_string() };
        };
        match FrameError::of(&first) {
            Some(FrameError::Damaged(why)) => OpenError::Damaged { why: why.to_owned() },
            Some(FrameError::Unsupported(why)) => OpenError::Unsupported { why },
            None => OpenError::Io(first),
        }
    }
}

struct Parsed<'a> {
    esk: Vec<Esk>,
    message: Message<'a>,
    outside: Outside,
}

/// Reads the packets before the data; refuses what is not SEIPDv1.
fn parse(source: Source<'_>) -> Result<Parsed<'_>, OpenError> {
    let (source, progress) = Frame::new(source);
    let (source, error) = Watch::new(source);
    let outside = Outside { error, progress };
    let message = Message::from_bytes(source).map_err(|error| outside.failed(&error))?;
    let Message::Encrypted { esk, edata, .. } = &message else {
        return Err(OpenError::Unsupported { why: "it is not encrypted" });
    };
    let Edata::SymEncryptedProtectedData { reader } = edata else {
        return Err(OpenError::Unsupported { why: "its encryption is not SEIPD" });
    };
    match reader.config() {
        ProtectedDataConfig::Seipd(SymEncryptedProtectedDataConfig::V1) => {}
        _ => return Err(OpenError::Unsupported { why: "its encryption is not SEIPD version 1" }),
    }
    Ok(Parsed { esk: esk.clone(), message, outside })
}

fn start<'a>(
    source: Source<'a>,
    session_key: impl FnOnce(&[Esk]) -> Result<SessionKey, OpenError>,
) -> Result<OpenedStream<'a>, OpenError> {
    let Parsed { esk, message, outside } = parse(source)?;
    let session_key = session_key(&esk)?;
    let ring = TheRing {
        session_keys: vec![session_key.to_plain()],
        decrypt_options: DecryptionOptions::new().set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..TheRing::default()
    };
    let (mut message, _) =
        message.decrypt_the_ring(ring, true).map_err(|error| outside.failed(&error))?;
    // gpg compresses unless told not to. One layer; more of them are no archive.
    if message.is_compressed() {
        message = message.decompress().map_err(|error| outside.failed(&error))?;
    }
    if !message.is_literal() {
        return Err(OpenError::Unsupported { why: "it holds no plain data" });
    }
    Ok(OpenedStream { message: Some(message), whole: false, session_key, outside })
}

fn invalid(why: impl ToString) -> io::Error {
    let why = format!("the sealed stream is damaged: {}", why.to_string());
    io::Error::new(io::ErrorKind::InvalidData, why)
}
