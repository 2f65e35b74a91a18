//! A backup's own thread, which works in the time that nobody else wants.
//!
//! It seals and reads back for a second or a minute and never waits. A fair scheduler gives it a whole core,
//! and what serves queues on the others. So on Linux the thread is `SCHED_IDLE` (sched(7)): whatever
//! wakes takes its core at once. Such a thread starves where every core is always busy, and it cannot go
//! back without a privilege. So it is looked first whether there is spare time at all; where there is next
//! to none the thread stays an ordinary one. And where spare time ends while it works, the work says so and
//! is begun again: a busy machine makes no backup impossible.
//!
//! A core that such a thread has is still a busy one, and the kernel moves waiting threads to idle ones
//! only: those who serve queue behind each other on the other cores. So where the thread sees that
//! others want its core, it leaves it for a while.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, Instant};

use holdfast_recovery::give_way_by;
use holdfast_types::Kind;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::share::{Share, Shares};
use crate::Error;

/// CPU time that is tried to get.
const SAMPLE: Duration = Duration::from_millis(2);
/// For how long: if it takes longer, a thread in spare time has less than a tenth of a core.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the work may be starved before it gives up.
const STARVED: Duration = Duration::from_secs(10);
/// It is starved where it waits for a core this many times as long as it has one.
const HUNGER: u32 = 20;

/// How long it works between two looks at whether others want its core.
const LOOK: Duration = Duration::from_micros(500);
/// They do where it waited for more than one part in so many of that time.
const WANTED: u32 = 10;
/// How long it then leaves the core: at first, and where they want it again as soon as it is back. Longer, and the
/// backup is slower under load, and the requests hardly faster: docs/performance.md.
const ABSENCE: Duration = Duration::from_millis(2);
const ABSENCE_MAX: Duration = Duration::from_millis(4);

thread_local! {
    static SPARE: RefCell<Option<Spare>> = const { RefCell::new(None) };
}

/// Tells what this thread had of the cores so far; `None` where the system does not say it now.
type Reading = Box<dyn Fn() -> Option<Share>>;

/// Of a thread that works in spare time.
struct Spare {
    reading: Reading,
    looked: Seen,
    /// How long it was away last; zero where nobody wanted the core since.
    away: Duration,
    counted: Seen,
    gave_up: bool,
}

/// What was seen of it, and when.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    share: Share,
}

impl Seen {
    fn now(reading: &Reading) -> Option<Self> {
        Some(Self { at: Instant::now(), share: reading()? })
    }
}

impl Spare {
    /// Makes this thread one. `None` where the system cannot, or could not tell how it fares.
    fn begin() -> Option<Self> {
        let shares = Shares::open()?;
        let spare = Self::of(Box::new(move || shares.now()))?;
        idle().then_some(spare)
    }

    /// One that fares as `reading` tells.
    fn of(reading: Reading) -> Option<Self> {
        let seen = Seen::now(&reading)?;
        let away = Duration::ZERO;
        Some(Self { reading, looked: seen, away, counted: seen, gave_up: false })
    }

    /// For how long to leave the core, where others wanted it since the last look.
    fn leave(&mut self) -> Option<Duration> {
        let elapsed = self.looked.at.elapsed();
        if elapsed < LOOK {
            return None;
        }
        let before = self.looked;
        self.looked = Seen::now(&self.reading).unwrap_or(before);
        let wanted = self.looked.share.since(before.share).wanted(elapsed);
        self.away = if wanted { longer(self.away) } else { Duration::ZERO };
        wanted.then_some(self.away)
    }

    /// It is back: the time that it was away is none in which nobody wanted its core. What it waited for one
    /// since then counts.
    fn back(&mut self) {
        self.looked.at = Instant::now();
    }

    /// Whether it got next to nothing for as long as `limit`.
    fn starved(&mut self, limit: Duration) -> bool {
        if self.counted.at.elapsed() < limit {
            return false;
        }
        let before = self.counted;
        self.counted = Seen::now(&self.reading).unwrap_or(before);
        self.gave_up = self.counted.share.since(before.share).starved(limit);
        self.gave_up
    }
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
    let work = move || with(spare.then(Spare::begin).flatten(), work);
    on_a_thread("backup", work).await.unwrap_or_else(|| {
        let message = "the thread of a backup could not start, or failed";
        Err(Ended::Failed(Error::new(Kind::Internal, message)))
    })
}

