//! A process that starts again on a running machine finds what its predecessor wrote and did not make
//! durable. What it then relies on, and what it promises, must outlast a power cut.

use std::path::Path;

use holdfast_fs::{Fault, Mem, Recorder};
use holdfast_machine::LogId;
use holdfast_store::StoreError;
use holdfast_store::log::Log;

use crate::support::{EACH_DAMAGE, id};

const LOG: &str = "/log";
/// Two entries fill one.
const SEGMENT_BYTES: u64 = 300;

type Entries = Vec<(LogId, Vec<u8>)>;

fn entry(index: u64) -> (LogId, Vec<u8>) {
    (id(index), vec![index as u8; 100])
}

fn open_log(mem: &Mem) -> Result<Log, StoreError> {
    Log::open_with(mem.shared(), Path::new(LOG), SEGMENT_BYTES).map(|(log, _)| log)
}

/// Every kind of change to a log; ends at the first error.
fn use_log(mem: &Mem) -> Result<(), StoreError> {
    let mut log = open_log(mem)?;
    for index in 1..=7 {
        log.append(&[entry(index)])?;
        log.sync()?;
    }
    log.save_vote(b"vote")?;
    log.purge_to(id(4))?;
    log.truncate_after(Some(5))?;
    log.append(&[entry(6), entry(7)])?;
    log.sync()?;
    log.reset(id(20))?;
    log.append(&[entry(21)])?;
    log.sync()
}

/// Operations of [`use_log`].
fn operations() -> u64 {
    let mem = Mem::new();
    use_log(&mem).expect("no fault");
    mem.ops()
}

/// What a process left that was stopped by a fault at operation `at`, or went on: no fault at the last `at`.
fn stopped_at(at: u64) -> (Mem, Recorder) {
    let mem = Mem::new();
    let recorder = mem.recorder();
    mem.fail_at(at, Fault::Once);
    // A mark that was not written stops nothing.
    _ = use_log(&mem);
    mem.heal();
    (mem, recorder)
}

/// What a log holds.
type Held = (Option<LogId>, Option<Vec<u8>>, Entries);

fn held(log: &Log) -> Held {
    let vote = log.vote().expect("a vote");
    (log.purged(), vote, log.read(0..u64::MAX).expect("whole entries"))
}

#[test]
fn what_a_restarted_log_found_and_took_outlasts_a_power_cut() {
    for at in 0..=operations() {
        let (mem, recorder) = stopped_at(at);
        let mut log = open_log(&mem).unwrap_or_else(|error| panic!("fault {at}: {error}"));
        let (opened, found) = (recorder.len(), held(&log));
        let next = log.last().map_or(1, |id| id.index + 1);
        log.append(&[entry(next)]).expect("the next one");
        log.sync().expect("synced");
        let taken = recorder.len();
        for image in recorder.images(2 * EACH_DAMAGE, at).filter(|image| image.at >= opened) {
            let context = format!("fault {at}, operation {}, {:?}", image.at, image.damage);
            let log = open_log(&image.fs).unwrap_or_else(|error| panic!("{context}: {error}"));
            let (purged, vote, mut entries) = held(&log);
            assert_eq!((purged, vote), (found.0, found.1.clone()), "{context}");
            if image.at >= taken {
                assert_eq!(entries.last(), Some(&entry(next)), "{context}");
            }
            entries.retain(|(id, _)| id.index < next);
            assert!(entries == found.2, "{context}");
        }
    }
}

/// Until it is open, too: nothing goes that only what is not durable yet allows to go.
#[test]
fn a_power_cut_while_a_log_is_opened_again_costs_nothing() {
    let mut images = 0;
    for at in 0..=operations() {
        let (mem, recorder) = stopped_at(at);
        let begun = recorder.len();
        drop(open_log(&mem).unwrap_or_else(|error| panic!("fault {at}: {error}")));
        for image in recorder.images(60, at).filter(|image| image.at >= begun) {
            let context = format!("fault {at}, operation {}, {:?}", image.at, image.damage);
            open_log(&image.fs).unwrap_or_else(|error| panic!("{context}: {error}"));
            images += 1;
        }
    }
    assert!(images > 1000, "{images} images");
}
