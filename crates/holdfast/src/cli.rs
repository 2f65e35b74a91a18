//! The command line: every command, its flags, its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    archive, backup, completions, custodian, drill, enclave, identity, init, key, policy, restore,
    server, sheet, slot, status, verify,
};

/// A key manager whose keys can always be got back.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "Examples:
  holdfast server --dev --data demo          a vault for trying out
  holdfast key create orders
  echo hello | holdfast key encrypt orders > note.hf
  holdfast key decrypt < note.hf
  holdfast backup --output archives

Exit codes: 0 done, 1 other, 2 usage, 10 not found, 11 refused, 12 exists or not empty, 13 bad input,
14 not authentic, 20 unreachable, 21 damaged, 22 unknown signer, 23 this identity does not open it,
24 newer format, 25 another vault, 30 no space, 31 in use, 32 no vault here, 33 soft key, 70 our bug,
130 interrupted.";

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Client context file
    #[arg(long, global = true, env = "HOLDFAST_CONTEXT", value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print one bare line
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// In which enclave.
#[derive(Debug, Clone, Args)]
pub(crate) struct InEnclave {
    /// Enclave
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    pub(crate) enclave: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a vault
    Init(init::Init),
    /// Serve a vault
    Server(server::Server),
    /// Keys: make, use, rotate, delete
    #[command(subcommand)]
    Key(key::Key),
    /// Enclaves: isolated name spaces
    #[command(subcommand)]
    Enclave(enclave::Enclave),
    /// Policies: what users may do
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Identities: who may call
    #[command(subcommand)]
    Identity(identity::Identity),
    /// Custodians: who can open archives
    #[command(subcommand)]
    Custodian(custodian::Custodian),
    /// Seal slots: what opens the root key
    #[command(subcommand)]
    Slot(slot::Slot),
    /// Archives that were made
    #[command(subcommand)]
    Archive(archive::Archive),
    /// Make an archive of everything
    Backup(backup::Backup),
    /// Check an archive; without a secret: "signed and whole, not opened"
    Verify(verify::Verify),
    /// Restore an archive in scratch, timed, and record it
    Drill(drill::Drill),
    /// Make a vault again from an archive
    Restore(restore::Restore),
    /// Print the page a custodian keeps
    Sheet(sheet::Sheet),
    /// Show the vault and what is weak
    Status(status::Status),
    /// Print completions for a shell
    Completions(completions::Completions),
}
