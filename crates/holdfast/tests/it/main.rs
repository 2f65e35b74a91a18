//! The binary as people run it: exit codes, and the way from nothing through a disaster and back.

// A helper that panics fails its test, which is what it is for.
#![allow(clippy::unwrap_used)]

mod access;
mod contract;
mod flow;
mod refusals;
mod run;
