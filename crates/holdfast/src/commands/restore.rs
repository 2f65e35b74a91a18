//! `holdfast restore`: plan, show, ask, do.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use holdfast_fs::{Disk, read_to_vec};
use holdfast_node::{RestoreOptions, Restored};
use holdfast_recovery::{Public, Signed};
use holdfast_types::Kind;
use holdfast_types::limits::MANIFEST_BYTES_MAX;

use super::offline::{Secret, Signature, progress};
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, revision, when};

#[derive(Debug, Args)]
#[command(after_help = "Example:
  holdfast restore archives/NAME.tar.gpg --identity john.asc --trust FINGERPRINT \\
    --data again --soft-key again.key --context again.toml")]
pub(crate) struct Restore {
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    secret: Secret,
    /// The data directory: missing or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the new soft key goes; never under the data
    #[arg(long, value_name = "FILE")]
    soft_key: Option<PathBuf>,
    /// Where to listen
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(serde::Serialize)]
struct Report {
    vault_id: String,
    epoch: u32,
    rows: u64,
    versions: u64,
    digest: String,
    soft_key: String,
    context: String,
}

impl Restore {
    pub(crate) fn run(&self, global: &Global) -> Done {
        // The context in the environment is where the new one goes, not whom to trust, unless it exists.
        let (files, signed) = self.signature.check(global)?;
        self.confirm(&signed)?;
        let unseal = self.secret.required()?;
        let bar = progress(global);
        let options = RestoreOptions {
            data: self.data.clone(),
            soft_key: self.soft_key.clone(),
            context: global.context.clone(),
            listen: self.listen.clone(),
        };
        let restored = holdfast_node::restore(&files, &signed, &unseal, &options, &mut |rows| {
            bar.set_position(rows);
        })?;
        bar.finish_and_clear();
        self.show(global, &restored)
    }

    /// Shows the plan; answering it, or `--yes`, is the confirmation.
    fn confirm(&self, signed: &Signed) -> Done {
        let public = &signed.public;
        output::note(format!(
            "restore vault {} to revision {} of {} into {}, as epoch {}",
            public.vault_id,
            revision(public.to.0),
            when(public.created.0),
            self.data.display(),
            public.epoch + 1
        ));
        if let Some(newer) = newer_beside(&self.signature.archive, public) {
            output::note(format!("a NEWER archive of this vault lies beside it: {newer}"));
        }
        if self.yes {
            return Ok(());
        }
        if !output::interactive() {
            return Err(Failure::new(Kind::Refused, "restore asks first, and this is no terminal")
                .next("give --yes"));
        }
        _ = write!(std::io::stderr(), "Restore? [y/N] ");
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| Failure::io("the terminal", &error))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new(Kind::Refused, "not restored")),
        }
    }

    fn show(&self, global: &Global, restored: &Restored) -> Done {
        let made = &restored.made;
        if global.json {
            return output::json(&Report {
                vault_id: made.vault_id.to_string(),
                epoch: restored.epoch,
                rows: restored.rows,
                versions: restored.versions,
                digest: restored.digest.clone(),
                soft_key: made.soft_key.display().to_string(),
                context: made.context.display().to_string(),
            });
        }
        if global.quiet {
            return output::line(made.vault_id);
        }
        output::line(format!(
            "restored  vault {} as epoch {}\nrows      {}\nversions  {}, every one unwrapped against \
             its check value\ndigest    {}\nsoft key  {}\ncontext   {}",
            made.vault_id,
            restored.epoch,
            restored.rows,
            restored.versions,
            restored.digest,
            made.soft_key.display(),
            made.context.display()
        ))?;
        output::note(format!("next: holdfast server --data {}", self.data.display()));
        Ok(())
    }
}

/// The newest archive of the same vault in the same directory, if it is newer. Its signature is not
/// checked: it is only a hint.
fn newer_beside(archive: &Path, public: &Public) -> Option<String> {
    let dir = archive.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(dir).ok()?;
    let json = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let read = |path: PathBuf| {
        let bytes = read_to_vec(&Disk, &path, MANIFEST_BYTES_MAX).ok()?;
        Public::from_bytes(&bytes).ok()
    };
    let newer = json.filter_map(read).filter(|other| {
        other.vault_id == public.vault_id && (other.epoch, other.to) > (public.epoch, public.to)
    });
    newer.max_by_key(|other| (other.epoch, other.to)).map(|other| other.file)
}
