//! `holdfast sheet`

use clap::Args;
use holdfast_api::wire;
use holdfast_client::Client;

use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Args)]
#[command(after_help = "Example: holdfast sheet > sheet.txt")]
pub(crate) struct Sheet {
    /// Print only the fingerprint of the certificate that signs archives
    #[arg(long)]
    fingerprint: bool,
}

impl Sheet {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let sheet: wire::Sheet = client.get("/sheet").await?;
        if self.fingerprint || global.quiet {
            return output::line(&sheet.fingerprint);
        }
        if global.json { output::json(&sheet) } else { output::raw(sheet.text.as_bytes()) }
    }
}
