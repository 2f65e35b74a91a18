//! What was restored, for programs and for people.

use std::path::Path;

use holdfast_node::{Carrying, DeletedKey, Restored};
use holdfast_recovery::Signed;

use super::plan::named;
use crate::Done;
use crate::cli::Global;
use crate::commands::server::quoted;
use crate::output;

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
    /// The first 10 000 of them.
    deleted: Vec<Deleted>,
    /// Keys that `--revive` left as they are.
    revived: Vec<String>,
    versions: u64,
    /// Keys that encrypt no more before they are rotated.
    rotate: u64,
    /// Those in `anew` among them.
    identities: u64,
    /// Identities that were made anew with other rights.
    anew: u64,
    policies: u64,
    custodians: u64,
    /// Custodians whose certificates are the newer ones again, with what was revoked.
    renewed: Vec<String>,
    /// Custodians who were removed, and are again.
    kept: Vec<String>,
    /// What nothing was carried from.
    passed_over: Vec<PassedOver>,
}

/// A key that a newer archive says was deleted.
#[derive(serde::Serialize)]
struct Deleted {
    key_id: String,
    enclave: String,
    name: String,
}

impl Deleted {
    fn new(key: &DeletedKey) -> Self {
        let (key_id, name) = (key.key_id.to_string(), key.name.to_string());
        Self { key_id, enclave: key.enclave.clone(), name }
    }
}

/// A file of a newer archive, or a directory, that nothing was carried from.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub(super) struct PassedOver {
    pub(super) path: String,
    pub(super) why: String,
}

impl PassedOver {
    pub(super) fn new(path: &Path, why: impl std::fmt::Display) -> Self {
        Self { path: path.display().to_string(), why: why.to_string() }
    }
}

impl Carried {
    /// With what was `passed_over` before the restore began.
    fn new(carried: &Carrying, passed_over: Vec<PassedOver>) -> Self {
        let then = carried.passed_over.iter().map(|(path, why)| PassedOver::new(path, why));
        Self {
            keys: carried.keys,
            deleted: carried.deleted.iter().map(Deleted::new).collect(),
            revived: carried.revived.iter().map(ToString::to_string).collect(),
            versions: carried.versions,
            rotate: carried.rotate,
            identities: carried.identities,
            anew: carried.anew,
            policies: carried.policies,
            custodians: carried.custodians,
            renewed: carried.renewed.iter().map(ToString::to_string).collect(),
            kept: carried.kept.iter().map(ToString::to_string).collect(),
            passed_over: passed_over.into_iter().chain(then).collect(),
        }
    }
}

/// Says what was restored into `data`, with what was `passed_over` before that began.
pub(super) fn show(
    global: &Global,
    signed: &Signed,
    restored: &Restored,
    passed_over: Vec<PassedOver>,
    data: &Path,
) -> Done {
    let (made, carried) = (&restored.made, &restored.carried);
    warn(carried);
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
         {} policies and {} custodians removed",
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
    ))?;
    named(&carried.deleted, carried.keys).iter().try_for_each(output::line)?;
    carried.revived.iter().try_for_each(|id| output::line(format!("revived   {id}")))?;
    let (soft_key, context) = (made.soft_key.display(), made.context.display());
    output::line(format!("soft key  {soft_key}\ncontext   {context}"))?;
    output::note(next(data, &restored.listen, &made.context));
    Ok(())
}

/// What is not as it was, and what mends it.
fn warn(carried: &Carrying) {
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
    for name in &carried.renewed {
        output::note(format!(
            "custodian {name} has the certificate that a newer archive knows: what was revoked is not sealed to again"
        ));
    }
    for name in &carried.kept {
        output::note(format!(
            "custodian {name} was removed after this archive was taken, and is one again: nobody else opens \
             this vault. Once it runs: holdfast custodian add CERTIFICATE_FILE, then holdfast custodian rm {name}"
        ));
    }
}

/// The commands that come next, each on a line.
fn next(data: &Path, listen: &str, context: &Path) -> String {
    let data = quoted(&data.display().to_string());
    let context = quoted(&context.display().to_string());
    format!(
        "next:\n  holdfast server --data {data}\n      it listens on {listen}; for others to reach it as before: \
         --listen ADDR\n  export HOLDFAST_CONTEXT={context}\n  \
         holdfast status\n  holdfast backup --output DIR\n      \
         archives of this new incarnation; the administrators of before still are: holdfast identity ls"
    )
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
