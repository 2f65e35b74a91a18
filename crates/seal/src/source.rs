//! What a sealed stream is read from. Its failures are told from the stream's faults, whatever they pass through.

use std::io::{self, BufRead, Read};

use crate::framing::Fault;

/// A reader whose errors are marked as its own. `Interrupted` is none: who reads tries again.
pub(crate) struct Source<'a>(Box<dyn BufRead + Send + 'a>);

/// The mark: the inner error of an [`io::Error`] of the same kind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct OfSource(io::Error);

/// Why a stream is not read on.
pub(crate) enum Failure {
    /// Its bytes are at fault.
    Fault(Fault),
    /// They could not be read.
    Source(io::Error),
}

impl<'a> Source<'a> {
    pub(crate) fn new(inner: impl BufRead + Send + 'a) -> Self {
        Self(Box::new(inner))
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf().map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, OfSource(error)),
        })
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        crate::framing::copy_out(self, buf)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let error = match error.downcast() {
            Ok(OfSource(error)) => return Self::Source(error),
            Err(error) => error,
        };
        // What is neither the source's nor ours is the inflater's: it finds fault with bytes only.
        let inflater = Fault::Damaged("its compressed data is damaged");
        Self::Fault(error.downcast().unwrap_or(inflater))
    }
}
