//! The HTTP interface: routes, wire types, and the native JSON API under `/api/v1`.
//!
//! HTTP only: no listener, no TLS. Whoever accepts connections puts an `Arc<Caller>` into the
//! extensions of each request; a request without one is a stranger's. Bodies are bounded before they
//! are parsed, and whatever does not parse is recorded in the audit log like any other refusal.

mod error;
mod extract;
mod native;
mod routes;
pub mod wire;

pub use axum::Router;
pub use routes::router;