/// `work` on this thread, which must end with it; in spare time as `spare` tells.
fn with<T>(spare: Option<Spare>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Ended> {
    if let Some(spare) = spare {
        SPARE.set(Some(spare));
        give_way_by(stand_back);
    }
    let gave_up = || SPARE.with_borrow(|spare| spare.as_ref().is_some_and(|spare| spare.gave_up));
    work().map_err(|error| if gave_up() { Ended::Starved } else { Ended::Failed(error) })
}

/// Offers this thread's core, and leaves it for a while where others wanted it.
fn stand_back() {
    let Some(absence) = SPARE.with_borrow_mut(|spare| spare.as_mut().and_then(Spare::leave)) else {
        return std::thread::yield_now();
    };
    std::thread::sleep(absence);
    SPARE.with_borrow_mut(|spare| spare.iter_mut().for_each(Spare::back));
}

/// The absence after this one.
fn longer(absence: Duration) -> Duration {
    (2 * absence).clamp(ABSENCE, ABSENCE_MAX)
}

/// Fails where this thread works in spare time and gets none any more.
pub(super) fn still_fed() -> io::Result<()> {
    fed_within(STARVED)
}

fn fed_within(limit: Duration) -> io::Result<()> {
    let starved = SPARE.with_borrow_mut(|spare| spare.as_mut().is_some_and(|s| s.starved(limit)));
    if starved { Err(io::Error::other("no core was free")) } else { Ok(()) }
}

impl Share {
    /// Whether others wanted the core of who had this in so much time.
    fn wanted(self, elapsed: Duration) -> bool {
        self.waited * WANTED > elapsed
    }

    /// Whether who had this for as long as `limit` starved.
    fn starved(self, limit: Duration) -> bool {
        self.waited > limit / 2 && self.waited > self.ran * HUNGER
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
    let Some(spare) = Spare::begin() else { return false };
    while (spare.reading)().is_none_or(|share| share.ran < SAMPLE) {
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
    use std::cell::Cell;
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
        let works_as = |spare: bool| {
            on_a_thread("test", move || {
                with(spare.then(Spare::begin).flatten(), || Ok(policy())).ok()
            })
        };
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
            share(1_000 + ran, 500 + waited).since(share(1_000, 500)).starved(STARVED)
        };
        assert!(starved(30, 9_970), "the share of SCHED_IDLE beside one that wants all");
        assert!(!starved(30, 100), "it waited for a slow reader");
        assert!(!starved(2_000, 8_000) && !starved(5_000, 5_000) && !starved(10_000, 0));
        let wanted = |ran, waited| share(ran, waited).wanted(Duration::from_millis(100));
        assert!(wanted(50, 50) && wanted(80, 11));
        assert!(!wanted(100, 0) && !wanted(90, 10) && !wanted(0, 0));
    }

    /// A thread's readings, each a second later: it had a thousandth of a core and waited for the rest.
    fn starving() -> Reading {
        let seconds = Cell::new(0);
        Box::new(move || {
            seconds.set(seconds.get() + 1);
            let ran = Duration::from_millis(seconds.get());
            Some(Share { ran, waited: 999 * ran })
        })
    }

    /// What `work` gives on a thread in spare time that fares as `reading` tells.
    async fn faring<T: Send + 'static>(
        reading: impl FnOnce() -> Reading + Send + 'static,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Ended> {
        on_a_thread("test", move || with(Spare::of(reading()), work)).await.expect("it ends")
    }

    fn fed() -> Result<(), Error> {
        fed_within(Duration::ZERO).map_err(|error| Error::new(Kind::Other, error.to_string()))
    }

    #[tokio::test]
    async fn starved_work_ends_and_says_so() {
        let ended = faring(starving, fed).await;
        assert!(matches!(ended, Err(Ended::Starved)), "{ended:?}");
        // It failed, but not by that.
        let ended = faring(starving, || Err::<(), _>(Error::new(Kind::NoSpace, "full"))).await;
        assert!(matches!(ended, Err(Ended::Failed(_))), "{ended:?}");
    }

    #[tokio::test]
    async fn work_that_is_fed_or_cannot_be_told_goes_on() {
        let alone = || -> Reading {
            let begun = Instant::now();
            Box::new(move || Some(Share { ran: begun.elapsed(), waited: Duration::ZERO }))
        };
        assert!(matches!(faring(alone, fed).await, Ok(())));
        // The system told it once, and never again.
        let silent = || -> Reading {
            let told = Cell::new(false);
            Box::new(move || {
                let first = !told.replace(true);
                first.then_some(Share { ran: Duration::ZERO, waited: Duration::ZERO })
            })
        };
        assert!(matches!(faring(silent, fed).await, Ok(())));
        // A thread that competes is not looked at.
        assert!(matches!(on_a_thread("test", || with(None, fed)).await, Some(Ok(()))));
    }

    #[test]
    fn it_looks_only_from_time_to_time() {
        let mut spare = Spare::of(starving()).unwrap();
        let later = Instant::now() + 2 * STARVED;
        (spare.looked.at, spare.counted.at) = (later, later);
        assert!(spare.leave().is_none() && !spare.starved(STARVED) && !spare.gave_up);
        assert_eq!((spare.looked.at, spare.counted.at), (later, later));
        let earlier = Instant::now().checked_sub(LOOK).unwrap();
        (spare.looked.at, spare.counted.at) = (earlier, earlier);
        assert!(spare.leave().is_some() && spare.starved(LOOK) && spare.gave_up);
        assert!(spare.looked.at > earlier && spare.counted.at > earlier);
    }

    #[test]
    fn it_stays_away_longer_each_time_until_nobody_wants_the_core() {
        let (waits, says) = (Cell::new(0), std::rc::Rc::new(Cell::new(true)));
        let wanted = says.clone();
        let mut spare = Spare::of(Box::new(move || {
            waits.set(waits.get() + u64::from(wanted.get()));
            Some(Share { ran: Duration::ZERO, waited: Duration::from_secs(waits.get()) })
        }))
        .unwrap();
        let mut look = || {
            let earlier = Instant::now().checked_sub(LOOK).unwrap();
            spare.looked.at = earlier;
            spare.back();
            assert!(spare.looked.at > earlier, "what it was away does not count");
            spare.looked.at = earlier;
            spare.leave().map(|absence| absence.as_millis())
        };
        assert_eq!([look(), look(), look(), look()], [Some(2), Some(4), Some(4), Some(4)]);
        says.set(false);
        assert_eq!([look(), look()], [None, None]);
        says.set(true);
        assert_eq!([look(), look()], [Some(2), Some(4)]);
    }

    #[tokio::test]
    async fn it_leaves_a_core_that_others_want() {
        let work = || {
            let earlier = Instant::now().checked_sub(LOOK).unwrap();
            SPARE.with_borrow_mut(|spare| spare.as_mut().unwrap().looked.at = earlier);
            let begun = Instant::now();
            stand_back();
            let counts_from = SPARE.with_borrow(|spare| spare.as_ref().unwrap().looked.at);
            Ok((begun.elapsed(), counts_from - begun))
        };
        let left = faring(starving, work).await;
        let away = matches!(left, Ok((left, not_counted)) if left.min(not_counted) >= ABSENCE);
        assert!(away, "{left:?}");
    }

    /// `cargo test --profile ci -p holdfast-service -- --ignored every_core`
    #[tokio::test]
    #[ignore = "it keeps every core busy, so that other tests starve"]
    async fn the_system_tells_it_where_every_core_is_busy() {
        let busy = Arc::new(AtomicBool::new(true));
        let cores = std::thread::available_parallelism().unwrap().get();
        let hogs: Vec<_> = (0..2 * cores)
            .map(|_| busy.clone())
            .map(|busy| std::thread::spawn(move || while busy.load(Relaxed) {}))
            .collect();
        let work = || {
            let (begun, mut left) = (Instant::now(), false);
            while begun.elapsed() < Duration::from_secs(60) {
                left |= SPARE.with_borrow_mut(|spare| spare.as_mut().unwrap().leave().is_some());
                if left {
                    fed_within(Duration::from_millis(300))
                        .map_err(|error| Error::new(Kind::Other, error.to_string()))?;
                }
            }
            Ok(())
        };
        let ended = on_a_thread("test", move || with(Spare::begin(), work)).await;
        busy.store(false, Relaxed);
        assert!(hogs.into_iter().all(|hog| hog.join().is_ok()));
        assert!(matches!(ended, Some(Err(Ended::Starved))), "{ended:?}");
    }
}
