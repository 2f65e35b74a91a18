//! Long work that gives way to requests.
//!
//! An archive is written and read back by one thread that never waits. A request's thread that wakes on
//! its core would wait for the rest of its time slice, some 3 ms on Linux, which is twenty times what
//! the request takes. So the rows' loops offer the core every few rows. It costs less than 1 % of the
//! work, nothing where nobody waits, and no starvation where everybody does, as a lower priority would.

/// Rows between two offers: about a quarter of a millisecond.
const ROWS: u32 = 32;

/// Counts rows.
#[derive(Default)]
pub(crate) struct GiveWay(u32);

impl GiveWay {
    /// To be called once a row.
    pub(crate) fn row(&mut self) {
        self.0 += 1;
        if self.0 >= ROWS {
            self.0 = 0;
            std::thread::yield_now();
        }
    }
}
