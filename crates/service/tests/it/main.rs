//! The service over a real cluster of one in a temporary directory.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod access;
mod backups;
mod disks;
mod drills;
mod keys;
mod strangers;
mod vault;
