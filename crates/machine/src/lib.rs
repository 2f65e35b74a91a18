//! The replicated state machine: commands in, rows and a digest out. Pure.
//!
//! No clock, no randomness, no threads, no files: every node that applies the same commands to the
//! same rows reaches the same rows, the same [`Head`] and the same [`Digest`]. Domain rules (may this
//! key be deleted?) run in the proposer; what comes through the log is a transaction of expectations
//! and row writes, so a rule can change in a rolling upgrade without nodes diverging.
//!
//! Invariants:
//! - A command that does not end in [`Outcome::Done`] changes nothing and uses no revision.
//! - State time never goes back: a transaction is stored at `max(head.at, txn.at)`.
//! - `head.tables` always equals what [`Digester`] computes from the rows.
//!
//! The formats are in `formats/commands.md`.

mod apply;
mod command;
mod digest;
mod head;
mod model;
pub mod rowcodec;
mod view;

pub use apply::{Batch, Changes, apply};
pub use command::{Command, DecodeError, EncodeError, LogId, Outcome, Reason, Txn};
pub use digest::{Digest, Digester, LtHash};
pub use head::{Head, HeadError, TableHead};
pub use model::Model;
pub use view::{ReadError, RowSink, SinkError, View, ViewExt};
