//! The chain through restarts, torn tails, damage, a full queue and a full disk.

use std::path::Path;
use std::sync::Arc;

use holdfast_fs::{Disk, Fs, Open, read_to_vec};
use holdfast_types::{IdentityId, Millis, NodeId};

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
        queue.push(&call(i));
    }
    assert!(queue.push_durable(&call(100)).is_err(), "administration is refused, not dropped");
    let mut batch = queue::Batch::default();
    queue.take(&mut batch, false);
    let kept = queue::records(&batch.bytes).count() as u64;
    assert!(kept >= 2 && batch.bytes.len() < 400);
    assert_eq!(kept + batch.dropped, 101);
    assert_eq!(queue.dropped(), batch.dropped);
    queue.push(&call(101));
    assert_eq!(queue.dropped(), batch.dropped, "there is room again");
}

#[test]
fn drops_under_load_are_counted_in_the_log() {
    let place = Place::new();
    let audit = place.open(Limits { queue_bytes: 2000, ..Limits::default() });
    for i in 0..20_000 {
        audit.record(&call(i));
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
fn an_empty_directory_is_an_empty_chain() {
    let place = Place::new();
    assert_eq!(verify(&*place.fs, Path::new(place.dir.path())).unwrap(), Ok(ChainHead::default()));
}
