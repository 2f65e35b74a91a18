//! A cluster of one, over files.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod agreement;
mod faults;
mod node;
mod restart;
mod unreliable;
