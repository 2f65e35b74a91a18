//! A sealed tar on its way from the thread that makes it to whoever reads it, in bounded memory.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast_types::Kind;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::SendTimeoutError};

use super::spare::still_fed;
use crate::Error;

/// Bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces on the way at most.
const PIECES: usize = 4;

/// How it went, once that is known. Beside the pieces, since a reader that takes none leaves no room for it.
type How = Arc<OnceLock<Result<(), Error>>>;

/// A sealed tar while it is made. Dropping it before the end fails the backup.
pub struct BackupStream {
    pieces: mpsc::Receiver<Vec<u8>>,
    how: How,
    told: bool,
}

impl BackupStream {
    /// The next piece (at most 64 KiB); `None` at the end, when the archive is recorded as written.
    /// After an error nothing follows.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        if let Some(piece) = self.pieces.recv().await {
            return Some(Ok(piece));
        }
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        // Whoever could say how it went is gone by now.
        let broke_off = || Err(Error::new(Kind::Internal, "the backup broke off"));
        self.how.get().cloned().unwrap_or_else(broke_off).err().map(Err)
    }
}

/// The end that writes. For a thread that may block, within a runtime.
pub(super) struct Sink {
    pieces: mpsc::Sender<Vec<u8>>,
    /// How long the reader may take nothing.
    patience: Duration,
    piece: Vec<u8>,
    bytes: Arc<AtomicU64>,
    /// Why nobody takes what is written any more.
    lost: Option<Error>,
}

/// The end that says how it went, after the last byte. Where it is dropped the backup broke off.
pub(super) struct Ending {
    how: How,
    /// Keeps the stream from its end until then.
    _pieces: mpsc::Sender<Vec<u8>>,
}

/// A stream whose bytes are counted in `bytes`.
pub(super) fn stream(bytes: Arc<AtomicU64>, patience: Duration) -> (Sink, Ending, BackupStream) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let how = How::default();
    let ending = Ending { how: how.clone(), _pieces: sender.clone() };
    let piece = Vec::with_capacity(PIECE_BYTES);
    let stream = BackupStream { pieces: receiver, how, told: false };
    (Sink { pieces: sender, patience, piece, bytes, lost: None }, ending, stream)
}

impl Ending {
    /// Ends the stream, well or with an error, and waits for nobody.
    pub(super) fn say(self, how: Result<(), Error>) {
        // Nobody else has it, so nothing was said before.
        let _ = self.how.set(how);
    }
}

impl Sink {
    /// The error of one who wrote: where the reader was lost that is why, whatever was made of it.
    pub(super) fn why(&self, error: Error) -> Error {
        self.lost.clone().unwrap_or(error)
    }

    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        still_fed()?;
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        let sent = Handle::current().block_on(self.pieces.send_timeout(piece, self.patience));
        sent.map_err(|error| {
            let (kind, why) = match error {
                SendTimeoutError::Closed(_) => {
                    (io::ErrorKind::BrokenPipe, "the reader of the backup went away".to_owned())
                }
                SendTimeoutError::Timeout(_) => {
                    let seconds = self.patience.as_secs();
                    let why = format!("the reader of the backup took nothing for {seconds} s");
                    (io::ErrorKind::TimedOut, why)
                }
            };
            let lost = Error::new(Kind::Unavailable, why.clone()).next("begin another one");
            self.lost = Some(lost);
            io::Error::new(kind, why)
        })
    }
}

impl io::Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.piece.len();
        let taken = &data[..data.len().min(room)];
        self.piece.extend_from_slice(taken);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn bytes_arrive_in_order_and_are_counted() {
        let counted = Arc::new(AtomicU64::new(0));
        let (mut sink, ending, mut stream) = stream(counted.clone(), PATIENCE);
        let data: Vec<u8> = (0..1_000_003_u32).map(|i| i.to_le_bytes()[0]).collect();
        let expected = data.clone();
        let writer = tokio::task::spawn_blocking(move || {
            for chunk in data.chunks(7_001) {
                sink.write_all(chunk).unwrap();
            }
            sink.flush().unwrap();
        });
        ending.say(Ok(()));
        let mut got = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            got.extend_from_slice(&piece);
        }
        writer.await.unwrap();
        assert!(got == expected);
        assert_eq!(counted.load(Ordering::Relaxed), expected.len() as u64);
    }

    #[tokio::test]
    async fn a_failure_is_the_last_that_is_read() {
        let (mut sink, ending, mut stream) = stream(Arc::default(), PATIENCE);
        let writer = tokio::task::spawn_blocking(move || {
            sink.write_all(b"some").unwrap();
            sink.flush().unwrap();
        });
        writer.await.unwrap();
        ending.say(Err(Error::new(Kind::Damaged, "a row is damaged")));
        assert_eq!(stream.next().await.unwrap().unwrap(), b"some");
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind, Kind::Damaged);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn an_end_that_nobody_speaks_of_is_none() {
        let (sink, ending, mut stream) = stream(Arc::default(), PATIENCE);
        drop((sink, ending));
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind, Kind::Internal);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_stops_the_writer() {
        let (mut sink, _ending, stream) = stream(Arc::default(), PATIENCE);
        drop(stream);
        let failed = tokio::task::spawn_blocking(move || {
            let error = sink.write_all(&vec![0; 10 * PIECE_BYTES]).unwrap_err();
            (error.kind(), sink.why(Error::new(Kind::Other, "failed to seal")).kind)
        });
        assert_eq!(failed.await.unwrap(), (io::ErrorKind::BrokenPipe, Kind::Unavailable));
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_does_not_hold_the_writer() {
        let (mut sink, ending, mut stream) = stream(Arc::default(), Duration::from_millis(20));
        let failed = tokio::task::spawn_blocking(move || {
            sink.write_all(&vec![0; 10 * PIECE_BYTES]).unwrap_err()
        });
        assert_eq!(failed.await.unwrap().kind(), io::ErrorKind::TimedOut);
        // Nor whoever says so; and if it reads again, it is told.
        ending.say(Err(Error::new(Kind::Unavailable, "the reader took nothing")));
        for _ in 0..PIECES {
            assert_eq!(stream.next().await.unwrap().unwrap().len(), PIECE_BYTES);
        }
        assert_eq!(stream.next().await.unwrap().unwrap_err().kind, Kind::Unavailable);
        assert!(stream.next().await.is_none());
    }
}
