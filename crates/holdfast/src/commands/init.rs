//! `holdfast init`

use std::path::PathBuf;

use clap::Args;
use holdfast_node::{InitOptions, Made};
use holdfast_types::Kind;
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;

use super::server::quoted;
use super::{must_be_a_directory, read_input};
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};

/// What to do where the first archive failed.
const AFTERWARDS: &str = "start the server, then holdfast backup --output DIR";

/// Make a vault, once, and its first archive
///
/// Each custodian can restore it alone, and no secret of theirs touches this host: only certificates do.
/// The first archive goes to DIR/archives and is drilled with its own session keys; where that fails the vault
/// stands all the same, and the exit code says why. The administrator's API key goes to the client context,
/// --context FILE, readable by its owner only.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  holdfast init --data /srv/vault --custodian john.asc --custodian mary.asc
  holdfast server --data /srv/vault")]
#[command(arg = crate::cli::new_context())]
#[command(group = clap::ArgGroup::new("who").required(true).multiple(false))]
pub(crate) struct Init {
    /// The data directory: missing or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A custodian's OpenPGP certificate; give it once for each, 16 at most
    #[arg(long, value_name = "FILE", group = "who", num_args = 1, action = clap::ArgAction::Append)]
    custodian: Vec<PathBuf>,
    /// No custodian: no archive is made, nobody could open one, and status stays CRITICAL
    #[arg(long, group = "who")]
    no_custodian: bool,
    /// Where the soft key goes, which the server needs to start; never under the data. Named by slot in
    /// the XDG configuration directory if nothing is said
    #[arg(long, value_name = "FILE")]
    soft_key: Option<PathBuf>,
    /// Where the server listens [default: 127.0.0.1:7373]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// What was made, for programs. Times are in milliseconds.
#[derive(serde::Serialize)]
pub(super) struct MadeJson {
    vault_id: String,
    signer: String,
    soft_key: String,
    context: String,
    place: Option<String>,
    archive_ms: Option<u64>,
    byte_drill_ms: Option<u64>,
    full_drill_ms: Option<u64>,
    archive_failed: Option<String>,
}

impl MadeJson {
    pub(super) fn of(made: &Made) -> Self {
        let first = made.first.as_ref();
        Self {
            vault_id: made.vault_id.to_string(),
            signer: made.signer.clone(),
            soft_key: made.soft_key.display().to_string(),
            context: made.context.display().to_string(),
            place: first.map(|first| first.archive.display().to_string()),
            archive_ms: first.and_then(|first| first.archive_ms),
            byte_drill_ms: first.and_then(|first| first.byte_drill_ms),
            full_drill_ms: first.and_then(|first| first.drill_ms),
            archive_failed: made.first_failed.as_ref().map(ToString::to_string),
        }
    }
}

impl Init {
    pub(crate) fn run(&self, global: &Global) -> Done {
        must_be_a_directory(&self.data, Kind::Exists)?;
        let mut custodians = Vec::new();
        for file in &self.custodian {
            let bytes = read_input(Some(file), CERTIFICATE_BYTES_MAX, "give one certificate")?;
            custodians.push((file.display().to_string(), bytes));
        }
        let made = holdfast_node::init(&InitOptions {
            data: self.data.clone(),
            custodians,
            soft_key: self.soft_key.clone(),
            context: global.new_context(),
            listen: self.listen.clone(),
        })?;
        if global.json {
            output::json(&MadeJson::of(&made))?;
            return complete(&made);
        }
        if global.quiet {
            output::line(made.vault_id)?;
            return complete(&made);
        }
        let (context, soft_key) = (made.context.display(), made.soft_key.display());
        output::line(format!(
            "vault     {}\nsigner    {}\nsoft key  {soft_key}\ncontext   {context}",
            made.vault_id, made.signer
        ))?;
        first(&made).iter().try_for_each(output::line)?;
        if self.no_custodian {
            output::line("CRITICAL: no custodian, so no archive: what is lost is lost for good")?;
        }
        output::note(self.next(global, &made));
        complete(&made)
    }

    /// The commands that come next, each on a line.
    fn next(&self, global: &Global, made: &Made) -> String {
        let mut text = "next:".to_owned();
        let mut step = |command: &str, why: &str| {
            text.push_str(&format!("\n  {command}\n      {why}"));
        };
        step(
            &format!("holdfast server --data {}", quoted(&self.data.display().to_string())),
            "start it",
        );
        if let Some(context) = global.new_context() {
            let context = quoted(&context.display().to_string());
            step(&format!("export HOLDFAST_CONTEXT={context}"), "where you call it from");
        }
        if self.no_custodian {
            step("holdfast custodian add CERTIFICATE_FILE", "who could restore it");
        }
        step(
            "holdfast sheet > sheet.txt",
            "print it: the fingerprint on it tells true archives from forged ones",
        );
        let why = match &made.first {
            Some(_) => "the first archive lies on the data's own disk",
            None => "there is no archive yet",
        };
        step("holdfast backup --output DIR_ON_ANOTHER_DISK", why);
        if let Some(first) = &made.first {
            let archive = quoted(&first.archive.display().to_string());
            step(
                &format!("holdfast drill {archive} --identity SECRET_KEY_FILE"),
                "a custodian, once: that they can restore",
            );
        }
        step("holdfast status", "what is weak, and the command that mends it");
        text
    }
}

/// The vault stands; but where its first archive failed, not all was done that was asked for.
fn complete(made: &Made) -> Done {
    let Some(why) = &made.first_failed else { return Ok(()) };
    if holdfast_node::interrupted() {
        output::note(format!(
            "interrupted: the vault is made, its first archive is not\n  next: {AFTERWARDS}"
        ));
    }
    let message =
        format!("the vault is made, but its first archive or the drill of that failed: {why}");
    Err(Failure::new(why.kind, message).next(AFTERWARDS))
}

/// What became of the first archive, a line each.
pub(super) fn first(made: &Made) -> Vec<String> {
    let Some(first) = &made.first else { return Vec::new() };
    let archive = first.archive.display();
    let mut lines = vec![match first.archive_ms {
        Some(ms) => format!("first archive in {ms} ms: {archive}"),
        None => format!("first archive, of the start before: {archive}"),
    }];
    if let Some(ms) = first.byte_drill_ms {
        let what = "restored into scratch with its own session keys";
        lines.push(format!("first byte drill in {ms} ms: {what}"));
    }
    if let Some(ms) = first.drill_ms {
        let what = "a custodian's key brought every key back";
        lines.push(format!("first full drill in {ms} ms: {what}"));
    }
    lines
}

/// That there is no first archive, or none that could be opened, where there should be one.
pub(super) fn failed(made: &Made) -> Vec<String> {
    let Some(why) = &made.first_failed else { return Vec::new() };
    vec![
        format!("CRITICAL: the first archive or its drill failed: {why}"),
        format!("  next: {AFTERWARDS}"),
    ]
}
