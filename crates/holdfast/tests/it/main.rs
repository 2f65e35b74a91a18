//! The binary as people run it: exit codes, and the way from nothing through a disaster and back.

// A helper that panics fails its test, which is what it is for.
#![allow(clippy::unwrap_used)]

mod access;
mod archives;
mod backups;
mod callers;
mod ciphertexts;
mod contract;
mod crowds;
mod custodians;
mod dumps;
mod flow;
mod golden;
mod gpg;
mod hostile;
mod http;
mod interrupt;
mod memory;
mod names;
mod offline;
mod openers;
mod raw;
mod refusals;
mod restores;
mod revocations;
mod run;
mod strangers;
mod terminal;
mod unsigned;
mod vault;
