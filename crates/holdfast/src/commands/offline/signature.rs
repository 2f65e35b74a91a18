//! Which archive, and whose signature counts.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use holdfast_client::Context;
use holdfast_fs::{Disk, read_to_vec};
use holdfast_node::NodeError;
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, Public, Signed, Trust, Unseal, accept_unsigned, check_sidecars,
};
use holdfast_types::limits::MANIFEST_BYTES_MAX;
use holdfast_types::{Kind, Millis};

use super::{Known, Secret};
use crate::Done;
use crate::output::{self, Failure};

/// Which archive, and whose signature counts.
#[derive(Debug, Args)]
pub(crate) struct Signature {
    /// The sealed tar, NAME.tar.gpg; NAME.json and NAME.json.sig lie beside it
    pub(crate) archive: PathBuf,
    /// Fingerprint of the signer, from the printed sheet; from the client context if nothing is said
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) trust: Option<String>,
    /// Where NAME.json or its signature is lost or broken, believe what the sealed tar says of itself.
    /// Nobody vouches for such an archive: whoever has a custodian's certificate could have made it
    #[arg(long, requires = "identity")]
    pub(crate) accept_unsigned: bool,
}

/// An archive whose sidecars were judged.
pub(crate) struct Checked {
    pub(crate) files: ArchiveFiles,
    pub(crate) signed: Signed,
    /// The custodian's secret, once it was asked for; none where none was named.
    pub(crate) unseal: Option<Unseal>,
}

impl Checked {
    /// Asks for the custodian's secret, once.
    pub(crate) fn unlock(&mut self, secret: &Secret) -> Done {
        if self.unseal.is_none() {
            self.unseal = secret.unseal()?;
        }
        Ok(())
    }

    /// The custodian's secret, of a command that cannot do without.
    pub(crate) fn opener(&self) -> Result<&Unseal, Failure> {
        let none = || Failure::new(Kind::Internal, "the custodian's secret was not asked for");
        self.unseal.as_ref().ok_or_else(none)
    }
}

/// Whose signature counts, and who says so.
struct Trusted {
    trust: Trust,
    by: String,
}

impl Trusted {
    fn failed(&self, error: ArchiveError) -> Failure {
        match Failure::from(NodeError::from(error)) {
            Failure::Failed { kind: Kind::UnknownSigner, message, next }
                if self.trust != Trust::Nobody =>
            {
                let message = format!("{message}, which {} names", self.by);
                Failure::Failed { kind: Kind::UnknownSigner, message, next }
            }
            other => other,
        }
    }
}

impl Signature {
    /// Signature, signer, size and SHA-256; or, on the caller's own word, none of them.
    pub(crate) fn check(&self, known: Option<&Known>, secret: &Secret) -> Result<Checked, Failure> {
        let files = self.files()?;
        let trusted = self.trusted(known)?;
        let context = known.filter(|_| self.trust.is_none()).map(|known| &known.context);
        if let Some(context) = context {
            same_vault(&files, context)?;
        }
        let unseal = if self.accept_unsigned { secret.unseal()? } else { None };
        let signed = match &unseal {
            Some(unseal) => accept_unsigned(&Disk, &files, &trusted.trust, unseal, now()),
            None => check_sidecars(&Disk, &files, &trusted.trust, now()),
        };
        let signed = signed.map_err(|error| trusted.failed(error))?;
        if signed.unsigned {
            if let Some(context) = context {
                is_vault(&signed.public, context)?;
            }
            output::note(
                "UNSIGNED: no signature of this archive holds. It opens and agrees with itself, but nobody \
                 vouches for it",
            );
        }
        Ok(Checked { files, signed, unseal })
    }

    /// By the flag, or else by the context.
    fn trusted(&self, known: Option<&Known>) -> Result<Trusted, Failure> {
        let of_context = || {
            let known = known.filter(|known| !known.context.signer.is_empty())?;
            Some((&known.context.signer, format!("the client context {}", known.place)))
        };
        let given = self.trust.as_ref().map(|text| (text, "--trust".to_owned()));
        let Some((text, by)) = given.or_else(of_context) else {
            return Ok(Trusted { trust: Trust::Nobody, by: String::new() });
        };
        let trust = Trust::of(text).ok_or_else(|| {
            Failure::new(Kind::BadInput, format!("{by} names {text:?}, which is no fingerprint"))
                .next("give the 40 hex digits on the printed sheet: --trust FINGERPRINT")
        })?;
        Ok(Trusted { trust, by })
    }

    /// Whether the archive says it is of this context's vault.
    pub(crate) fn is_of(&self, context: &Context) -> bool {
        let files = ArchiveFiles::of(&self.archive);
        !context.vault_id.is_empty() && same_vault(&files, context).is_ok()
    }

    /// The three files, as far as their names go.
    fn files(&self) -> Result<ArchiveFiles, Failure> {
        let shown = self.archive.display();
        if self.archive.is_dir() {
            let message = format!("{shown} is a directory, not an archive");
            return Err(Failure::new(Kind::BadInput, message)
                .next(format!("name the sealed tar: {shown}/NAME.tar.gpg")));
        }
        let files = ArchiveFiles::of(&self.archive);
        if ![&files.tar, &files.json, &files.signature].iter().any(|path| path.exists()) {
            return Err(Failure::new(Kind::NotFound, format!("there is no archive {shown}")).next(
                "name the sealed tar, NAME.tar.gpg; holdfast archive ls says where each lies",
            ));
        }
        Ok(files)
    }
}

/// "Another vault" says more than "unknown signer".
fn same_vault(files: &ArchiveFiles, context: &Context) -> Result<(), Failure> {
    let json = read_to_vec(&Disk, &files.json, MANIFEST_BYTES_MAX);
    let public = json.ok().and_then(|json| Public::from_bytes(&json).ok());
    public.map_or(Ok(()), |public| is_vault(&public, context))
}

fn is_vault(public: &Public, context: &Context) -> Result<(), Failure> {
    let found = public.vault_id.to_string();
    if context.vault_id.is_empty() || found == context.vault_id {
        return Ok(());
    }
    let message =
        format!("the archive is of vault {found}, this context is of {}", context.vault_id);
    Err(Failure::new(Kind::AnotherVault, message)
        .next("use that vault's context, or name the signer with --trust FINGERPRINT"))
}

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
