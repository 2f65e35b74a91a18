//! `holdfast restore`: plan, show, ask, do.

use std::collections::BTreeSet;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use holdfast_fs::{Disk, read_to_vec};
use holdfast_node::{Carrying, RestoreOptions, Restored};
use holdfast_recovery::{ArchiveError, ArchiveFiles, Public, Signed, Trust, check_json};
use holdfast_types::limits::MANIFEST_BYTES_MAX;
use holdfast_types::{KeyId, Kind};

use super::must_be_a_directory;
use super::offline::{Secret, Signature, context, now};
use super::server::quoted;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, revision, when};
use crate::progress::{Progress, Unit};

/// Make a vault again from an archive
///
/// Needs no server and no network, and never writes over something that exists. It shows its plan, asks,
/// restores into DIR, unwraps every key version, and only then is DIR a vault: a new incarnation, with a new
/// administrator, whose API key goes to the client context, --context FILE. What a newer archive, beside this
/// one or in --also, says was taken away stays away.
#[derive(Debug, Args)]
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
    /// Bring this key back as it was, though a newer archive says it was deleted
    #[arg(long, value_name = "KEY_ID")]
    revive: Vec<KeyId>,
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    yes: bool,
}

#[derive(serde::Serialize)]
struct Report {
    vault_id: String,
    epoch: u32,
    unsigned: bool,
    rows: u64,
    versions: u64,
    digest: String,
    soft_key: String,
    context: String,
    carried: Carried,
}

/// What newer archives took away, and what may be back all the same.
#[derive(serde::Serialize)]
struct Carried {
    keys: u64,
    versions: u64,
    /// Keys that encrypt no more before they are rotated.
    rotate: u64,
    /// Those in `anew` among them.
    identities: u64,
    /// Identities that were made anew with other rights.
    anew: u64,
    policies: u64,
    custodians: u64,
    /// Custodians who were removed, and are again.
    kept: Vec<String>,
    /// What nothing was carried from.
    passed_over: Vec<PassedOver>,
}

/// A file of a newer archive, or a directory, that nothing was carried from.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
struct PassedOver {
    path: String,
    why: String,
}

impl PassedOver {
    fn new(path: &Path, why: impl std::fmt::Display) -> Self {
        Self { path: path.display().to_string(), why: why.to_string() }
    }
}

impl Carried {
    /// With what was `passed_over` before the restore began.
    fn new(carried: &Carrying, passed_over: Vec<PassedOver>) -> Self {
        let then = carried.passed_over.iter().map(|(path, why)| PassedOver::new(path, why));
        Self {
            keys: carried.keys,
            versions: carried.versions,
            rotate: carried.rotate,
            identities: carried.identities,
            anew: carried.anew,
            policies: carried.policies,
            custodians: carried.custodians,
            kept: carried.kept.iter().map(ToString::to_string).collect(),
            passed_over: passed_over.into_iter().chain(then).collect(),
        }
    }
}

impl Restore {
    pub(crate) fn run(&self, global: &Global) -> Done {
        // The flag says where the new context goes. Whom to trust the usual one knows, if this is its vault.
        let usual = || context(&global.without_flag()).filter(|usual| self.signature.is_of(usual));
        let known = context(global).or_else(usual);
        let mut checked = self.signature.check(known.as_ref(), &self.secret)?;
        self.secret.named()?;
        let signed = checked.signed.clone();
        must_be_a_directory(&self.data, Kind::Exists)?;
        let newer = self.newer(&signed);
        self.confirm(global, &signed, &newer)?;
        let unseal = checked.required(&self.secret)?;
        let files = checked.files;
        let progress = Progress::new(global, "restoring", Unit::Rows);
        let options = RestoreOptions {
            data: self.data.clone(),
            soft_key: self.soft_key.clone(),
            context: global.new_context(),
            listen: self.listen.clone(),
            newer: newer.archives,
            revive: self.revive.clone(),
        };
        let restored = holdfast_node::restore(&files, &signed, &unseal, &options, &mut |rows| {
            progress.set(rows);
        })?;
        drop(progress);
        self.show(global, &signed, &restored, newer.passed_over)
    }

