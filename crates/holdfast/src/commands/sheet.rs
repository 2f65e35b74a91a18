//! `holdfast sheet`

use clap::Args;
use holdfast_api::wire;
use holdfast_client::Client;

use crate::Done;
use crate::cli::Global;
use crate::output;

/// Print the page a custodian keeps
///
/// Vault, signer's fingerprint, custodians, and how to restore, with this program and without it. Nothing on
/// it is secret. The fingerprint tells a true archive from a forged one: keep it where the vault is not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast sheet > sheet.txt                  print it, and keep it away from the vault
  TRUST=$(holdfast sheet --fingerprint)       for verify and restore elsewhere")]
pub(crate) struct Sheet {
    /// Print only the fingerprint of the certificate that signs archives
    #[arg(long)]
    fingerprint: bool,
}

impl Sheet {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let sheet: wire::Sheet = client.get("/sheet").await?;
        match (global.json, self.fingerprint) {
            (true, true) => output::json(&serde_json::json!({ "signer": sheet.signer })),
            (true, false) => output::json(&sheet),
            (false, true) => output::line(&sheet.signer),
            (false, false) if global.quiet => output::line(&sheet.signer),
            (false, false) => output::raw(sheet.text.as_bytes()),
        }
    }
}
