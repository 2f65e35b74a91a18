//! `holdfast status`

use clap::Args;
use holdfast_api::wire;
use holdfast_client::Client;

use super::archive::proved;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, revision, when};

/// Show the vault and what is weak
///
/// Each weak point takes one line, with the command that mends it: CRITICAL where keys could be lost,
/// WARNING where something is weak, INFO where it is worth knowing. It ends with 0 whatever it finds;
/// --quiet prints the worst level only: ok, info, warning or critical.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast status
  # Where no vault answers it prints nothing, and ends with 20.
  holdfast status --quiet | grep -qxE 'ok|info|warning' || echo 'look at holdfast' | mail ops@example.org")]
pub(crate) struct Status {}

impl Status {
    /// With warnings it still ends with 0: it did what was asked.
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let status: wire::Status = client.get("/status").await?;
        if global.json {
            return output::json(&status);
        }
        if global.quiet {
            let worst = status.warnings.first().map_or("ok", |warning| warning.level.as_str());
            return output::line(worst);
        }
        output::line(page(&status))
    }
}

fn page(status: &wire::Status) -> String {
    let mut text = format!(
        "vault         {}\nepoch         {} ({})\nrevision      {} at {}\nnode          {} {}",
        status.vault_id,
        status.epoch,
        status.incarnation,
        revision(status.revision),
        when(status.at),
        status.node.node_id,
        if status.node.leader { "leads" } else { "follows" },
    );
    for (what, count) in &status.counts {
        let what = what.replace('_', " ");
        text.push_str(&format!("\n{what:<12}  {count}"));
    }
    for archive in status.archives.iter().take(3) {
        let (name, proved, to) = (&archive.name, proved(archive), revision(archive.to));
        let place = &archive.place;
        text.push_str(&format!(
            "\narchive       {name}\n              {proved}, to {to}, at {place}"
        ));
    }
    if status.warnings.is_empty() {
        text.push_str("\nno weak point is known");
    }
    for warning in &status.warnings {
        let level = warning.level.to_uppercase();
        text.push_str(&format!("\n{level}: {}\n  next: {}", warning.what, warning.next));
    }
    text
}
