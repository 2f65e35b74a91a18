//! The chain through restarts, torn tails, damage, a full queue and a full disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_fs::{Disk, Fs, Open, read_to_vec};
use holdfast_types::{IdentityId, Kind, Millis, NodeId};

use super::*;

struct Place {
    dir: tempfile::TempDir,
    fs: Arc<dyn Fs>,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), fs: Arc::new(Disk) }
    }

    fn open(&self, limits: Limits) -> Audit {
        Audit::open(self.fs.clone(), self.dir.path(), NodeId(7), Millis(1000), limits).unwrap()
    }

    fn text(&self, number: u64) -> String {
        let path = files::path(self.dir.path(), number);
        String::from_utf8(read_to_vec(&*self.fs, &path, 1 << 30).unwrap()).unwrap()
    }

    fn verify(&self) -> Result<ChainHead, Break> {
        verify(&*self.fs, self.dir.path()).unwrap()
    }

    fn write(&self, number: u64, bytes: &[u8], offset: u64) {
        let file = self.fs.open(&files::path(self.dir.path(), number), Open::Write).unwrap();
        file.write_at(bytes, offset).unwrap();
    }
}

pub(super) fn call(at: u64) -> Record<'static> {
    Record {
        at: Millis(at),
        identity: Some(IdentityId([1; 32])),
        remote: "192.0.2.1:9",
        action: Action::KeyEncrypt,
        resource: Resource::Within("default", "orders"),
        outcome: Outcome::Ok,
        detail: "",
    }
}

