//! Whole flows of a node over a file system that can crash: init, `server --dev`, restore.

// A helper that panics fails its test, which is what it is for.
#![allow(clippy::unwrap_used)]

mod crash_dev;
mod crash_init;
mod crash_restore;
mod faults;
mod scene;
