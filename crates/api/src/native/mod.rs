//! The native JSON API: one handler per route. A handler parses, calls one use case, and converts.

pub(crate) mod access;
pub(crate) mod archives;
pub(crate) mod crypto;
pub(crate) mod custodians;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod status;