/// As long as it can be, of what needs most escaping.
pub(super) fn stranger(at: u64) -> Record<'static> {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "\u{1}".repeat(4000));
    Record {
        at: Millis(at),
        identity: None,
        remote: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        action: Action::Request,
        resource: Resource::Text(&LONG),
        outcome: Outcome::Failed(Kind::NotFound),
        detail: &LONG,
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn the_chain_goes_on_over_restarts_and_files() {
    let place = Place::new();
    let limits = Limits { file_bytes: 4096, ..Limits::default() };
    let mut expected = 0;
    for run in 0..3 {
        let audit = place.open(limits);
        for i in 0..50 {
            block_on(audit.record_durable(&call(run * 1000 + i))).unwrap();
        }
        audit.close();
        expected += 51;
        assert_eq!(audit.head(), place.verify().unwrap());
        assert_eq!(audit.head().count, expected, "fifty calls and a start");
    }
    assert!(files::numbers(&*place.fs, place.dir.path()).unwrap().len() > 3);
}

#[test]
fn what_is_durable_is_in_the_file_when_it_returns() {
    let place = Place::new();
    let audit = place.open(Limits::default());
    let record = Record { outcome: Outcome::Begun, action: Action::CustodianAdd, ..call(5) };
    block_on(audit.record_durable(&record)).unwrap();
    assert!(place.text(1).ends_with(
        "\"action\":\"custodian.add\",\"resource\":\"default/orders\",\"result\":\"begun\"}\n"
    ));
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    for torn in [&b"{\"seq\":3,\"prev\":\"00"[..], b"{", &[0; 700], b"rubbish\nand more\n"] {
        let place = Place::new();
        let audit = place.open(Limits::default());
        block_on(audit.record_durable(&call(1))).unwrap();
        audit.close();
        let len = place.text(1).len() as u64;
        place.write(1, torn, len);
        let broken = place.verify().unwrap_err();
        assert_eq!((broken.line, broken.good), (3, audit.head()));

        let audit = place.open(Limits::default());
        audit.close();
        assert_eq!(place.verify().unwrap().count, 4, "the call, two starts and the cut");
        assert!(place.text(1).contains(&format!(
            "audit.cut\",\"resource\":\"bytes\",\"result\":\"ok\",\"count\":{}}}",
            torn.len()
        )));
    }
}

#[test]
fn a_line_changed_or_removed_breaks_the_chain_and_is_kept_as_it_is() {
    let place = Place::new();
    let audit = place.open(Limits::default());
    for i in 0..5 {
        block_on(audit.record_durable(&call(i))).unwrap();
    }
    audit.close();
    let text = place.text(1);
    let changed = text.find("orders").unwrap();
    place.write(1, b"Orders", changed as u64);
    assert_eq!(
        place.verify().unwrap_err().line,
        3,
        "the line after the changed one names its hash"
    );

    let damaged = place.text(1);
    let audit = place.open(Limits::default());
    block_on(audit.record_durable(&call(9))).unwrap();
    audit.close();
    assert_eq!(place.text(1), damaged, "evidence is not touched");
    assert!(place.text(2).starts_with("{\"seq\":7,"), "the chain goes on in the next file");
    assert!(place.text(2).contains("audit.damaged"));
    assert_eq!(place.verify().unwrap_err().line, 3);
}

#[test]
fn only_the_head_in_the_state_tells_a_changed_last_line() {
    let place = Place::new();
    let audit = place.open(Limits::default());
    block_on(audit.record_durable(&call(1))).unwrap();
    audit.close();
    let head = audit.head();
    // Whoever changes the last line leaves a chain that verifies; only the head kept in the state tells.
    let at = place.text(1).rfind("orders").unwrap();
    place.write(1, b"Orders", at as u64);
    assert_eq!(place.verify().unwrap().count, head.count);
    assert_ne!(place.verify().unwrap().hash, head.hash);
}

#[test]
fn the_log_holds_its_own_heads_and_no_others() {
    let place = Place::new();
    let audit = place.open(Limits { file_bytes: 1024, ..Limits::default() });
    let mut heads = vec![audit.head()];
    for i in 0..20 {
        block_on(audit.record_durable(&call(i))).unwrap();
        heads.push(audit.head());
    }
    audit.close();
    let holds = |head: &ChainHead| audit.holds(head).unwrap();
    assert!(heads.iter().all(holds));
    assert!(!holds(&ChainHead { count: heads[7].count, hash: heads[8].hash }));
    assert!(!holds(&ChainHead { count: 22, hash: heads[20].hash }), "there are 21 lines");

    // A changed line is in the way of all that follow it in its file; the files after it have their own.
    let changed = place.text(1).find("orders").unwrap();
    place.write(1, b"Orders", changed as u64);
    let found = heads.iter().map(holds).collect::<Vec<_>>();
    let first = place.text(1).lines().count();
    let expected = (0..21).map(|i| i == 0 || i >= first).collect::<Vec<_>>();
    assert_eq!(found, expected);
    // The oldest file was moved away.
    std::fs::remove_file(files::path(place.dir.path(), 1)).unwrap();
    let found = heads.iter().map(holds).collect::<Vec<_>>();
    assert_eq!(found, (0..21).map(|i| i >= first).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_drops_and_the_drop_is_a_record() {
    // No writer takes anything until we do: the queue itself is under test.
    let queue = Queue::new(200, ChainHead::default());
    for i in 0..100 {
        queue.push(Room::Calls, &call(i));
    }
    assert!(queue.push_durable(&call(100)).is_err(), "administration is refused, not dropped");
    let (kept, gaps, bytes) = taken(&queue);
    assert!(kept.len() >= 2 && bytes < 400);
    assert_eq!(gaps, [(kept.len(), 101 - kept.len() as u64)], "after all that was kept");
    assert_eq!(queue.dropped(), gaps[0].1);
    assert!(queue.push(Room::Calls, &call(101)), "there is room again");
    assert_eq!(queue.dropped(), gaps[0].1);
}

#[test]
fn a_line_is_synced_within_its_second_whatever_comes_after_it() {
    let place = Place::new();
    let audit = place.open(Limits::default());
    // A line is due; another one comes shortly before. How long after that is the first one on disk?
    let after_the_second = || {
        let synced = audit.head().count;
        audit.record(Room::Calls, &call(1));
        std::thread::sleep(Duration::from_millis(700));
        audit.record(Room::Calls, &call(2));
        let begun = Instant::now();
        while audit.head().count == synced && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        begun.elapsed()
    };
    // Once is enough: a busy machine is late, and a writer that counts from the later line never early.
    let early = (0..5).any(|_| after_the_second() < Duration::from_millis(800));
    assert!(early, "it was synced a second after the later line only");
}

/// What waits: when each call was, (calls before a gap, what was dropped there), how many bytes.
fn taken(queue: &Queue) -> (Vec<u64>, Vec<(usize, u64)>, usize) {
    let mut batch = queue::Batch::default();
    queue.take(&mut batch, Duration::ZERO);
    let (mut calls, mut gaps) = (Vec::new(), Vec::new());
    for entry in queue::entries(&batch.bytes) {
        match entry {
            queue::Entry::Call(record) => calls.push(record.at.0),
            queue::Entry::Gap(count) => gaps.push((calls.len(), count)),
        }
    }
    (calls, gaps, batch.bytes.len())
}

#[test]
fn no_room_in_the_queue_takes_from_another() {
    let queue = Queue::new(4000, ChainHead::default());
    let second = Duration::from_secs(1);
    // Strangers first, at a rate that is theirs: only their room is full.
    for i in 0..1000 {
        queue.push_strangers(&stranger(i), second * u32::try_from(i).unwrap());
    }
    let strangers = 1000 - queue.strangers.counted();
    assert!((2..=20).contains(&strangers), "{strangers} in 1000 bytes");
    assert_eq!(queue.dropped(), 0, "strangers are not dropped");
    // As many known callers as there were without them, and then the ends of administration.
    let calls = (1000..2000).filter(|i| queue.push(Room::Calls, &call(*i))).count();
    assert!(calls > 30, "{calls} in 4000 bytes");
    let ends = (2000..2200).filter(|i| queue.push(Room::Ends, &call(*i))).count();
    assert!((8..100).contains(&ends), "{ends} in 1000 bytes");
    assert!(!queue.push(Room::Calls, &call(3000)));

    let (kept, gaps, bytes) = taken(&queue);
    let (strangers, missing) = (usize::try_from(strangers).unwrap(), 1000 - calls as u64);
    let late = 200 - ends as u64 + 1;
    assert_eq!(kept.len(), strangers + calls + ends);
    let places = [(strangers + calls, missing), (strangers + calls + ends, late)];
    assert_eq!(gaps, places, "each is told in its place");
    assert_eq!(queue.dropped(), missing + late);
    assert!(bytes < 4000 * 3 / 2 + 3 * 300, "{bytes}");
    // Without any others.
    let alone = (0..1000).filter(|i| queue.push(Room::Calls, &call(*i))).count();
    assert_eq!(alone, calls, "strangers took nothing of it");
    let (kept, _, _) = taken(&queue);
    assert_eq!(kept.len(), calls);
    assert!((0..1000).filter(|i| queue.push(Room::Ends, &call(*i))).count() >= calls + ends);
}

#[test]
fn drops_under_load_are_counted_in_the_log() {
    let place = Place::new();
    let audit = place.open(Limits { queue_bytes: 2000, ..Limits::default() });
    for i in 0..20_000 {
        audit.record(Room::Calls, &call(i));
    }
    audit.close();
    let lines: Vec<serde_json::Value> =
        place.text(1).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls = lines.iter().filter(|line| line["action"] == "key.encrypt").count() as u64;
    let drops = lines.iter().filter(|line| line["action"] == "audit.dropped");
    let told: u64 = drops.map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(calls + told, 20_000);
    assert_eq!(told, audit.dropped());
    assert!(told > 0, "a queue of 2000 bytes cannot hold them");
    assert_eq!(place.verify().unwrap(), audit.head());
}

#[test]
fn a_flood_of_strangers_costs_nobody_a_line_and_is_counted() {
    const SENT: u32 = 50_000;
    const CALLS: u64 = 2000;
    let place = Place::new();
    let audit = place.open(Limits::default());
    let flood = || {
        for i in 0..SENT {
            // Five seconds of it: 10 000 a second.
            let now = Duration::from_micros(100) * i;
            audit.inner.queue.push_strangers(&stranger(i.into()), now);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(flood);
        threads.spawn(flood);
        for i in 0..CALLS {
            audit.record(Room::Calls, &call(i));
            if i % 100 == 0 {
                block_on(audit.record_durable(&call(i))).unwrap();
                audit.record(Room::Ends, &call(i));
            }
        }
    });
    audit.close();
    let text = place.text(1);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let known = lines.iter().filter(|line| line["action"] == "key.encrypt").count() as u64;
    assert_eq!((known, audit.dropped()), (CALLS + 2 * CALLS / 100, 0));
    let written = lines.iter().filter(|line| line["action"] == "request").count() as u64;
    assert!((100..=150).contains(&written), "100 at once and 10 a second: {written}");
    let counts = lines.iter().filter(|line| line["action"] == "audit.counted");
    assert!(
        counts.clone().all(|line| line["resource"] == "strangers" && line.get("remote").is_none())
    );
    let counted: u64 = counts.map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!((written + counted, counted), (2 * u64::from(SENT), audit.strangers_counted()));
    let longest = text.lines().filter(|line| line.contains("\"request\"")).map(str::len).max();
    assert!((700..1200).contains(&longest.unwrap()), "{longest:?}");
    assert_eq!(place.verify().unwrap(), audit.head());
}

#[test]
fn administration_that_took_effect_has_both_lines_while_known_callers_flood() {
    let place = Place::new();
    let audit = place.open(Limits { queue_bytes: 2000, ..Limits::default() });
    let step = |outcome| Record { action: Action::EnclaveCreate, outcome, ..call(1) };
    let (mut done, mut refused) = (0, 0);
    let over = std::sync::atomic::AtomicBool::new(false);
    let calls = std::thread::scope(|threads| {
        let flood = threads.spawn(|| {
            let mut calls = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                audit.record(Room::Calls, &call(2));
                calls += 1;
            }
            calls
        });
        let give_up = Instant::now() + Duration::from_secs(120);
        // It may be refused, and then has not begun; never half recorded.
        while done < 50 && Instant::now() < give_up {
            match block_on(audit.record_durable(&step(Outcome::Begun))) {
                Ok(()) => {
                    audit.record(Room::Ends, &step(Outcome::Ok));
                    done += 1;
                }
                Err(error) => {
                    assert!(matches!(error, AuditError::Behind), "{error}");
                    refused += 1;
                }
            }
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        flood.join().unwrap()
    });
    audit.close();
    let lines: Vec<serde_json::Value> =
        place.text(1).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends = lines.iter().filter(|line| line["action"] == "enclave.create");
    let results: Vec<&str> = ends.map(|line| line["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["begun", "ok"].repeat(50));
    let known = lines.iter().filter(|line| line["action"] == "key.encrypt").count() as u64;
    assert!(audit.dropped() > refused, "the queue was full");
    assert_eq!(known + audit.dropped(), calls + refused);
    assert_eq!(place.verify().unwrap(), audit.head());
}

#[test]
fn an_empty_directory_is_an_empty_chain() {
    let place = Place::new();
    assert_eq!(verify(&*place.fs, Path::new(place.dir.path())).unwrap(), Ok(ChainHead::default()));
}
