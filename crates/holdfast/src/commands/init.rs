//! `holdfast init`

use std::path::PathBuf;

use clap::Args;
use holdfast_node::InitOptions;
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;

use super::read_input;
use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = "Example: holdfast init --data /srv/vault --custodian john.asc")]
#[command(group = clap::ArgGroup::new("who").required(true).multiple(false))]
pub(crate) struct Init {
    /// The data directory: missing or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A custodian's OpenPGP certificate; give it once for each
    #[arg(long, value_name = "FILE", group = "who", num_args = 1, action = clap::ArgAction::Append)]
    custodian: Vec<PathBuf>,
    /// No custodian: nobody could open an archive, and status says so
    #[arg(long, group = "who")]
    no_custodian: bool,
    /// Where the soft key goes; never under the data
    #[arg(long, value_name = "FILE")]
    soft_key: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Init {
    pub(crate) fn run(&self, global: &Global) -> Done {
        let mut custodians = Vec::new();
        for file in &self.custodian {
            let bytes = read_input(Some(file), CERTIFICATE_BYTES_MAX, "give one certificate")?;
            custodians.push((file.display().to_string(), bytes));
        }
        let made = holdfast_node::init(&InitOptions {
            data: self.data.clone(),
            custodians,
            soft_key: self.soft_key.clone(),
            context: global.context.clone(),
            listen: self.listen.clone(),
        })?;
        let (context, soft_key) = (made.context.display(), made.soft_key.display());
        if global.json {
            #[derive(serde::Serialize)]
            struct Json {
                vault_id: String,
                signer: String,
                soft_key: String,
                context: String,
            }
            return output::json(&Json {
                vault_id: made.vault_id.to_string(),
                signer: made.signer.clone(),
                soft_key: soft_key.to_string(),
                context: context.to_string(),
            });
        }
        if global.quiet {
            return output::line(made.vault_id);
        }
        output::line(format!(
            "vault     {}\nsigner    {}\nsoft key  {soft_key}\ncontext   {context}",
            made.vault_id, made.signer
        ))?;
        first(&made);
        if self.no_custodian {
            output::note(
                "CRITICAL: no custodian, so no archive. next: holdfast custodian add FILE",
            );
        }
        output::note(format!("next: holdfast server --data {}", self.data.display()));
        Ok(())
    }
}

/// Says what became of the first archive.
pub(crate) fn first(made: &holdfast_node::Made) {
    if let Some(first) = &made.first {
        output::note(format!(
            "first archive in {} ms: {}",
            first.archive_ms,
            first.archive.display()
        ));
    }
    if let Some(ms) = made.first.as_ref().and_then(|first| first.drill_ms) {
        output::note(format!("first full drill in {ms} ms: every key came back"));
    }
    if let Some(why) = &made.first_failed {
        output::note(format!("CRITICAL: the first archive or drill failed: {why}"));
        output::note("next: holdfast backup");
    }
}
