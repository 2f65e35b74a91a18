//! Load on one thread, so that what is left of the machine is the server's.
//!
//! A closed loop keeps every connection busy: each sends its next request when the last one was
//! answered. An open loop sends at a fixed rate whatever the server does, and a request's latency
//! counts from the instant it was due: a server that stalls for a second is charged for every request
//! that should have been sent meanwhile (no "coordinated omission").

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::histogram::Histogram;
use crate::process::Cpu;
use crate::wire::{Post, Protocol, Sender, Target};

/// Makes the request of a number.
pub type Requests = Arc<dyn Fn(u64) -> Post + Send + Sync>;

/// How the load reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Connections.
    pub connections: usize,
    /// Requests under way on each; more than one on HTTP/2 only.
    pub streams: usize,
}

/// What was seen while it was measured.
pub struct Window {
    /// How long.
    pub elapsed: Duration,
    /// CPU time that the server used, all its threads together.
    pub cpu: Duration,
    /// Of the requests answered meanwhile.
    pub latency: Histogram,
}

impl Window {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.latency.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// The server's CPU time of a request, in microseconds.
    pub fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latency.count().max(1) as f64
    }
}

/// What a phase begins as is for warming up: nothing is recorded.
const MEASURE: u8 = 1;
const STOP: u8 = 2;

#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    next: AtomicU64,
    /// How many requests there are at most; no bound where 0.
    bound: u64,
    latency: Mutex<Histogram>,
    failed: AtomicBool,
    /// The open loop makes nothing due any more.
    ended: AtomicBool,
}

impl Shared {
    fn phase(&self) -> u8 {
        // After a failure nothing is worth measuring.
        if self.failed.load(Ordering::Relaxed) { STOP } else { self.phase.load(Ordering::Relaxed) }
    }

    fn record(&self, begun: Instant) {
        if self.phase() == MEASURE {
            self.latency.lock().expect("nobody panics with the lock").add(begun.elapsed());
        }
    }

    fn take_latency(&self) -> Histogram {
        std::mem::take(&mut self.latency.lock().expect("nobody panics with the lock"))
    }
}

/// Keeps every connection busy for `warm`, and then for `measure`, which alone counts.
pub fn closed(
    target: &Target,
    shape: Shape,
    requests: &Requests,
    warm: Duration,
    measure: Duration,
) -> Result<Window> {
    runtime()?.block_on(async {
        let shared = Arc::new(Shared::default());
        let mut workers = Vec::new();
        for sender in senders(target, shape).await? {
            let (shared, requests) = (Arc::clone(&shared), Arc::clone(requests));
            workers.push(tokio::spawn(busy(sender, requests, shared)));
        }
        tokio::time::sleep(warm).await;
        let before = Cpu::of(target.pid)?;
        let begun = Instant::now();
        shared.phase.store(MEASURE, Ordering::Relaxed);
        tokio::time::sleep(measure).await;
        shared.phase.store(STOP, Ordering::Relaxed);
        let elapsed = begun.elapsed();
        let cpu = Cpu::of(target.pid)?.since(&before);
        join(workers).await?;
        Ok(Window { elapsed, cpu, latency: shared.take_latency() })
    })
}

/// Sends the first `count` requests as fast as they are answered; gives how long that took.
pub fn all(target: &Target, shape: Shape, requests: &Requests, count: u64) -> Result<Duration> {
    runtime()?.block_on(async {
        let shared = Arc::new(Shared { bound: count, ..Shared::default() });
        let senders = senders(target, shape).await?;
        let begun = Instant::now();
        let start = |sender| tokio::spawn(busy(sender, Arc::clone(requests), Arc::clone(&shared)));
        join(senders.into_iter().map(start).collect()).await?;
        Ok(begun.elapsed())
    })
}

async fn busy(mut sender: Sender, requests: Requests, shared: Arc<Shared>) -> Result<()> {
    while shared.phase() != STOP {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if shared.bound != 0 && number >= shared.bound {
            break;
        }
        let request = requests(number);
        let begun = Instant::now();
        if let Err(error) = sender.ask(request).await {
            shared.failed.store(true, Ordering::Relaxed);
            return Err(error);
        }
        shared.record(begun);
    }
    Ok(())
}

/// How long an open loop runs before it counts.
const WARM: Duration = Duration::from_millis(200);
/// How finely an open loop keeps its times: what it adds itself to a latency.
const PACE: Duration = Duration::from_micros(100);

/// Sends `rate` requests per second for `measure`. Requests wait where all connections are busy, and are
/// charged for it.
pub fn open(
    target: &Target,
    shape: Shape,
    requests: &Requests,
    rate: f64,
    measure: Duration,
) -> Result<Window> {
    runtime()?.block_on(async {
        let shared = Arc::new(Shared::default());
        let (send, due) = unbounded_channel();
        let due = Arc::new(tokio::sync::Mutex::new(due));
        let mut workers = Vec::new();
        for sender in senders(target, shape).await? {
            let (shared, requests) = (Arc::clone(&shared), Arc::clone(requests));
            workers.push(tokio::spawn(on_time(sender, requests, shared, Arc::clone(&due))));
        }
        let pacer = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || pace(rate, &shared, &send)
        });
        tokio::time::sleep(WARM).await;
        let before = Cpu::of(target.pid)?;
        let begun = Instant::now();
        shared.phase.store(MEASURE, Ordering::Relaxed);
        tokio::time::sleep(measure).await;
        let elapsed = begun.elapsed();
        let cpu = Cpu::of(target.pid)?.since(&before);
        // What is due by now still counts; nothing more is sent.
        shared.ended.store(true, Ordering::Relaxed);
        _ = pacer.join();
        join(workers).await?;
        Ok(Window { elapsed, cpu, latency: shared.take_latency() })
    })
}

/// Announces each request at its time, in steps of [`PACE`], until the loop has ended.
fn pace(rate: f64, shared: &Shared, due: &UnboundedSender<Instant>) {
    // Otherwise the kernel may let a sleep last 50 us longer.
    _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let begun = Instant::now();
    let mut sent = 0_u64;
    while !shared.ended.load(Ordering::Relaxed) && shared.phase() != STOP {
        loop {
            let at = begun + Duration::from_secs_f64(sent as f64 / rate);
            if at > Instant::now() {
                break;
            }
            if due.send(at).is_err() {
                return;
            }
            sent += 1;
        }
        std::thread::sleep(PACE);
    }
}

async fn on_time(
    mut sender: Sender,
    requests: Requests,
    shared: Arc<Shared>,
    due: Arc<tokio::sync::Mutex<UnboundedReceiver<Instant>>>,
) -> Result<()> {
    loop {
        let next = due.lock().await.recv().await;
        let Some(at) = next else { return Ok(()) };
        if shared.phase() == STOP {
            return Ok(());
        }
        let request = requests(shared.next.fetch_add(1, Ordering::Relaxed));
        if let Err(error) = sender.ask(request).await {
            shared.failed.store(true, Ordering::Relaxed);
            return Err(error);
        }
        shared.record(at);
    }
}

async fn senders(target: &Target, shape: Shape) -> Result<Vec<Sender>> {
    let mut senders = Vec::new();
    for _ in 0..shape.connections {
        let sender = target.connect(shape.protocol).await?;
        for _ in 1..shape.streams {
            senders.push(sender.stream()?);
        }
        senders.push(sender);
    }
    Ok(senders)
}

async fn join(workers: Vec<JoinHandle<Result<()>>>) -> Result<()> {
    for worker in workers {
        worker.await.context("a connection's task ended")??;
    }
    Ok(())
}

/// A runtime of one thread: this one.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")
}
