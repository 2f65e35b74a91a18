//! The ledger: an append-only chain of what was proved about archives, and of who may recover them.
//!
//! Each entry names the SHA-256 of the one before, so a head (size and hash) stands for all of them.
//! An archive carries the entries up to its revision, and its signed JSON carries the head, so every
//! archive's signature vouches for the whole history before it. Format: `formats/ledger.md`.
//!
//! Pure: times and ids arrive in arguments.

mod chain;
mod entry;
#[cfg(test)]
mod tests;

pub use chain::{Broken, Head, append, verify};
pub use entry::{DrillMode, Entry, EntryError, EntryKind};
