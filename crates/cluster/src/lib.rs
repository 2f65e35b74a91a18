//! Agreement: one log of commands, replicated by Raft, applied to a store.
//!
//! [`Cluster`] is all that others see. It owns every `openraft` type, runs Raft on threads of its own,
//! and today forms a cluster of one: a [`seed`](seed_log) makes a fresh node the only voter, as if
//! it had led since entry 1, so that a node that joins later starts from a snapshot.
//!
//! What holds:
//! - [`Cluster::propose`] returns after the entry is on the disks of a majority (fsync), is applied
//!   and can be seen in [`Cluster::view`].
//! - Subscribers get every accepted transaction once, in order of revision, after its commit and
//!   before its answer.
//! - The log is purged only up to a durable checkpoint of the store.
//! - A node whose log or store fails stops; it never guesses.

mod apply;
mod clock;
mod cluster;
mod codec;
#[cfg(test)]
mod conformance;
mod error;
mod logstore;
mod network;
mod room;
mod runtime;
mod seed;
mod types;

pub use apply::Subscriber;
pub use clock::{Clock, ManualClock, SystemClock};
pub use cluster::{Cluster, Config, Status};
pub use error::{ClusterError, ProposeError, ReadIndexError};
pub use room::{Fault, FaultKind, ROOM_BYTES_MIN, Room};
pub use seed::{seed_id, seed_log, seed_membership};
