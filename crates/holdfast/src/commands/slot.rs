//! `holdfast slot ls`

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::Client;

use crate::Done;
use crate::cli::Global;
use crate::output;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example:
  holdfast slot ls")]
pub(crate) enum Slot {
    /// List seal slots, this node's soft slot included
    #[command(after_help = "Example: holdfast slot ls")]
    Ls,
}

impl Slot {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let Self::Ls = self;
        let list: wire::Slots = client.get("/slots").await?;
        if global.json {
            return output::json(&list);
        }
        if global.quiet {
            return list.slots.iter().try_for_each(|slot| output::line(&slot.slot_id));
        }
        let row = |slot: &wire::Slot| {
            let archived = if slot.archived { "yes" } else { "no" };
            vec![
                slot.kind.clone(),
                slot.generation.to_string(),
                slot.custodian.clone().unwrap_or_else(|| "-".to_owned()),
                archived.to_owned(),
                slot.slot_id.clone(),
                slot.recipient.clone(),
            ]
        };
        let rows: Vec<_> = list.slots.iter().map(row).collect();
        output::table(&["KIND", "ROOT", "CUSTODIAN", "ARCHIVED", "SLOT_ID", "RECIPIENT"], &rows)
    }
}
