//! The log on a disk that is full, fails, or loses what was not synced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use holdfast_fs::{Fault, Mem, crash_images_wanted, read_to_vec};
use holdfast_types::{Kind, Millis, NodeId};

use super::tests::{call, stranger};
use super::*;

const DIR: &str = "/audit";

fn open(mem: &Mem, limits: Limits) -> Result<Audit, AuditError> {
    Audit::open(mem.shared(), Path::new(DIR), NodeId(7), Millis(1), limits)
}

fn durable(audit: &Audit, at: u64) -> Result<(), AuditError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(audit.record_durable(&call(at)))
}

/// Every line of every file.
fn lines(mem: &Mem) -> Vec<serde_json::Value> {
    let numbers = files::numbers(mem, Path::new(DIR)).unwrap();
    let read = |n: &u64| read_to_vec(mem, &files::path(Path::new(DIR), *n), 1 << 24).unwrap();
    let text: Vec<u8> = numbers.iter().flat_map(read).collect();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a file says that the one before it is damaged.
fn tells_of_damage(mem: &Mem) -> bool {
    let numbers = files::numbers(mem, Path::new(DIR)).unwrap();
    let tells = |n: &u64| {
        let bytes = read_to_vec(mem, &files::path(Path::new(DIR), *n), 1 << 24).unwrap();
        bytes.windows(15).any(|window| window == b"\"audit.damaged\"")
    };
    numbers.iter().any(tells)
}

/// Calls in the log, and calls that it says are missing.
fn told(mem: &Mem) -> (u64, u64) {
    let lines = lines(mem);
    let calls = lines.iter().filter(|line| line["action"] == "key.encrypt").count() as u64;
    let drops = lines.iter().filter(|line| line["action"] == "audit.dropped");
    (calls, drops.map(|line| line["count"].as_u64().unwrap()).sum())
}

#[test]
fn strangers_that_were_counted_are_told_whatever_the_disk_does() {
    let strangers = |audit: &Audit, at: u64| {
        let now = Duration::from_secs(at);
        (0..300).for_each(|_| audit.inner.queue.push_strangers(&stranger(at), now));
    };
    let of = |mem: &Mem, action: &str| -> Vec<_> {
        lines(mem).into_iter().filter(|line| line["action"] == action).collect()
    };
    let sum = |lines: Vec<serde_json::Value>| -> u64 {
        lines.iter().map(|line| line["count"].as_u64().unwrap()).sum()
    };
    let faults =
        (0..8).flat_map(|step| [(step, Fault::Once), (step, Fault::From), (step, Fault::NoSpace)]);
    for (step, fault) in faults {
        let mem = Mem::new();
        let audit = open(&mem, Limits { file_bytes: 4000, ..Limits::default() }).unwrap();
        mem.fail_at(step, fault);
        for at in 1..5 {
            strangers(&audit, at * 60);
            let _ = durable(&audit, at);
        }
        mem.heal();
        durable(&audit, 6).unwrap();
        strangers(&audit, 600);
        audit.close();
        let (written, told) = (of(&mem, "request").len() as u64, sum(of(&mem, "audit.counted")));
        let known = of(&mem, "key.encrypt").len() as u64;
        let dropped = sum(of(&mem, "audit.dropped"));
        let what = format!("step {step}, {fault:?}");
        assert_eq!((told, dropped), (audit.strangers_counted(), audit.dropped()), "{what}");
        assert_eq!(written + known + told + dropped, 5 * 300 + 5, "{what}: there or told");
        assert_eq!(told, 5 * 200, "{what}: a minute fills the bucket");
        assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()), "{what}");
    }
}

#[test]
fn on_a_full_disk_administration_is_refused_use_goes_on_and_the_gap_is_told() {
    let mem = Mem::new();
    let audit = open(&mem, Limits::default()).unwrap();
    durable(&audit, 1).unwrap();
    for room in [0, 100] {
        mem.limit_space(room);
        for at in 0..50 {
            audit.record(Room::Calls, &call(at));
        }
        let refused = durable(&audit, 50).unwrap_err();
        assert_eq!(refused.kind(), Kind::NoSpace, "{refused}");
        assert!(audit.fault().unwrap().contains("no space left"), "{:?}", audit.fault());
        assert!(durable(&audit, 51).is_err(), "still");
    }
    let dropped = audit.dropped();
    assert_eq!(dropped, 2 * 52, "all that came meanwhile");
    mem.heal();
    durable(&audit, 60).unwrap();
    assert_eq!(audit.fault(), None, "there is room again, without a restart");
    audit.close();
    assert_eq!(told(&mem), (2, dropped), "each is there or told in its place");
    assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()));
}

