//! A node: making a vault, opening it, and serving it.
//!
//! - [`init`] makes a vault in an empty directory; [`serve`] starts one and never makes one; [`dev`] does
//!   both, for trying out.
//! - The soft key is a file outside the data; TLS certificates are made at each start by the vault's
//!   own CA, so that a restored vault is trusted by the same clients.
//! - A client certificate only proves a key: who that is, is decided per request.

mod address;
mod beside;
mod carry;
mod dev;
mod drill;
mod error;
mod first;
mod harden;
mod init;
mod interrupt;
mod listen;
mod open;
mod restore;
mod serve;
mod softkey;
mod tls;
mod writers;

pub use beside::{path_text, write_context};
pub use carry::{Carrying, DeletedKey, Foretold, foresee};
pub use dev::{DevOptions, dev, make_dev};
pub use drill::{Tried, drill, verify};
pub use error::NodeError;
pub use first::First;
pub use harden::no_core_dumps;
pub use init::{InitOptions, Made, init, init_in};
pub use interrupt::{interrupted, watch_interruptions};
pub use restore::{RestoreOptions, Restored, must_be_free, next_epoch, restore, restore_in};
pub use serve::{Event, ServeOptions, Serving, serve};
pub use softkey::default_soft_key;
pub use tls::listener_config;

/// Where a node listens when nothing is said.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7373";
