//! The binary as people run it: exit codes, and the way from nothing through a disaster and back.

mod access;
mod flow;
mod refusals;
mod run;
