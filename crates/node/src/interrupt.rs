//! Ctrl-C (SIGINT) and SIGTERM during work that has no runtime: reading an archive, making a vault.
//!
//! The first one is a wish: the archive's next piece is not read, the vault not made, the work fails, and takes
//! away what it had begun. The second one ends the process at once.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_types::Kind;
use tokio::signal::unix::{SignalKind, signal};

use crate::NodeError;

static WATCHING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// The exit code of an interrupted command.
const INTERRUPTED: i32 = 130;

/// Watches for interruptions from now on, once in a process.
///
/// Errors: the system refuses a signal handler or a thread.
pub fn watch_interruptions() -> Result<(), NodeError> {
    if WATCHING.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let failed = |error: io::Error| NodeError::new(Kind::Other, format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    // Both are watched before the work begins, not when the thread gets its turn.
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if ASKED.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
    });
    Ok(())
}

/// Whether somebody asked for the end.
#[must_use]
pub fn interrupted() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// An error where somebody asked for the end: before a step that cannot be taken back.
pub(crate) fn go_on() -> Result<(), NodeError> {
    if interrupted() { Err(NodeError::new(Kind::Other, "interrupted")) } else { Ok(()) }
}

/// Reads until somebody asks for the end.
pub(crate) struct Stoppable<R>(pub(crate) R);

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Not of the kind `Interrupted`, which readers take for "try again".
        if interrupted() { Err(io::Error::other("interrupted")) } else { self.0.read(buf) }
    }
}
