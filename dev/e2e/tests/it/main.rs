//! What a newcomer and an operator do, with the real binary and stock tools.

// A helper that panics fails its test, which is what it is for.
#![allow(clippy::unwrap_used)]

mod audit;
mod by_hand;
mod clock;
mod full_disk;
mod gpg;
mod http2;
mod idle;
mod killed;
mod memory;
mod newcomer;
mod process;
mod recovery;
