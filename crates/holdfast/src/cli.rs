//! The command line: every command, its flags, its help.

use std::path::PathBuf;

use clap::{Arg, Args, Parser, Subcommand, value_parser};

use crate::commands::{
    archive, audit, backup, completions, custodian, drill, enclave, identity, init, key, policy,
    restore, server, sheet, slot, status, verify,
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

const EXAMPLES: &str = "\
Examples:
  holdfast server --dev --data demo                    a vault for trying out
  holdfast key create orders
  echo hello | holdfast key encrypt orders > note.hf
  holdfast key decrypt < note.hf
  holdfast backup --output archives
  holdfast status                                      what is weak, and what mends it

Environment:
  HOLDFAST_CONTEXT   the context file, where --context is not given
  HOLDFAST_SERVER    https://host:port, instead of the context's
  HOLDFAST_API_KEY   k1:..., instead of the context's
  HOLDFAST_CA        a PEM file with the vault's CA, instead of the context's
  HOLDFAST_LOG       what the program logs to standard error, as in: debug

Exit codes:
   0  done                10  not found            20  unreachable
   1  other               11  refused              21  damaged
   2  usage               12  exists, not empty    22  unknown signer
  70  our bug             13  bad input            23  this identity does not open it
 130  interrupted         14  not authentic        24  newer format
                                                   25  another vault
  30  no space            31  in use               32  no vault here      33  soft key";

const FOR_EVERY_COMMAND: &str = "For every command";

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = FOR_EVERY_COMMAND)]
pub(crate) struct Global {
    /// Client context file; else HOLDFAST_CONTEXT, else holdfast/context.toml in the XDG configuration
    /// directory
    #[arg(long, global = true, value_name = "FILE", display_order = 900)]
    context: Option<PathBuf>,
    /// Print JSON: one document; on failure, and for notes, one on standard error
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,
    /// Print bare lines: one for each thing that was asked for
    #[arg(long, short, global = true, display_order = 902)]
    pub(crate) quiet: bool,
}

impl Global {
    /// The context file that was named: by the flag, or else in the environment. An empty variable
    /// counts as none.
    pub(crate) fn context(&self) -> Option<PathBuf> {
        let set = std::env::var_os("HOLDFAST_CONTEXT").filter(|value| !value.is_empty());
        self.context.clone().or_else(|| set.map(PathBuf::from))
    }

    /// Where a new context file goes, absolute, where that was said.
    pub(crate) fn new_context(&self) -> Option<PathBuf> {
        self.context().map(|path| std::path::absolute(&path).unwrap_or(path))
    }

    /// Whether the flag was given.
    pub(crate) fn is_flagged(&self) -> bool {
        self.context.is_some()
    }

    /// Without the flag: the context of every other command here.
    pub(crate) fn without_flag(&self) -> Self {
        Self { context: None, ..self.clone() }
    }
}

/// `--context` of a command that makes a context: there it is no input.
pub(crate) fn new_context() -> Arg {
    Arg::new("context")
        .long("context")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .display_order(900)
        .help_heading(FOR_EVERY_COMMAND)
        .help(
            "Where the new client context goes, which must not exist; else HOLDFAST_CONTEXT, else \
             holdfast/context.toml in the XDG configuration directory",
        )
}

/// The enclave where none is named.
pub(crate) const ENCLAVE_DEFAULT: &str = "default";

/// In which enclave.
#[derive(Debug, Clone, Args)]
pub(crate) struct InEnclave {
    /// The enclave it belongs to
    #[arg(long, short, default_value = ENCLAVE_DEFAULT, value_name = "NAME")]
    pub(crate) enclave: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
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
    /// Archives that were made, and how far each is proved
    #[command(subcommand)]
    Archive(archive::Archive),
    /// The audit log: acknowledge its gaps
    #[command(subcommand)]
    Audit(audit::Audit),
    Backup(backup::Backup),
    Verify(verify::Verify),
    Drill(drill::Drill),
    Restore(restore::Restore),
    Sheet(sheet::Sheet),
    Status(status::Status),
    Completions(completions::Completions),
}
