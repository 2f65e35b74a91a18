//! `holdfast status`

use clap::Args;
use holdfast_api::wire;
use holdfast_client::Client;

use super::archive::proved;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, revision, when};

#[derive(Debug, Args)]
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
        "vault     {}\nepoch     {} ({})\nrevision  {} at {}\nnode      {} {}",
        status.vault_id,
        status.epoch,
        status.incarnation,
        revision(status.revision),
        when(status.at),
        status.node.node,
        if status.node.leader { "leads" } else { "follows" },
    );
    for (what, count) in &status.counts {
        text.push_str(&format!("\n{what:<9} {count}"));
    }
    for archive in status.archives.iter().take(3) {
        let (name, proved, to) = (&archive.name, proved(archive), revision(archive.to));
        text.push_str(&format!("\narchive   {name} {proved}, to {to}, {}", archive.place));
    }
    for warning in &status.warnings {
        let level = warning.level.to_uppercase();
        text.push_str(&format!("\n{level}: {}\n  next: {}", warning.what, warning.next));
    }
    text
}
