//! Long work that gives way to requests.
//!
//! An archive is written and read back by one thread that never waits. A request's thread that wakes on
//! its core may have to wait for the rest of its time slice, some 3 ms on Linux, which is twenty times what
//! the request takes. So the work offers the core every 100 microseconds or so: every few rows, and between the
//! pieces of what is hashed, sealed and opened. It costs less than 1 % of the work, and nothing where nobody waits.

use std::cell::Cell;

/// Rows between two offers.
const ROWS: u32 = 16;
/// Bytes that are hashed between two offers.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

thread_local! {
    static OFFER: Cell<fn()> = const { Cell::new(std::thread::yield_now) };
}

/// From now on this thread's work on archives calls `offer` where it else only yields: every 100 microseconds
/// or so, between two rows or pieces. It may sleep.
pub fn give_way_by(offer: fn()) {
    OFFER.set(offer);
}

/// Offers the core.
pub(crate) fn give_way() {
    OFFER.get()();
}

/// Counts rows.
#[derive(Default)]
pub(crate) struct GiveWay(u32);

impl GiveWay {
    /// To be called once a row.
    pub(crate) fn row(&mut self) {
        self.0 += 1;
        if self.0 >= ROWS {
            self.0 = 0;
            give_way();
        }
    }
}
