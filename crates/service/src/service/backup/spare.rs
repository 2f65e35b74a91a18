//! A backup's own thread, which works in the time that nobody else wants.
//!
//! It seals and reads back for a second or a minute and never waits. A fair scheduler gives it a whole core,
//! and what serves queues on the others. So on Linux the thread is `SCHED_IDLE` (sched(7)): whatever
//! wakes takes its core at once. Such a thread starves where every core is always busy, and it cannot go
//! back without a privilege. So it is looked first whether there is spare time at all; where there is next
//! to none the thread stays an ordinary one. And where spare time ends while it works, the work says so and
//! is begun again: a busy machine makes no backup impossible.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use holdfast_types::Kind;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Error;

/// CPU time that is tried to get.
const SAMPLE: Duration = Duration::from_millis(2);
/// For how long: if it takes longer, a thread in spare time has less than a tenth of a core.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the work may be starved before it gives up.
const STARVED: Duration = Duration::from_secs(10);
/// It is starved where it waits for a core this many times as long as it has one.
const HUNGER: u32 = 20;

thread_local! {
    /// Of a thread that works in spare time: what was seen of it, and when.
    static SEEN: Cell<Option<(Instant, Share)>> = const { Cell::new(None) };
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Why the work failed.
#[derive(Debug)]
pub(super) enum Ended {
    /// No core was free for it any more. Begun again, it finds out at once and competes for one.
    Starved,
    /// As it says.
    Failed(Error),
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(error) => error,
            Ended::Starved => {
                let message = "every core was busy: nothing was left for the backup";
                Self::new(Kind::Unavailable, message).next("begin it again: it will compete then")
            }
        }
    }
}

/// Runs `work` on a thread of its own, in spare time if there is any. It may use this runtime, and calls
/// [`still_fed`] from time to time.
pub(super) async fn in_spare_time<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Ended> {
    // Where every core is busy even the probe may never run.
    let probe = tokio::time::timeout(5 * PATIENCE, on_a_thread("probe", spare_time)).await;
    apart(probe.ok().flatten().unwrap_or(false), work).await
}

/// As [`in_spare_time`], but in any: the work gets its share of the cores.
pub(super) async fn competing<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    Ok(apart(false, work).await?)
}

async fn apart<T: Send + 'static>(
    spare: bool,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Ended> {
    on_a_thread("backup", move || with(spare, work)).await.unwrap_or_else(|| {
        let message = "the thread of a backup could not start, or failed";
        Err(Ended::Failed(Error::new(Kind::Internal, message)))
    })
}

/// `work` on this thread, which must end with it.
fn with<T>(spare: bool, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Ended> {
    if spare && idle() {
        SEEN.set(Share::now().map(|share| (Instant::now(), share)));
    }
    work().map_err(|error| if GAVE_UP.get() { Ended::Starved } else { Ended::Failed(error) })
}

/// Fails where this thread works in spare time and gets none any more.
pub(super) fn still_fed() -> io::Result<()> {
    fed_within(STARVED)
}

fn fed_within(limit: Duration) -> io::Result<()> {
    let Some((since, before)) = SEEN.get() else { return Ok(()) };
    if since.elapsed() < limit {
        return Ok(());
    }
    let Some(now) = Share::now() else { return Ok(()) };
    SEEN.set(Some((Instant::now(), now)));
    if now.starved_since(before, limit) {
        GAVE_UP.set(true);
        return Err(io::Error::other("no core was free"));
    }
    Ok(())
}

/// What a thread had of the cores.
#[derive(Clone, Copy, Debug)]
struct Share {
    ran: Duration,
    /// Ready to run, and not running.
    waited: Duration,
}

impl Share {
    /// Of this thread; `None` where the system does not tell (`schedstat`: proc(5)).
    fn now() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut fields = text.split_ascii_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok().map(Duration::from_nanos);
        Some(Self { ran: next()?, waited: next()? })
    }

    /// A thread that waits for a disk or a reader is not starved: it is not ready.
    fn starved_since(self, before: Self, limit: Duration) -> bool {
        let (ran, waited) = (self.ran - before.ran, self.waited - before.waited);
        waited > limit / 2 && waited > ran * HUNGER
    }
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
    while Share::now().is_some_and(|share| share.ran < SAMPLE) {
        if begun.elapsed() > PATIENCE {
            return false;
        }
    }
    true
}

