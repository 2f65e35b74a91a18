//! The service over a real cluster of one in a temporary directory.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod access;
mod audited;
mod backups;
mod disks;
mod drills;
mod gaps;
mod jobs;
mod keys;
mod strangers;
mod vault;
