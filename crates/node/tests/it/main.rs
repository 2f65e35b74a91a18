//! Whole flows of a node over a file system that can crash: init, `server --dev`, restore.

mod crash_dev;
mod crash_init;
mod crash_restore;
mod scene;