/// Gives this thread's time to whoever wants it, for ever. Whether the system can do that.
#[cfg(target_os = "linux")]
fn idle() -> bool {
    /// `ioprio_set(2)`: this thread; the class "best effort", and its last place.
    const THIS: libc::c_int = 1;
    const LAST: libc::c_int = (2 << 13) | 7;
    // The kernel's `struct sched_param`; SCHED_IDLE knows no other priority.
    let priority: libc::c_int = 0;
    // Its input and output would be idle, too, and others' syncs may have to wait for them.
    // SAFETY: three integers.
    unsafe { libc::syscall(libc::SYS_ioprio_set, THIS, 0, LAST) };
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
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// The scheduling policy of this thread: proc_pid_stat(5), field 41.
    fn policy() -> Option<u32> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
        let (_, after_name) = stat.rsplit_once(')')?;
        after_name.split_whitespace().nth(38)?.parse().ok()
    }

    #[tokio::test]
    async fn in_spare_time_it_takes_only_what_nobody_wants() {
        const IDLE: u32 = 5;
        let ours = policy();
        let works_as = |spare| on_a_thread("test", move || with(spare, || Ok(policy())).ok());
        assert_eq!(works_as(true).await, Some(Some(Some(IDLE))));
        assert_eq!(works_as(false).await, Some(Some(ours)));
        // The threads that serve stay as they were.
        let serves = tokio::task::spawn_blocking(policy);
        assert_eq!((policy(), serves.await.unwrap()), (ours, ours));
    }

    #[tokio::test]
    async fn what_it_did_comes_back_and_it_may_wait_on_the_runtime() {
        let waited = in_spare_time(|| {
            Handle::current().block_on(tokio::time::sleep(Duration::from_millis(1)));
            Ok(7)
        });
        assert_eq!(waited.await.map_err(Error::from), Ok(7));
        let refused = in_spare_time(|| Err::<(), _>(Error::new(Kind::NoSpace, "full"))).await;
        assert_eq!(refused.map_err(Error::from).unwrap_err().kind, Kind::NoSpace);
    }

    #[tokio::test]
    async fn a_panic_is_our_error_and_not_a_silence() {
        let failed = in_spare_time(|| -> Result<(), Error> { panic!("on purpose") }).await;
        assert_eq!(failed.map_err(Error::from).unwrap_err().kind, Kind::Internal);
    }

    #[test]
    fn who_waits_for_a_core_is_starved_and_who_waits_for_a_reader_is_not() {
        let share = |ran, waited| Share {
            ran: Duration::from_millis(ran),
            waited: Duration::from_millis(waited),
        };
        let starved = |ran: u64, waited: u64| {
            share(1_000 + ran, 500 + waited).starved_since(share(1_000, 500), STARVED)
        };
        assert!(starved(30, 9_970), "the share of SCHED_IDLE beside one that wants all");
        assert!(!starved(30, 100), "it waited for a slow reader");
        assert!(!starved(2_000, 8_000) && !starved(5_000, 5_000) && !starved(10_000, 0));
    }

    #[tokio::test]
    async fn starved_work_ends_and_says_so() {
        let busy = Arc::new(AtomicBool::new(true));
        let hogs = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let hog = |busy: Arc<AtomicBool>| while busy.load(Relaxed) {};
        let hogs: Vec<_> = (0..hogs)
            .map(|_| busy.clone())
            .map(|busy| std::thread::spawn(move || hog(busy)))
            .collect();
        let work = || loop {
            fed_within(Duration::from_millis(300))
                .map_err(|error| Error::new(Kind::Other, error.to_string()))?;
        };
        let ended = on_a_thread("test", move || with::<()>(true, work)).await;
        busy.store(false, Relaxed);
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        assert!(matches!(ended, Some(Err(Ended::Starved))), "{ended:?}");
    }
}
