//! `holdfast enclave ...`

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::{Client, segment};

use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast enclave create billing
  holdfast key create invoices -e billing")]
pub(crate) enum Enclave {
    /// Make an enclave
    #[command(
        after_help = "Example:\n  holdfast enclave create billing\n  holdfast key create invoices -e billing"
    )]
    Create {
        /// Its name
        name: String,
    },
    /// List enclaves
    #[command(after_help = "Example: holdfast enclave ls --json")]
    Ls,
    /// Remove an enclave that holds nothing
    ///
    /// One that ever held a key stays: a deleted key can be undeleted, and data may still need it.
    #[command(after_help = "Example: holdfast enclave rm billing")]
    Rm {
        /// Its name
        name: String,
    },
}

impl Enclave {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Create { name } => {
                let body = wire::Named { name: name.clone() };
                show(global, &client.post("/enclaves", &body).await?)
            }
            Self::Ls => {
                let list: wire::Enclaves = client.get("/enclaves").await?;
                if global.json {
                    return output::json(&list);
                }
                if global.quiet {
                    return list.enclaves.iter().try_for_each(|e| output::line(&e.name));
                }
                let row =
                    |e: &wire::Enclave| vec![e.name.clone(), e.state.clone(), e.enclave_id.clone()];
                let rows: Vec<_> = list.enclaves.iter().map(row).collect();
                output::table(&["NAME", "STATE", "ENCLAVE_ID"], &rows)
            }
            Self::Rm { name } => {
                show(global, &client.delete(&format!("/enclaves/{}", segment(name))).await?)
            }
        }
    }
}

fn show(global: &Global, enclave: &wire::Enclave) -> Done {
    if global.json {
        return output::json(enclave);
    }
    if global.quiet {
        return output::line(&enclave.name);
    }
    let wire::Enclave { name, enclave_id, state } = enclave;
    output::line(format!("name        {name}\nenclave_id  {enclave_id}\nstate       {state}"))
}
