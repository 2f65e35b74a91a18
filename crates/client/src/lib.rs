//! The native client: context file, API key, one connection, typed calls.
//!
//! Invariants: the server is trusted only through the vault's own CA in the context; an API key never
//! leaves the client except as the certificate made from it; a refused connection is tried again for
//! ten seconds (the server may be starting), any other failure at once reported.

mod calls;
mod connection;
mod context;
mod error;
mod key;
mod tar;

pub use calls::{Client, segment};
pub use context::{Context, default_path, others_may_read};
pub use error::ClientError;
pub use key::{ApiKey, ApiKeyError, NoCertificate, identity_of};
pub use tar::{TarStream, failed_backup};
