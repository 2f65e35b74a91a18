//! What `verify`, `drill` and `restore` share: which archive, whom to trust, who opens.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use holdfast_client::Context;
use holdfast_fs::{Disk, read_to_vec};
use holdfast_recovery::{
    ArchiveFiles, Public, Signed, Trust, Unseal, accept_unsigned, check_sidecars,
};
use holdfast_seal::{GpgAgent, Identity, Opener};
use holdfast_types::limits::MANIFEST_BYTES_MAX;
use holdfast_types::{Kind, Millis};
use zeroize::Zeroizing;

use super::read_input;
use crate::cli::Global;
use crate::output::{self, Failure};

/// Largest secret key file.
const IDENTITY_BYTES_MAX: usize = 1 << 20;

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
    /// The custodian's secret, where it was needed for that already.
    unseal: Option<Unseal>,
}

impl Checked {
    /// The custodian's secret, asked for once; `None` where none was named.
    pub(crate) fn unseal(&mut self, secret: &Secret) -> Result<Option<Unseal>, Failure> {
        match self.unseal.take() {
            Some(unseal) => Ok(Some(unseal)),
            None => secret.unseal(),
        }
    }

    /// As [`Self::unseal`], where it cannot do without.
    pub(crate) fn required(&mut self, secret: &Secret) -> Result<Unseal, Failure> {
        secret.named()?;
        self.unseal(secret)?.ok_or_else(|| Failure::new(Kind::Internal, "a named identity is none"))
    }
}

/// Who opens it.
#[derive(Debug, Args)]
pub(crate) struct Secret {
    /// A custodian's secret key file; or gpg, to ask your own GnuPG, its agent and its smart card
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// A file whose first line is the secret key's passphrase; else it is asked for
    #[arg(long, value_name = "FILE", requires = "identity")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// The context, where there is one: offline commands go on without.
pub(crate) fn context(global: &Global) -> Option<Context> {
    match Context::load(global.context().as_deref()) {
        Ok(context) => Some(context),
        Err(error) if error.kind == Kind::NotFound => None,
        Err(error) => {
            output::note(format!("the client context is passed over: {error}"));
            None
        }
    }
}

impl Signature {
    /// Signature, signer, size and SHA-256; or, on the caller's own word, none of them.
    pub(crate) fn check(
        &self,
        context: Option<&Context>,
        secret: &Secret,
    ) -> Result<Checked, Failure> {
        let files = self.files()?;
        let known = context.map(|context| context.signer.clone());
        let known = known.filter(|signer| !signer.is_empty());
        if let (None, Some(context)) = (&self.trust, context) {
            same_vault(&files, context)?;
        }
        let trust = self.trust.clone().or(known).map_or(Trust::Nobody, Trust::Fingerprint);
        let unseal = if self.accept_unsigned { secret.unseal()? } else { None };
        let signed = match &unseal {
            Some(unseal) => accept_unsigned(&Disk, &files, &trust, unseal, now()),
            None => check_sidecars(&Disk, &files, &trust, now()),
        };
        let signed = signed.map_err(holdfast_node::NodeError::from)?;
        if signed.unsigned {
            if let (None, Some(context)) = (&self.trust, context) {
                is_vault(&signed.public, context)?;
            }
            output::note(
                "UNSIGNED: no signature of this archive holds. It opens and agrees with itself, but nobody \
                 vouches for it",
            );
        }
        Ok(Checked { files, signed, unseal })
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

impl Secret {
    /// Both layers, through a custodian.
    fn unseal(&self) -> Result<Option<Unseal>, Failure> {
        let Some(path) = &self.identity else { return Ok(None) };
        if path.as_os_str() == "gpg" && self.passphrase_file.is_some() {
            let message = "with --identity gpg, GnuPG's agent asks for the passphrase itself";
            return Err(Failure::new(Kind::BadInput, message).next(
                "leave --passphrase-file away; without a terminal: gpg-preset-passphrase, or a secret key file",
            ));
        }
        if path.as_os_str() == "gpg" {
            return Ok(Some(Unseal::Custodian(Opener::Gpg(GpgAgent::default()))));
        }
        let large = "give one secret key: gpg --export-secret-keys --armor NAME";
        let bytes = Zeroizing::new(read_input(Some(path), IDENTITY_BYTES_MAX, large)?);
        let unusable = |error: holdfast_seal::IdentityError| {
            let next = match error {
                holdfast_seal::IdentityError::WrongPassphrase => {
                    "try again; where the secret key is on a card: --identity gpg"
                }
                holdfast_seal::IdentityError::SecretMissing => {
                    "use gpg, which knows the card: --identity gpg; or the file that was exported with the secret key"
                }
                _ => "give an OpenPGP secret key: gpg --armor --export-secret-keys NAME",
            };
            Failure::new(Kind::WrongIdentity, format!("{}: {error}", path.display())).next(next)
        };
        let passphrase = match Identity::needs_passphrase(&bytes).map_err(unusable)? {
            true => Some(self.passphrase(path)?),
            false => None,
        };
        let identity = Identity::read(&bytes, passphrase.as_ref()).map_err(unusable)?;
        Ok(Some(Unseal::Custodian(Opener::Identity(identity))))
    }

    fn passphrase(&self, identity: &Path) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.passphrase_file {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|error| Failure::io(path.display(), &error))?;
            return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
        }
        if !output::interactive() {
            let message = format!("{} is locked with a passphrase", identity.display());
            return Err(Failure::new(Kind::WrongIdentity, message)
                .next("give it with --passphrase-file FILE, or run this on a terminal"));
        }
        let asked = rpassword::prompt_password(format!("Passphrase of {}: ", identity.display()));
        asked.map(Zeroizing::new).map_err(|error| Failure::io("the terminal", &error))
    }

    /// That one was named at all, before anything is asked.
    pub(crate) fn named(&self) -> Result<(), Failure> {
        match self.identity {
            Some(_) => Ok(()),
            None => Err(Failure::new(Kind::WrongIdentity, "this needs a custodian's secret key")
                .next("give it with --identity FILE, or --identity gpg")),
        }
    }
}

pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
