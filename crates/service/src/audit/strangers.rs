//! How many lines those may have whom the vault does not know, and the count of their calls beyond it.
//!
//! Anybody may connect: without a rate they would fill the disk. Both are atomic numbers, since nobody who
//! is known shall wait for a lock that strangers hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lines in the long run: one per this time, 10 a second. With less than 1 200 bytes each that is about
/// 1 GiB a day.
const LINE_EVERY: Duration = Duration::from_millis(100);
/// Lines at once, after as long a silence as they take.
const BURST_LINES: u32 = 100;

/// A token bucket and what it refused.
#[derive(Default)]
pub(super) struct Strangers {
    /// When the bucket is full again, in nanoseconds. The level that is missing is the time until then.
    full_at: AtomicU64,
    counted: AtomicU64,
}

impl Strangers {
    /// Whether there may be a line now. `now`: since any fixed moment, monotone; two threads may come
    /// in the other order.
    pub(super) fn may_have_a_line(&self, now: Duration) -> bool {
        let (now, line) = (nanos(now), nanos(LINE_EVERY));
        let latest = now.saturating_add(nanos(LINE_EVERY * BURST_LINES));
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let after = full_at.max(now).saturating_add(line);
            (after <= latest).then_some(after)
        });
        taken.is_ok()
    }

    /// Counts a call that has no line.
    pub(super) fn count(&self) {
        self.counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that were counted since the log was opened.
    pub(super) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

fn nanos(time: Duration) -> u64 {
    // 584 years.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At each time (in milliseconds) so many calls come, and so many of them may have a line.
    fn check(what: &str, steps: &[(u64, usize, usize)]) {
        let bucket = Strangers::default();
        for (at, calls, lines) in steps {
            let now = Duration::from_millis(*at);
            let had = (0..*calls).filter(|_| bucket.may_have_a_line(now)).count();
            assert_eq!(had, *lines, "{what}: at {at} ms");
        }
    }

    #[test]
    fn strangers_have_a_burst_and_then_a_rate() {
        check("few", &[(0, 1, 1), (1, 1, 1), (2, 98, 98)]);
        check("a burst and no more", &[(0, 1000, 100), (0, 1, 0), (99, 9, 0)]);
        check("then one per 100 ms", &[(7, 1000, 100), (106, 5, 0), (107, 5, 1), (207, 5, 1)]);
        check("ten in a second", &[(0, 1000, 100), (1000, 1000, 10), (2000, 1000, 10)]);
        check("a pause fills it", &[(0, 1000, 100), (5000, 1000, 50), (20_000, 1000, 100)]);
        check("no pause overfills it", &[(0, 1, 1), (86_400_000, 1000, 100)]);
        check("it begins full at any time", &[(86_400_000, 1000, 100)]);
        check("a time before the last", &[(1000, 1000, 100), (990, 9, 0), (1100, 9, 1)]);
    }
}
