//! Keeps the first I/O error of a reader that is handed to rPGP, which would wrap it:
//! "the disk cannot be read" and "the stream is damaged" have different answers.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the first error is left; both sides hold it.
#[derive(Clone, Default)]
pub(crate) struct FirstError(Arc<Mutex<Option<io::Error>>>);

impl FirstError {
    /// Takes the error out, if there was one.
    pub(crate) fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps `error` and answers with one of the same kind.
    fn keep(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
        copy
    }
}

/// A reader under watch. `Interrupted` is no failure: the caller tries again.
pub(crate) struct Watch<T> {
    inner: T,
    first: FirstError,
}

impl<T> Watch<T> {
    pub(crate) fn new(inner: T) -> (Self, FirstError) {
        let first = FirstError::default();
        (Self { inner, first: first.clone() }, first)
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl<T: Read> Read for Watch<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(self.first.keep(error)),
            other => other,
        }
    }
}

impl<T: BufRead> BufRead for Watch<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.inner.fill_buf() {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(self.first.keep(error)),
            other => other,
        }
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}
