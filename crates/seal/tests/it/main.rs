//! Against stock gpg 2.2, and against every flipped bit.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod cards;
mod certificates;
mod frame;
mod gpg;
mod identities;
mod signatures;
mod streams;

use holdfast_types::Millis;

/// Now, as far as these tests go: gpg dates its keys by the machine's clock.
fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Millis(u64::try_from(since.as_millis()).unwrap())
}

/// `days` after `at`.
fn after(at: Millis, days: u64) -> Millis {
    Millis(at.0 + days * 24 * 60 * 60 * 1000)
}
