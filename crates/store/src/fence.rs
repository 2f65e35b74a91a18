//! From when on the state's file is somebody else's.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

/// Ends all writing to a state's file. A store lives as long as anybody holds it, and writes once more when it
/// goes; by then the lock on the directory may be given back and another process at work there. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Fence(Arc<RwLock<bool>>);

impl Fence {
    /// From its return on nothing is written. What is left unwritten a kill would have left, too: nothing durable.
    pub fn close(&self) {
        *self.0.write() = true;
    }

    /// Does `work` on the file, unless it is closed; what closes it meanwhile waits.
    pub(crate) fn pass<T, E: Into<io::Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> io::Result<T> {
        let closed = self.0.read();
        if *closed {
            return Err(io::Error::other("this process is done with the state"));
        }
        work().map_err(Into::into)
    }
}