#[test]
fn a_full_queue_on_a_full_disk_says_that_the_disk_is_full() {
    let mem = Mem::new();
    let audit = open(&mem, Limits { queue_bytes: 500, ..Limits::default() }).unwrap();
    mem.limit_space(0);
    assert_eq!(durable(&audit, 1).unwrap_err().kind(), Kind::NoSpace);
    for at in 0..100 {
        audit.record(Room::Calls, &call(at));
    }
    let refused = durable(&audit, 2).unwrap_err();
    assert_eq!(refused.kind(), Kind::NoSpace, "{refused}");
}

#[test]
fn a_log_that_cannot_be_opened_for_want_of_space_says_so() {
    let mem = Mem::new();
    mem.limit_space(10);
    let refused = open(&mem, Limits::default()).map(drop).unwrap_err();
    assert_eq!(refused.kind(), Kind::NoSpace);
    mem.heal();
    let audit = open(&mem, Limits::default()).unwrap();
    durable(&audit, 1).unwrap();
    audit.close();
    assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()));
}

#[test]
fn after_every_crash_the_chain_goes_on_with_all_that_was_promised() {
    let wanted = crash_images_wanted(10);
    let mem = Mem::new();
    let recorder = mem.recorder();
    let limits = Limits { file_bytes: 2048, ..Limits::default() };
    let audit = open(&mem, limits).unwrap();
    // (operations recorded when it was promised, lines by then)
    let mut promised = vec![(0, 0), (recorder.len(), 1)];
    for at in 0..24 {
        audit.record(Room::Calls, &call(at));
        durable(&audit, at).unwrap();
        promised.push((recorder.len(), audit.head().count));
    }
    audit.close();
    let per_point = recorder.per_point(wanted, 6);
    let (mut count, mut holes) = (0, 0);
    for image in recorder.images(per_point, 31) {
        let what = format!("operation {}, {:?}", image.at, image.damage);
        let least = promised[promised.partition_point(|(op, _)| *op <= image.at) - 1].1;
        let audit = open(&image.fs, limits).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = audit.head().count;
        assert!(found > least, "{what}: {found} lines with this start, {least} were promised");
        durable(&audit, 99).unwrap_or_else(|error| panic!("{what}: {error}"));
        audit.close();
        match verify(&image.fs, Path::new(DIR)).unwrap() {
            Ok(head) => assert_eq!(head, audit.head(), "{what}"),
            // A hole among lines that were not synced, with whole ones behind it: it is not covered up.
            Err(hole) => {
                assert!(hole.good.count >= least, "{what}: promised lines are gone: {hole:?}");
                assert!(tells_of_damage(&image.fs), "{what}: nobody tells of {hole:?}");
                holes += 1;
            }
        }
        count += 1;
    }
    println!("{count} crash images of the audit log, {holes} with a hole");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
    assert!(holes * 100 <= count, "a torn tail is the usual case, not a hole: {holes}");
}

/// Waits until so many lines are in the first file.
fn written(mem: &Mem, count: usize) {
    let give_up = Instant::now() + Duration::from_secs(120);
    while lines(mem).len() < count {
        assert!(Instant::now() < give_up, "{count} lines: {:#?}", lines(mem));
        std::thread::yield_now();
    }
}

#[test]
fn what_is_in_the_file_is_synced_though_the_disk_takes_no_more() {
    let mem = Mem::new();
    let audit = open(&mem, Limits::default()).unwrap();
    audit.record(Room::Calls, &call(1));
    written(&mem, 2);
    mem.limit_space(0);
    audit.record(Room::Calls, &call(2));
    let give_up = Instant::now() + Duration::from_secs(60);
    while audit.head().count < 2 {
        assert!(Instant::now() < give_up, "it waits for room");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(audit.dropped() > 0 || audit.fault().is_some(), "the disk is full");
}

#[test]
fn after_a_failed_sync_what_is_promised_is_on_disk() {
    for step in 0..6 {
        let mem = Mem::new();
        let recorder = mem.recorder();
        let audit = open(&mem, Limits::default()).unwrap();
        audit.record(Room::Calls, &call(1));
        written(&mem, 2);
        mem.fail_at(step, Fault::Once);
        // (operations recorded when it was promised, lines by then, when the call was)
        let mut promised = Vec::new();
        for at in 2..8 {
            if durable(&audit, at).is_ok() {
                promised.push((recorder.len(), audit.head().count, at));
            }
        }
        audit.close();
        assert!(promised.len() >= 5, "step {step}: it failed once: {promised:?}");
        let (calls, dropped) = told(&mem);
        assert_eq!(calls + dropped, 7, "step {step}: each is there or told");
        assert_eq!(dropped, audit.dropped(), "step {step}");
        assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()), "step {step}");
        for image in recorder.images(6, step) {
            let what = format!("step {step}, operation {}, {:?}", image.at, image.damage);
            let kept = promised.iter().filter(|(op, ..)| *op <= image.at);
            let Some((_, least, _)) = kept.clone().next_back() else { continue };
            let good = match verify(&image.fs, Path::new(DIR)).unwrap() {
                Ok(head) => head,
                Err(hole) => hole.good,
            };
            assert!(good.count >= *least, "{what}: {} lines, {least} were promised", good.count);
            let text = read_to_vec(&image.fs, &files::path(Path::new(DIR), 1), 1 << 24).unwrap();
            let text = String::from_utf8_lossy(&text);
            for (_, _, at) in kept {
                let line = format!("00:00.{at:03}Z\",\"identity\":\"h1:");
                assert!(text.contains(&line), "{what}: the call at {at} is not in {text}");
            }
        }
    }
}

