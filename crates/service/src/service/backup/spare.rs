//! A backup's own thread, which works in the time that nobody else wants.
//!
//! It seals and reads back for a second or a minute and never waits. A fair scheduler gives it a whole core,
//! and what serves queues on the others. So on Linux the thread is `SCHED_IDLE` (sched(7)): whatever
//! wakes takes its core at once. Such a thread starves where every core is always busy, and it cannot go
//! back without a privilege. So it is looked first whether there is spare time at all; where there is next
//! to none the thread stays an ordinary one, and a busy machine makes no backup impossible.

use std::time::{Duration, Instant};

use holdfast_types::Kind;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Error;

/// CPU time that is tried to get.
const SAMPLE: Duration = Duration::from_millis(2);
/// For how long: if it takes longer, a thread in spare time has less than a tenth of a core.
const PATIENCE: Duration = Duration::from_millis(20);

/// Runs `work` on a thread of its own, in spare time if there is any. It may use this runtime.
pub(super) async fn in_spare_time<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let spare = on_a_thread("probe", spare_time).await.unwrap_or(false);
    let worked = on_a_thread("backup", move || {
        if spare {
            idle();
        }
        work()
    });
    worked.await.unwrap_or_else(|| {
        Err(Error::new(Kind::Internal, "the thread of a backup could not start, or failed"))
    })
}

/// What `work` gave; `None` where it panicked, or there is no thread for it.
async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, done) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _within = runtime.enter();
        // Whoever asked may have gone.
        let _ = send.send(work());
    });
    match thread {
        Ok(_) => done.await.ok(),
        Err(_) => None,
    }
}

/// Whether a thread that only gets what nobody wants gets something. Makes this thread one.
fn spare_time() -> bool {
    let begun = Instant::now();
    if !idle() {
        return false;
    }
    while cpu_time() < SAMPLE {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::hint::spin_loop();
    }
    true
}

/// What this thread has used.
fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or(Duration::MAX)
}

/// Gives this thread's time to whoever wants it, for ever. Whether the system can do that.
#[cfg(target_os = "linux")]
fn idle() -> bool {
    // The kernel's `struct sched_param`; SCHED_IDLE knows no other priority.
    let priority: libc::c_int = 0;
    // SAFETY: 0 is the calling thread; the kernel only reads the integer, which outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_IDLE, &raw const priority)
    };
    done == 0
}

#[cfg(not(target_os = "linux"))]
fn idle() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The scheduling policy of this thread: proc_pid_stat(5), field 41.
    fn policy() -> Option<u32> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
        let (_, after_name) = stat.rsplit_once(')')?;
        after_name.split_whitespace().nth(38)?.parse().ok()
    }

    #[tokio::test]
    async fn it_takes_only_what_nobody_wants() {
        let policies = on_a_thread("test", || (policy(), idle(), policy())).await;
        assert_eq!(policies, Some((Some(0), true, Some(5))));
        // The threads that serve stay as they were.
        let serves = tokio::task::spawn_blocking(policy);
        assert_eq!((policy(), serves.await.unwrap()), (Some(0), Some(0)));
    }

    #[tokio::test]
    async fn what_it_did_comes_back_and_it_may_wait_on_the_runtime() {
        let waited = in_spare_time(|| {
            Handle::current().block_on(tokio::time::sleep(Duration::from_millis(1)));
            Ok(7)
        });
        assert_eq!(waited.await, Ok(7));
        let refused = in_spare_time(|| Err::<(), _>(Error::new(Kind::NoSpace, "full"))).await;
        assert_eq!(refused.unwrap_err().kind, Kind::NoSpace);
    }

    #[tokio::test]
    async fn a_panic_is_our_error_and_not_a_silence() {
        let failed = in_spare_time(|| -> Result<(), Error> { panic!("on purpose") }).await;
        assert_eq!(failed.unwrap_err().kind, Kind::Internal);
    }
}
