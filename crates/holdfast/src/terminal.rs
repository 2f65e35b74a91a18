//! Questions to whoever sits in front of it. A terminal is as it was before, whichever way a question ends.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};

use holdfast_types::Kind;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::output::Failure;

/// The longest line that a terminal hands over (`N_TTY_BUF_SIZE` of Linux).
const LINE_BYTES_MAX: usize = 4096;
/// How long a wait for keys may last before somebody looks whether it was interrupted.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Asks for a line; `None` where the input ends instead (Ctrl-D).
pub(crate) fn line(question: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    // By default a signal would end the process as it stands: with an echo that is off.
    holdfast_node::watch_interruptions()?;
    let stdin = std::io::stdin();
    asked(stdin.as_fd(), question)
}

/// As [`line()`], without showing what is typed.
pub(crate) fn secret(question: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    holdfast_node::watch_interruptions()?;
    let stdin = std::io::stdin();
    let _silent = Silent::new(stdin.as_fd()).map_err(unusable)?;
    asked(stdin.as_fd(), question)
}

fn asked(terminal: BorrowedFd<'_>, question: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    _ = write!(std::io::stderr(), "{question}");
    let read = read_line(terminal);
    // Only Enter begins a line of its own.
    if !matches!(&read, Ok(bytes) if bytes.ends_with(b"\n")) {
        _ = writeln!(std::io::stderr());
    }
    let bytes = read?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(Kind::BadInput, "what was typed is not in UTF-8"))?;
    Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}

/// A line with its end, or what there is before the end of the input.
fn read_line(terminal: BorrowedFd<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut piece = Zeroizing::new([0; LINE_BYTES_MAX]);
    // At full size first: growing would leave pieces of it in freed memory.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    while !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX {
        if holdfast_node::interrupted() {
            return Err(Failure::Interrupted);
        }
        let mut keys = [PollFd::from_borrowed_fd(terminal, PollFlags::IN)];
        match poll(&mut keys, Some(&LOOK_EVERY)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(unusable(error)),
        }
        let room = LINE_BYTES_MAX - line.len();
        match rustix::io::read(terminal, &mut piece[..room]) {
            Ok(0) => break,
            Ok(read) => line.extend_from_slice(&piece[..read]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(unusable(error)),
        }
    }
    Ok(line)
}

fn unusable(error: Errno) -> Failure {
    Failure::io("the terminal", &error.into())
}

/// A terminal that echoes nothing but the end of a line, until it is dropped.
struct Silent<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn new(terminal: BorrowedFd<'a>) -> Result<Self, Errno> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Whoever took the terminal away needs no echo.
        _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
