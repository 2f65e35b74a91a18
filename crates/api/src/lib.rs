//! The HTTP interface: routes, wire types, and the native JSON API under `/api/v1`.
//!
//! HTTP only: no listener, no TLS. Whoever accepts connections gives each a [`Session`] of its caller.
//! Bodies are bounded in size and time before they are parsed. Whatever fits no use case (a path, a
//! query, a method, a body) is answered with a failure in JSON and recorded in the audit log like any
//! other refusal; what is no HTTP at all never comes here, and the listener ends it.
//!
//! Without the feature `server` only [`wire`] is left, which is all that a client needs.

#[cfg(feature = "server")]
mod body;
#[cfg(feature = "server")]
mod error;
#[cfg(feature = "server")]
mod escapes;
#[cfg(feature = "server")]
mod extract;
#[cfg(feature = "server")]
mod misfit;
#[cfg(feature = "server")]
mod native;
#[cfg(feature = "server")]
mod reply;
#[cfg(feature = "server")]
mod room;
#[cfg(feature = "server")]
mod routes;
#[cfg(feature = "server")]
mod session;
mod wiped;
pub mod wire;

#[cfg(feature = "server")]
pub use session::{Api, Session};
