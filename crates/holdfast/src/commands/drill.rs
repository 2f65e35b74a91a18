//! `holdfast drill`: a real restore in scratch, timed, and recorded in the vault's ledger.

use std::path::PathBuf;

use clap::Args;
use holdfast_api::wire;
use holdfast_node::Tried;
use holdfast_recovery::Public;
use holdfast_types::Kind;

use super::offline::{Checked, Known, Secret, Signature, context};
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};
use crate::progress::{Progress, Unit};

/// Restore an archive in scratch, timed, and record it
///
/// A full drill: through both of a custodian's layers, every key version unwrapped. The vault then records
/// in its ledger that it was done; where it cannot be reached, the drill says that it was not recorded.
///
/// With --quiet it prints one word: drilled, or drilled-not-recorded.
#[derive(Debug, Args)]
#[command(mut_arg("identity", |identity| identity.required(true)))]
#[command(after_help = "Examples:
  holdfast drill archives/NAME.tar.gpg --identity john.asc
  holdfast drill archives/NAME.tar.gpg --identity gpg --scratch /dev/shm")]
pub(crate) struct Drill {
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    secret: Secret,
    /// Where to restore into; removed afterwards
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Report {
    archive_id: String,
    mode: &'static str,
    elapsed_ms: u64,
    rows: u64,
    versions: u64,
    digest: String,
    unsigned: bool,
    recorded: bool,
    seq: Option<u64>,
    not_recorded: Option<String>,
}

/// What to do where the vault did not answer, as far as that says nothing better.
const UNREACHED: &str = "drill again where the vault can be reached";
/// What to do where the vault does not know the archive.
const UNKNOWN: &str = "the vault was restored from it, or from an older one, and knows nothing of it: take a new archive, \
                       and drill that: holdfast backup --output DIR";

impl Drill {
    pub(crate) fn run(&self, global: &Global) -> Done {
        let known = context(global);
        let mut checked = self.signature.check(known.as_ref().ok(), &self.secret)?;
        checked.unlock(&self.secret)?;
        let unseal = checked.opener()?;
        let Checked { files, signed, .. } = &checked;
        let progress = Progress::new(global, "drilling", Unit::Rows);
        let scratch = self.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let tried = holdfast_node::drill(files, &signed.public, unseal, &scratch, &mut |rows| {
            progress.set(rows);
        })?;
        drop(progress);
        let (seq, failed) = match record(global, known, &signed.public, &tried) {
            Ok(recorded) => (Some(recorded.seq), None),
            Err(Failure::Failed { kind, message, next }) => {
                let usual = if kind == Kind::NotFound { UNKNOWN } else { UNREACHED };
                (None, Some((message, next.unwrap_or_else(|| usual.to_owned()))))
            }
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
        };
        if global.json {
            return output::json(&Report {
                archive_id: signed.public.archive_id.to_string(),
                mode: "full",
                elapsed_ms: tried.elapsed_ms,
                rows: tried.rows,
                versions: tried.versions,
                digest: tried.digest,
                unsigned: signed.unsigned,
                recorded: seq.is_some(),
                seq,
                not_recorded: failed.map(|(why, _)| why),
            });
        }
        if let Some((why, again)) = &failed {
            output::note(format!("the drill was NOT recorded: {why}\n  next: {again}"));
        }
        if global.quiet {
            let recorded = if seq.is_some() { "drilled" } else { "drilled-not-recorded" };
            return output::line(recorded);
        }
        let ledger = seq.map_or_else(
            || "not recorded".to_owned(),
            |seq| format!("recorded as ledger entry {seq}"),
        );
        output::line(format!(
            "drilled in {} ms: {} rows, {} key versions unwrapped\ndigest {}\n{ledger}",
            tried.elapsed_ms, tried.rows, tried.versions, tried.digest
        ))
    }
}

/// Tells the vault, if it can be reached.
fn record(
    global: &Global,
    known: Result<Known, Failure>,
    public: &Public,
    tried: &Tried,
) -> Result<wire::Drilled, Failure> {
    let Known { context, .. } = known?;
    let drill = wire::Drill {
        archive_id: public.archive_id.to_string(),
        mode: "full".to_owned(),
        elapsed_ms: tried.elapsed_ms,
        versions: tried.versions,
        digest: tried.digest.clone(),
        sha256: public.sha256.clone(),
        custodian_id: tried.custodian.map(|id| id.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    let mut client = super::client(global, context);
    let told = async { Ok(client.post("/drills", &drill).await?) };
    runtime.block_on(super::until_interrupted(Box::pin(told)))
}
