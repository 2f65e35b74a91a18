//! `holdfast restore`: look, plan, show, ask, do.

mod newer;
mod plan;
mod report;

use std::path::PathBuf;

use clap::Args;
use holdfast_node::{Foretold, RestoreOptions};
use holdfast_types::{KeyId, Kind};

use self::newer::Newer;
use self::plan::Plan;
use super::must_be_a_directory;
use super::offline::{Checked, Known, Secret, Signature, context, context_if_any};
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};
use crate::progress::{Progress, Unit};

/// Make a vault again from an archive
///
/// Needs no server and no network, and never writes over something that exists. It shows its plan, asks,
/// restores into DIR, unwraps every key version, and only then is DIR a vault: a new incarnation, with a new
/// administrator, whose API key goes to the client context, --context FILE. What a newer archive, beside this
/// one or in --also, says was taken away stays away.
#[derive(Debug, Args)]
#[command(mut_arg("identity", |identity| identity.required(true)))]
#[command(arg = crate::cli::new_context())]
#[command(after_help = "Example:
  holdfast restore archives/NAME.tar.gpg --identity john.asc --trust FINGERPRINT \\
    --data again --soft-key again.key --context again.toml
  holdfast server --data again")]
pub(crate) struct Restore {
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    secret: Secret,
    /// The data directory: missing or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the new soft key goes; never under the data. Named by slot in the XDG configuration
    /// directory if nothing is said
    #[arg(long, value_name = "FILE")]
    soft_key: Option<PathBuf>,
    /// Where the server listens [default: 127.0.0.1:7373]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Look here, too, for newer archives of the vault: what they took away stays away
    #[arg(long, value_name = "DIR")]
    also: Vec<PathBuf>,
    /// Bring this key back as it was, though a newer archive says it was deleted; the plan names such keys
    #[arg(long, value_name = "KEY_ID")]
    revive: Vec<KeyId>,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub(crate) fn run(&self, global: &Global) -> Done {
        let mut options = self.options(global);
        must_be_a_directory(&self.data, Kind::Exists)?;
        holdfast_node::must_be_free(&options)?;
        let known = self.known(global);
        let mut checked = self.signature.check(known.as_ref(), &self.secret)?;
        let newer = Newer::find(&self.signature.archive, &self.also, &checked.signed);
        options.newer.clone_from(&newer.archives);
        let asks = self.asks(global)?;
        let foretold = match (asks && !newer.archives.is_empty()) || !self.revive.is_empty() {
            true => Some(self.foresee(global, &mut checked, &options)?),
            false => None,
        };
        let plan = Plan {
            signed: &checked.signed,
            newer: &newer,
            foretold: foretold.as_ref(),
            data: &self.data,
        };
        plan.confirmed(global, self.yes, asks)?;
        checked.unlock(&self.secret)?;
        let unseal = checked.opener()?;
        let progress = Progress::new(global, "restoring", Unit::Rows);
        let (files, signed) = (&checked.files, &checked.signed);
        let restored = holdfast_node::restore(files, signed, unseal, &options, &mut |rows| {
            progress.set(rows);
        })?;
        drop(progress);
        report::show(global, signed, &restored, newer.passed_over, &self.data)
    }

    fn options(&self, global: &Global) -> RestoreOptions {
        RestoreOptions {
            data: self.data.clone(),
            soft_key: self.soft_key.clone(),
            context: global.new_context(),
            listen: self.listen.clone(),
            newer: Vec::new(),
            revive: self.revive.clone(),
        }
    }

    /// The flag says where the new context goes, and the environment where no flag does. Whom to trust the usual
    /// one knows beside a flag, if this is its vault.
    fn known(&self, global: &Global) -> Option<Known> {
        let look = || match self.signature.trust {
            // Nothing is missed of one that is not there.
            Some(_) => context_if_any(&global.without_flag()),
            None => context(&global.without_flag()).ok(),
        };
        let usual = global.is_flagged().then(look).flatten();
        usual.filter(|usual| self.signature.is_of(&usual.context))
    }

    /// Whether somebody is asked. With `--json` nobody sees the plan where nobody can be asked.
    fn asks(&self, global: &Global) -> Result<bool, Failure> {
        let asks = !self.yes && output::interactive();
        if global.json && !self.yes && !asks { Err(plan::cannot_ask()) } else { Ok(asks) }
    }

    /// What would be taken away of the keys. Everything is read twice for that, so only where somebody may look
    /// at it, or gave an id that it may not fit.
    fn foresee(
        &self,
        global: &Global,
        checked: &mut Checked,
        options: &RestoreOptions,
    ) -> Result<Foretold, Failure> {
        checked.unlock(&self.secret)?;
        let progress = Progress::new(global, "planning", Unit::Rows);
        let Checked { files, signed, .. } = &*checked;
        let foretold =
            holdfast_node::foresee(files, signed, checked.opener()?, options, &mut |rows| {
                progress.set(rows);
            });
        Ok(foretold?)
    }
}