    /// Shows the plan; answering it, or `--yes`, is the confirmation.
    fn confirm(&self, global: &Global, signed: &Signed, newer: &Newer) -> Done {
        let public = &signed.public;
        let cannot_ask = || {
            let message = "restore asks first, and this is no terminal";
            Err(Failure::new(Kind::Refused, message).next("give --yes"))
        };
        let asks = !self.yes && output::interactive();
        // An error is one document, too.
        if global.json && !self.yes && !asks {
            return cannot_ask();
        }
        let quiet = self.yes && (global.quiet || global.json);
        if !quiet {
            output::note(format!(
                "restore vault {} to revision {} of {} into {}, as epoch {}",
                public.vault_id,
                revision(public.to.0),
                when(public.created.0),
                self.data.display(),
                holdfast_node::next_epoch(public, &newer.archives)
            ));
        }
        newer.show(public, quiet);
        if self.yes {
            return Ok(());
        }
        if !asks {
            return cannot_ask();
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

    fn show(
        &self,
        global: &Global,
        signed: &Signed,
        restored: &Restored,
        passed_over: Vec<PassedOver>,
    ) -> Done {
        let (made, carried) = (&restored.made, &restored.carried);
        for (path, why) in &carried.passed_over {
            output::note(format!("nothing was carried from {}: {why}", path.display()));
        }
        if carried.rotate > 0 {
            output::note(format!(
                "{} keys were rotated after this archive was taken, and only decrypt here. Once it runs: holdfast \
                 key rotate KEY; holdfast key show KEY says whose newest version is not active",
                carried.rotate
            ));
        }
        if carried.anew > 0 {
            output::note(format!(
                "{} identities were made anew with other rights after this archive was taken, and are removed. \
                 Once it runs: holdfast identity create NAME --identity ID",
                carried.anew
            ));
        }
        for name in &carried.kept {
            output::note(format!(
                "custodian {name} was removed after this archive was taken, and is one again: nobody else opens \
                 this vault. Once it runs: holdfast custodian add CERTIFICATE_FILE, then holdfast custodian rm {name}"
            ));
        }
        if global.json {
            return output::json(&Report {
                vault_id: made.vault_id.to_string(),
                epoch: restored.epoch,
                unsigned: signed.unsigned,
                rows: restored.rows,
                versions: restored.versions,
                digest: restored.digest.clone(),
                soft_key: made.soft_key.display().to_string(),
                context: made.context.display().to_string(),
                carried: Carried::new(carried, passed_over),
            });
        }
        if global.quiet {
            return output::line(made.vault_id);
        }
        output::line(format!(
            "restored  vault {} as epoch {}\nrows      {}\nversions  {}, every one unwrapped against \
             its check value\ndigest    {}\ncarried   {} keys deleted, {} versions worse, {} identities, \
             {} policies and {} custodians removed\nsoft key  {}\ncontext   {}",
            made.vault_id,
            restored.epoch,
            restored.rows,
            restored.versions,
            restored.digest,
            carried.keys,
            carried.versions,
            carried.identities,
            carried.policies,
            carried.custodians,
            made.soft_key.display(),
            made.context.display()
        ))?;
        output::note(self.next(&made.context));
        Ok(())
    }

    /// The commands that come next, each on a line.
    fn next(&self, context: &Path) -> String {
        let data = quoted(&self.data.display().to_string());
        let context = quoted(&context.display().to_string());
        format!(
            "next:\n  holdfast server --data {data}\n  export HOLDFAST_CONTEXT={context}\n  \
             holdfast status\n  holdfast backup --output DIR\n      \
             archives of this new incarnation; the administrators of before still are: holdfast identity ls"
        )
    }
}

/// Newer archives of the vault that is restored, and those of other restores, which are neither newer nor older.
#[derive(Default)]
struct Newer {
    /// The newest first, where they compare; the signatures of their JSON hold, their tars were not looked at.
    archives: Vec<(ArchiveFiles, Signed)>,
    /// Others, which are of no use, and directories that could not be looked into.
    passed_over: Vec<PassedOver>,
}

impl Newer {
    /// Names the newest one, and the newest one that is neither newer nor older than what is restored.
    fn show(&self, public: &Public, quiet: bool) {
        let archives = || self.archives.iter().map(|(_, signed)| &signed.public);
        let is_apart = |other: &&Public| {
            other.epoch == public.epoch && other.incarnation != public.incarnation
        };
        match (archives().next(), self.passed_over.is_empty()) {
            (Some(_), _) => {}
            (None, false) => output::note("nothing is carried from newer archives of this vault"),
            (None, true) if quiet => {}
            (None, true) => output::note("no newer archive of this vault was found"),
        }
        let place = |other: &Public| {
            format!(
                "{}, revision {} of {}",
                other.file,
                revision(other.to.0),
                when(other.created.0)
            )
        };
        if let Some(newest) = archives().find(|other| !is_apart(other)) {
            output::note(format!(
                "the newest archive of this vault is NEWER: {}. What newer ones deleted stays deleted, where \
                 they open; what was added since is not restored",
                place(newest)
            ));
        }
        if let Some(apart) = archives().find(is_apart) {
            output::note(format!(
                "there are archives of another restore of this vault, neither newer nor older: {}. What was \
                 deleted there is deleted here, too, where they open; --revive KEY_ID leaves a key as it is",
                place(apart)
            ));
        }
    }

    fn pass_over(&mut self, path: &Path, why: impl std::fmt::Display) {
        output::note(format!("{} is passed over: {why}", path.display()));
        self.passed_over.push(PassedOver::new(path, why));
    }
}

impl Restore {
    /// The archives of the same vault and signer beside this one or in `--also` whose removals count here.
    fn newer(&self, signed: &Signed) -> Newer {
        let archive = self.signature.archive.parent();
        let beside = archive.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut newer = Newer::default();
        let mut seen = BTreeSet::new();
        for dir in self.also.iter().map(PathBuf::as_path).chain([beside]) {
            if !seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.to_owned())) {
                continue;
            }
            match std::fs::read_dir(dir) {
                Ok(entries) => {
                    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
                    paths.sort();
                    paths.iter().for_each(|path| look_at(path, signed, &mut newer));
                }
                Err(error) => newer.pass_over(dir, format!("it cannot be read: {error}")),
            }
        }
        // By epoch, that is, then by revision.
        newer.archives.sort_by_key(|(_, signed)| std::cmp::Reverse(signed.public.to));
        newer
    }
}

