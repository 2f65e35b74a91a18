//! `holdfast audit ...`

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::Client;
use serde_json::json;

use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: holdfast audit acknowledge")]
pub(crate) enum Audit {
    /// Say that you looked at the gaps of the audit log that status names
    ///
    /// They are critical until then, whatever is written since. The ledger keeps them, and who acknowledged
    /// them, for good. Compare the audit directory with a copy of it first: formats/audit.md says how.
    #[command(after_help = "Example: holdfast audit acknowledge")]
    Acknowledge,
}

impl Audit {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let Self::Acknowledge = self;
        let done: wire::AuditAcknowledged = client.post("/audit/acknowledge", &json!({})).await?;
        if global.json {
            return output::json(&done);
        }
        if global.quiet {
            return output::line(done.gaps);
        }
        let gaps = if done.gaps == 1 { "gap" } else { "gaps" };
        output::line(format!(
            "{} {gaps} of the audit log acknowledged; the ledger keeps them",
            done.gaps
        ))
    }
}
