//! Random bytes, and nonces drawn in blocks.
//!
//! The generator, not the cipher, is the cost of a small seal: one call for 256 nonces is some
//! seven times cheaper than 256 calls. But a stock of nonces is state that a snapshot of a virtual
//! machine would copy, so every nonce is the random bytes XOR (wall clock ‖ counter), and stock that
//! is older than a second (or from the future, after the clock was set back) is thrown away. XOR
//! with anything leaves uniform bytes uniform: in one machine nothing is lost by it.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroize;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// A nonce of XAES-256-GCM.
pub type Nonce = [u8; NONCE_BYTES];

/// How many nonces one call of the generator yields.
const BLOCK: usize = 256;
/// How long they may be used, in nanoseconds.
const AGE_MAX: u64 = 1_000_000_000;

/// Fills `out` from the generator of AWS-LC, which is seeded by the system.
///
/// # Panics
/// When the system has no randomness: there is nothing safe to go on with.
pub fn random(out: &mut [u8]) {
    aws_lc_rs::rand::fill(out).expect("the system has randomness");
}

/// `N` random bytes, for what is not secret: ids, nonces.
#[must_use]
pub fn random_array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

/// A nonce from this thread's stock.
#[must_use]
pub fn nonce() -> Nonce {
    thread_local! {
        static STOCK: RefCell<NonceSource> = const { RefCell::new(NonceSource::new()) };
    }
    // A clock before 1970 reads as 0: the stock is then as random, and never too old.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| {
        // 584 years in nanoseconds fit; the low bits are what matters afterwards.
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    });
    STOCK.with_borrow_mut(|stock| stock.draw(now, random))
}

/// A stock of nonces. Clock and generator are arguments, so that tests decide both.
pub struct NonceSource {
    stock: [Nonce; BLOCK],
    used: usize,
    drawn_at: u64,
    counter: u64,
}

impl NonceSource {
    /// An empty stock.
    #[must_use]
    pub const fn new() -> Self {
        Self { stock: [[0; NONCE_BYTES]; BLOCK], used: BLOCK, drawn_at: 0, counter: 0 }
    }

    /// The next nonce. `now` is in nanoseconds of the wall clock; `fill` is called when the stock is
    /// used up or too old.
    pub fn draw(&mut self, now: u64, fill: impl FnOnce(&mut [u8])) -> Nonce {
        let fresh = now.checked_sub(self.drawn_at).is_some_and(|age| age <= AGE_MAX);
        if self.used == BLOCK || !fresh {
            fill(self.stock.as_flattened_mut());
            self.used = 0;
            self.drawn_at = now;
        }
        let mut nonce = std::mem::take(&mut self.stock[self.used]);
        self.used += 1;
        self.counter = self.counter.wrapping_add(1);
        // Into both halves of XAES's nonce: the prefix that derives the key takes the clock.
        mix(&mut nonce[4..12], now);
        mix(&mut nonce[16..], self.counter);
        nonce
    }
}

impl Default for NonceSource {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for NonceSource {
    fn drop(&mut self) {
        self.stock.as_flattened_mut().zeroize();
    }
}

fn mix(bytes: &mut [u8], value: u64) {
    bytes.iter_mut().zip(value.to_be_bytes()).for_each(|(byte, mixed)| *byte ^= mixed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A generator that counts how often it was asked, and repeats itself.
    fn worst(calls: &mut u32) -> impl FnOnce(&mut [u8]) + '_ {
        |out| {
            *calls += 1;
            out.fill(7);
        }
    }

    #[test]
    fn a_block_is_one_call() {
        let (mut source, mut calls) = (NonceSource::new(), 0);
        for _ in 0..BLOCK {
            let _ = source.draw(5, worst(&mut calls));
        }
        assert_eq!(calls, 1);
        let _ = source.draw(5, worst(&mut calls));
        assert_eq!(calls, 2);
    }

    #[test]
    fn old_stock_is_dropped() {
        let (mut source, mut calls) = (NonceSource::new(), 0);
        let mut calls_after = |now| {
            let _ = source.draw(now, worst(&mut calls));
            calls
        };
        let start = 10 * AGE_MAX;
        assert_eq!(calls_after(start), 1);
        assert_eq!(calls_after(start + AGE_MAX), 1);
        assert_eq!(calls_after(start + AGE_MAX + 1), 2);
        assert_eq!(calls_after(start), 3, "the clock went back");
    }

    #[test]
    fn a_clone_of_the_machine_draws_others() {
        let (mut first, mut second) = (NonceSource::new(), NonceSource::new());
        let nonce = first.draw(1_000, worst(&mut 0));
        assert_ne!(nonce, second.draw(1_001, worst(&mut 0)), "the clock differs");
        assert_ne!(first.draw(1_000, worst(&mut 0)), nonce, "the counter differs");
    }

    #[test]
    fn threads_share_nothing() {
        let draw = || (0..1_000).map(|_| nonce()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        let all: Vec<Nonce> =
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