/// Takes a file's archive for one whose removals count, where it is that. What cannot be read and is one by
/// its name is told: somebody may want to mend it before anything that was taken away comes back.
fn look_at(path: &Path, signed: &Signed, newer: &mut Newer) {
    let public = &signed.public;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let here = public.name();
    let by_name = || here.heeds_file(&name);
    let files = ArchiveFiles::of(path);
    if *path == files.tar && !files.json.exists() && by_name() {
        newer.pass_over(path, format!("{} is not there", files.json.display()));
    }
    if *path != files.json {
        return;
    }
    let read = read_to_vec(&Disk, path, MANIFEST_BYTES_MAX).map_err(ArchiveError::from);
    match read.and_then(|bytes| Public::from_bytes(&bytes)) {
        Err(error) if by_name() => newer.pass_over(path, error),
        Err(_) => {}
        Ok(other) if !here.heeds(&other.name()) => {}
        Ok(_) => match check_json(&Disk, &files, &Trust::Fingerprint(signed.signer.clone()), now())
        {
            Ok(other) => newer.archives.push((files, other)),
            Err(error) => newer.pass_over(path, error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_learn_what_may_be_back() {
        let json = |carried: &Carrying, passed_over| {
            serde_json::to_value(Carried::new(carried, passed_over)).unwrap()
        };
        let nothing = json(&Carrying::default(), Vec::new());
        let empty = serde_json::json!([]);
        assert_eq!((&nothing["kept"], &nothing["passed_over"]), (&empty, &empty));
        let carried = Carrying {
            kept: vec!["anna".parse().unwrap()],
            passed_over: vec![("b.tar.gpg".into(), "it is damaged".to_owned())],
            ..Carrying::default()
        };
        let before = vec![PassedOver::new(Path::new("a.json"), "it does not parse")];
        let told = json(&carried, before);
        assert_eq!(told["kept"], serde_json::json!(["anna"]));
        let passed_over = serde_json::json!([
            {"path": "a.json", "why": "it does not parse"},
            {"path": "b.tar.gpg", "why": "it is damaged"},
        ]);
        assert_eq!(told["passed_over"], passed_over);
    }
}
