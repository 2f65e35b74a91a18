//! The HTTP interface: routes, wire types, and the native JSON API under `/api/v1`.
//!
//! HTTP only: no listener, no TLS. Whoever accepts connections puts an `Arc<Caller>` into the
//! extensions of each request; a request without one is a stranger's. Bodies are bounded before they
//! are parsed, and whatever does not parse is recorded in the audit log like any other refusal.
//!
//! Without the feature `server` only [`wire`] is left, which is all that a client needs.

#[cfg(feature = "server")]
mod error;
#[cfg(feature = "server")]
mod extract;
#[cfg(feature = "server")]
mod native;
#[cfg(feature = "server")]
mod routes;
pub mod wire;

#[cfg(feature = "server")]
pub use axum::Router;
#[cfg(feature = "server")]
pub use routes::router;
