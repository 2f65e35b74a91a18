//! The machine from outside: properties, rules and golden bytes.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod build;
mod golden;
mod properties;
mod rules;
