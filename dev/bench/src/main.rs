//! `holdfast-bench`: what Holdfast costs, measured on the release binary, beside the least it could
//! cost on the same machine in the same run. `cargo xtask bench` builds both and runs this.
//!
//! Nothing here is part of the product. Servers are processes of their own, reached over loopback with
//! mutual TLS; figures go to standard output as Markdown, progress to standard error.

mod build;
mod creates;
mod crypto;
mod echo;
mod histogram;
mod load;
mod process;
mod report;
mod restore;
mod scale;
mod vault;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::report::Table;

// As the server: the echo must not be slower, or faster, for another allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Holdfast on this machine and prints Markdown tables.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    what: Option<What>,
}

/// What every measurement heeds.
#[derive(clap::Args)]
pub struct Options {
    /// Shorter, for a look: the figures are noisier
    #[arg(long, global = true)]
    quick: bool,
    /// Put vaults and archives here, on the disk that is to be measured
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Options {
    /// The server to measure: the one built beside this program.
    fn holdfast(&self) -> Result<PathBuf> {
        let binary = std::env::current_exe()?.with_file_name("holdfast");
        ensure!(binary.exists(), "{} is not built: run cargo xtask bench", binary.display());
        Ok(binary)
    }

    fn place(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// A directory that goes away.
    fn scratch(&self) -> Result<tempfile::TempDir> {
        let place = self.place();
        tempfile::Builder::new()
            .prefix("holdfast-bench-")
            .tempdir_in(&place)
            .with_context(|| format!("failed to make a directory in {}", place.display()))
    }
}

#[derive(Subcommand)]
enum What {
    /// Encrypt and decrypt, beside an echo of the same stack
    Crypto {
        /// Only rows whose label holds this, such as "encrypt 32 B HTTP/1.1 16x1"
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Durable creates, beside append + fdatasync
    Creates,
    /// Vaults of many keys: memory, starts, backups under load, restores
    Scale {
        /// How many keys; 10000,100000,1000000 where nothing is said, with --quick without the last
        #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
        keys: Vec<u64>,
    },
    /// A cold release build; not part of a run without a name
    Build,
    /// Serves the echo until standard input ends
    #[command(hide = true)]
    Echo,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let options = &cli.options;
    let tables = match &cli.what {
        Some(What::Echo) => return echo::serve(),
        Some(What::Crypto { only }) => crypto::run(options, only)?,
        Some(What::Creates) => creates::run(options)?,
        Some(What::Build) => build::run(options)?,
        Some(What::Scale { keys }) if !keys.is_empty() => scale::run(options, keys)?,
        Some(What::Scale { .. }) => scale::run(options, sizes(options))?,
        None => everything(options)?,
    };
    println!("{}", report::machine(&options.place()));
    for table in &tables {
        println!("{}", Table::markdown(table));
    }
    Ok(())
}

fn everything(options: &Options) -> Result<Vec<Table>> {
    let mut tables = crypto::run(options, "")?;
    tables.extend(creates::run(options)?);
    tables.extend(scale::run(options, sizes(options))?);
    Ok(tables)
}

/// The sizes of vaults where none are said.
fn sizes(options: &Options) -> &'static [u64] {
    let sizes: &[u64] = &[10_000, 100_000, 1_000_000];
    if options.quick { &sizes[..2] } else { sizes }
}

/// The checkout that this was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Says how far it is.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
