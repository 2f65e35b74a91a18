//! What a thread had of the cores.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// `/proc/thread-self/schedstat` (proc(5), and the kernel's `sched-stats.rst`), of the thread that opened it.
#[derive(Debug)]
pub(super) struct Shares(File);

impl Shares {
    /// Of this thread; `None` where the system does not tell.
    pub(super) fn open() -> Option<Self> {
        File::open("/proc/thread-self/schedstat").ok().map(Self)
    }

    /// So far.
    pub(super) fn now(&self) -> Option<Share> {
        // Three decimal numbers.
        let mut text = [0; 80];
        let len = self.0.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..len]).ok()?;
        let mut fields = text.split_ascii_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok().map(Duration::from_nanos);
        Some(Share { ran: next()?, waited: next()? })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) ran: Duration,
    /// Ready to run, and not running. A thread that waits for a disk, a reader or the time is not ready.
    pub(super) waited: Duration,
}

impl Share {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn it_tells_again_and_again_what_its_thread_had() {
        let shares = Shares::open().unwrap();
        let before = shares.now().unwrap();
        let others = std::thread::spawn(|| Shares::open().unwrap().now().unwrap());
        assert!(others.join().unwrap().ran < Duration::from_secs(1));
        while shares.now().unwrap().since(before).ran < Duration::from_millis(5) {}
    }
}
