//! The stores' promises: one conformance suite for both, and crash images of everything that is
//! written.

mod conformance;
mod crash_data;
mod crash_log;
mod crash_state;
mod damage;
mod failing_reads;
mod golden;
mod large;
mod restarted;
mod support;