#[test]
fn while_syncs_fail_administration_is_refused_use_goes_on_and_the_gap_is_told() {
    let mem = Mem::new();
    let audit = open(&mem, Limits { file_bytes: 400, ..Limits::default() }).unwrap();
    durable(&audit, 1).unwrap();
    let (mut refused, mut kept) = (0, 1);
    for (step, fault) in [(1, Fault::From), (0, Fault::From), (1, Fault::Once), (2, Fault::NoSpace)]
    {
        mem.fail_at(step, fault);
        audit.record(Room::Calls, &call(2));
        for at in 3..6 {
            match durable(&audit, at) {
                Ok(()) => kept += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(fault != Fault::From || audit.fault().is_some(), "step {step}");
        mem.heal();
        durable(&audit, 6).unwrap();
        kept += 1;
        assert_eq!(audit.fault(), None, "step {step}");
    }
    audit.close();
    let (calls, dropped) = told(&mem);
    assert_eq!((calls + dropped, dropped), (1 + 4 * 5, audit.dropped()));
    assert!(refused >= 7 && calls >= kept, "{refused} refused, {calls} there, {kept} promised");
    assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()));
}

#[test]
fn a_disk_that_fails_once_loses_nothing_that_was_promised() {
    for at in 0..12 {
        let mem = Mem::new();
        let audit = open(&mem, Limits::default()).unwrap();
        durable(&audit, 1).unwrap();
        mem.fail_at(at, Fault::Once);
        let promised = (2..8).filter(|at| durable(&audit, *at).is_ok()).count() as u64;
        audit.close();
        let (calls, _) = told(&mem);
        assert!(calls > promised, "{calls} of {} are there", promised + 1);
        assert_eq!(verify(&mem, Path::new(DIR)).unwrap(), Ok(audit.head()), "operation {at}");
    }
}

/// Counts what is logged, by level.
#[derive(Default, Clone)]
struct Counted(Arc<[AtomicU64; 2]>);

impl tracing::Subscriber for Counted {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let is_error = *event.metadata().level() == tracing::Level::ERROR;
        self.0[usize::from(is_error)].fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_fault_that_lasts_is_logged_once_and_so_is_its_end() {
    let mem = Mem::new();
    let log = files::Log::open(mem.shared(), Path::new(DIR), 1 << 20).unwrap();
    let queue = Arc::new(Queue::new(1 << 20, log.head()));
    let mut writer = writer::Writer::new(queue.clone(), log, Millis(1));
    writer.started(NodeId(7)).unwrap();
    let counted = Counted::default();
    let logs = counted.clone();
    // Where there was only ever one, `tracing` asks the thread that comes first whether a place is logged at all,
    // and another test's has nobody who wants it.
    let _second = tracing::Dispatch::new(Counted::default());
    let thread = std::thread::spawn(move || {
        tracing::subscriber::with_default(logs, || writer.run());
    });
    let try_it = || queue.push_durable(&call(1)).unwrap().blocking_recv().unwrap();
    let counts = || counted.0.each_ref().map(|count| count.load(Ordering::Relaxed));

    try_it().unwrap();
    mem.limit_space(0);
    for _ in 0..20 {
        try_it().unwrap_err();
    }
    mem.heal();
    try_it().unwrap();
    try_it().unwrap();
    mem.limit_space(0);
    try_it().unwrap_err();
    // Other reasons: nothing can be written, and then nothing can be cut.
    mem.fail_at(0, Fault::From);
    for _ in 0..5 {
        try_it().unwrap_err();
    }
    queue.close();
    thread.join().unwrap();
    assert_eq!(counts(), [1, 4], "ends, and faults that began or changed");
}
