//! The service over a real cluster of one in a temporary directory.

mod access;
mod backups;
mod keys;
mod vault;
