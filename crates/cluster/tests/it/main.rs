//! A cluster of one, over files.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod agreement;
mod node;
mod restart;
