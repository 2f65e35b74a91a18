//! Crash images of the log: append, sync, truncate, purge, reset, vote.

use std::path::Path;

use holdfast_fs::{Mem, crash_images_wanted};
use holdfast_machine::LogId;
use holdfast_store::log::Log;

use crate::support::{EACH_DAMAGE, Random};

const DIR: &str = "/log";
/// Small, so that segments roll, and vanish in purges and truncations.
const SEGMENT_BYTES: u64 = 2048;

type Entries = Vec<(LogId, Vec<u8>)>;

/// What the log held at some moment.
#[derive(Clone, PartialEq, Debug, Default)]
struct Held {
    purged: Option<LogId>,
    entries: Entries,
    /// How many of the entries are durable.
    durable: usize,
    vote: Option<Vec<u8>>,
}

/// One call: the operations recorded before and after it, and what the log held after it.
struct Step {
    before: usize,
    after: usize,
    held: Held,
}

#[test]
fn log_survives_every_crash_image() {
    let wanted = crash_images_wanted(40);
    let mut count = 0;
    for seed in 0.. {
        let (recorder, steps) = run(seed);
        let share = wanted.div_ceil(4);
        for image in recorder.images(recorder.per_point(share, EACH_DAMAGE), seed) {
            check(&image.fs, &steps, image.at, &format!("seed {seed}, {:?}", image.damage));
            count += 1;
        }
        if count >= wanted && seed >= 3 {
            break;
        }
    }
    println!("{count} crash images of the log");
    assert!(count >= wanted, "{count} images, wanted {wanted}");
}

fn run(seed: u64) -> (holdfast_fs::Recorder, Vec<Step>) {
    let mem = Mem::new();
    let recorder = mem.recorder();
    let mut steps = vec![Step { before: 0, after: 0, held: Held::default() }];
    let (mut log, _) = Log::open_with(mem.shared(), Path::new(DIR), SEGMENT_BYTES).expect("empty");
    let mut random = Random(seed);
    let mut held = Held::default();
    let mut term = 1;
    for n in 0..70_u64 {
        let before = recorder.len();
        act(&mut log, &mut random, &mut held, &mut term, n);
        steps.push(Step { before, after: recorder.len(), held: held.clone() });
    }
    (recorder, steps)
}

fn act(log: &mut Log, random: &mut Random, held: &mut Held, term: &mut u64, n: u64) {
    let purged = held.purged.map_or(0, |id| id.index);
    let last = held.entries.last().map_or(purged, |(id, _)| id.index);
    match random.below(16) {
        0..=6 => {
            let entries: Entries = (1..=1 + random.below(4))
                .map(|i| {
                    let body = vec![n as u8; random.below(300) as usize];
                    (LogId { term: *term, node: 7, index: last + i }, body)
                })
                .collect();
            log.append(&entries).expect("append");
            held.entries.extend(entries);
            // A full segment is synced when the next begins; nobody may count on it.
        }
        7..=10 => {
            log.sync().expect("sync");
            held.durable = held.entries.len();
        }
        11 | 12 if !held.entries.is_empty() => {
            let keep = random.below(held.entries.len() as u64 + 1) as usize;
            let index = purged + keep as u64;
            log.truncate_after((index > 0).then_some(index)).expect("truncate");
            held.entries.truncate(keep);
            held.durable = held.durable.min(keep);
            *term += 1;
        }
        13 if held.durable > 0 => {
            let n = 1 + random.below(held.durable as u64) as usize;
            log.purge_to(held.entries[n - 1].0).expect("purge");
            held.purged = Some(held.entries[n - 1].0);
            held.entries.drain(..n);
            held.durable -= n;
        }
        14 if random.below(3) == 0 => {
            *term += 1;
            let base = LogId { term: *term, node: 7, index: last + random.below(5) };
            log.reset(base).expect("reset");
            *held = Held { purged: Some(base), vote: held.vote.take(), ..Held::default() };
        }
        _ => {
            let vote = n.to_le_bytes().to_vec();
            log.save_vote(&vote).expect("vote");
            held.vote = Some(vote);
        }
    }
}

/// Opens the image and looks whether it is what one of the possible moments left.
fn check(fs: &Mem, steps: &[Step], at: usize, what: &str) {
    let (log, opened) = Log::open_with(fs.shared(), Path::new(DIR), SEGMENT_BYTES)
        .unwrap_or_else(|error| panic!("{what}, operation {at}: {error}"));
    let entries = log.read(0..u64::MAX).expect("whole entries");
    let vote = log.vote().expect("a vote");
    // The last call that had returned, and the one under way.
    let done = steps.partition_point(|step| step.after <= at) - 1;
    let now = &steps[done].held;
    let next = steps.get(done + 1).filter(|step| step.before <= at).map_or(now, |step| &step.held);
    let context = || format!("{what}, operation {at}, step {done}: {opened:?}");
    assert!(vote == now.vote || vote == next.vote, "vote {}", context());
    let purged = log.purged();
    assert!(purged == now.purged || purged == next.purged, "purged {}", context());
    // Purged ones apart, a prefix of what was appended, and at least what both moments call durable.
    let from = purged.map_or(0, |id| id.index);
    let live = |held: &Held| -> Entries {
        held.entries.iter().filter(|(id, _)| id.index > from).cloned().collect()
    };
    let durable =
        |held: &Held| held.entries[..held.durable].iter().filter(|(id, _)| id.index > from).count();
    let (a, b) = (live(now), live(next));
    let is_reset = next.purged != now.purged && purged == next.purged && next.entries.is_empty();
    assert!(
        a.starts_with(&entries) || b.starts_with(&entries),
        "entries {:?} are not of {:?} or {:?}: {}",
        ids(&entries),
        ids(&a),
        ids(&b),
        context()
    );
    if !is_reset {
        let least = durable(now).min(durable(next));
        assert!(entries.len() >= least, "{} of {least} durable: {}", entries.len(), context());
    }
    assert_eq!(log.last(), entries.last().map(|(id, _)| *id).or(purged));
    assert_eq!(log.last(), opened.last);
    goes_on(log, fs);
}

/// After the crash the log takes entries again, and keeps them.
fn goes_on(mut log: Log, fs: &Mem) {
    let next = log.last().map_or(1, |id| id.index + 1);
    let entry = (LogId { term: 99, node: 7, index: next }, b"after".to_vec());
    log.append(std::slice::from_ref(&entry)).expect("append");
    log.sync().expect("sync");
    drop(log);
    let (log, opened) = Log::open_with(fs.shared(), Path::new(DIR), SEGMENT_BYTES).expect("opens");
    assert_eq!(opened.torn, None);
    assert_eq!(log.read(next..next + 1).expect("whole"), vec![entry]);
}

fn ids(entries: &Entries) -> Vec<(u64, u64)> {
    entries.iter().map(|(id, _)| (id.term, id.index)).collect()
}
