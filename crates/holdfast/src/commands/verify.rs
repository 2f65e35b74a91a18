//! `holdfast verify`

use clap::Args;

use super::offline::{Checked, Secret, Signature, context};
use crate::Done;
use crate::cli::Global;
use crate::output::{self, revision, when};
use crate::progress::{Progress, Unit};

/// Check an archive; without a secret: "signed and whole, not opened"
///
/// Needs no server and no network. With a custodian's secret key everything is opened: every row is read, the
/// digest computed again, every key version unwrapped against its check value.
///
/// With --quiet it prints one word: signed (and whole, not opened), verified, or unsigned (opened and whole, and
/// nobody vouches for it, as --accept-unsigned allows).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast verify archives/NAME.tar.gpg                      signature and hash, no secret needed
  holdfast verify archives/NAME.tar.gpg --identity john.asc  everything
  holdfast verify archives/NAME.tar.gpg --identity gpg       everything, through your own GnuPG
  holdfast verify archives/NAME.tar.gpg --trust FINGERPRINT  where no client context knows the signer")]
pub(crate) struct Verify {
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    secret: Secret,
}

#[derive(serde::Serialize)]
struct Verdict {
    /// `signed`, `verified` or `unsigned`.
    verdict: &'static str,
    archive_id: String,
    sha256: String,
    size: u64,
    vault_id: String,
    signer: String,
    unsigned: bool,
    from: u64,
    to: u64,
    created: u64,
    versions: Option<u64>,
    rows: Option<u64>,
    digest: Option<String>,
}

impl Verify {
    pub(crate) fn run(&self, global: &Global) -> Done {
        let known = context(global).ok();
        let mut checked = self.signature.check(known.as_ref(), &self.secret)?;
        checked.unlock(&self.secret)?;
        let Checked { files, signed, unseal } = checked;
        let public = &signed.public;
        let progress = Progress::new(global, "verifying", Unit::Rows);
        let tried = match unseal {
            Some(unseal) => Some(holdfast_node::verify(&files, public, &unseal, &mut |rows| {
                progress.set(rows);
            })?),
            None => None,
        };
        drop(progress);
        // Only an opened copy is *verified*.
        let (verdict, said) = match (&tried, signed.unsigned) {
            (None, _) => ("signed", "signed and whole, not opened"),
            (Some(_), false) => ("verified", "verified"),
            (Some(_), true) => ("unsigned", "opened and whole, UNSIGNED"),
        };
        if global.json {
            return output::json(&Verdict {
                verdict,
                archive_id: public.archive_id.to_string(),
                sha256: public.sha256.clone(),
                size: public.size,
                vault_id: public.vault_id.to_string(),
                signer: signed.signer.clone(),
                unsigned: signed.unsigned,
                from: public.from.0,
                to: public.to.0,
                created: public.created.0,
                versions: tried.as_ref().map(|tried| tried.versions),
                rows: tried.as_ref().map(|tried| tried.rows),
                digest: tried.map(|tried| tried.digest),
            });
        }
        if global.quiet {
            return output::line(verdict);
        }
        output::line(format!(
            "{said}\nvault     {}\nsigner    {}\nrevision  {} at {}",
            public.vault_id,
            signed.signer,
            revision(public.to.0),
            when(public.created.0)
        ))?;
        match tried {
            Some(tried) => output::line(format!(
                "rows      {}\nversions  {}, every one unwrapped against its check value\ndigest    {}",
                tried.rows, tried.versions, tried.digest
            )),
            None => Ok(()),
        }
    }
}
