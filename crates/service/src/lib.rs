//! One method per use case of a vault. Each begins by authorising and recording ([`Service`]), then
//! acts: cryptography from caches, changes as transactions that a rule in `keys` decided.
//!
//! Rules for callers: parse names and ids first, and report what does not parse with
//! [`Service::reject`], so that it is recorded too. All methods may be called from any thread; the
//! cryptographic ones await only when a record is missing here and the majority is asked for it.

mod action;
pub mod audit;
mod cache;
mod caller;
mod chained;
mod error;
mod model;
mod service;

pub use action::Action;
pub use caller::Caller;
pub use chained::open_chained;
pub use error::Error;
pub use model::*;
pub use service::{BackupStream, Parts, Service};
