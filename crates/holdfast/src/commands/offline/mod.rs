//! What `verify`, `drill` and `restore` share: which archive, whom to trust, who opens.

mod context;
mod secret;
mod signature;

pub(crate) use context::{Known, context, context_if_any};
pub(crate) use secret::Secret;
pub(crate) use signature::{Checked, Signature, now};
