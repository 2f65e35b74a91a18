//! Who opens an archive: a custodian's secret key, in a file or in GnuPG.

use std::path::{Path, PathBuf};

use clap::Args;
use holdfast_recovery::Unseal;
use holdfast_seal::{GpgAgent, Identity, IdentityError, Opener};
use holdfast_types::Kind;
use zeroize::Zeroizing;

use crate::commands::read_input;
use crate::output::{self, Failure};
use crate::terminal;

/// Largest secret key file.
const IDENTITY_BYTES_MAX: usize = 1 << 20;

/// Largest passphrase file.
const PASSPHRASE_FILE_BYTES_MAX: usize = 64 << 10;

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

impl Secret {
    /// Both layers, through a custodian; `None` where none was named.
    pub(crate) fn unseal(&self) -> Result<Option<Unseal>, Failure> {
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
        let passphrase =
            match Identity::needs_passphrase(&bytes).map_err(|why| unusable(path, &why))? {
                true => Some(self.passphrase(path)?),
                false => None,
            };
        let identity = Identity::read(&bytes, passphrase.as_ref());
        let identity = identity.map_err(|why| unusable(path, &why))?;
        Ok(Some(Unseal::Custodian(Opener::Identity(identity))))
    }

    fn passphrase(&self, identity: &Path) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.passphrase_file {
            let large = "give a file with the passphrase in its first line, and nothing else";
            let bytes = Zeroizing::new(read_input(Some(path), PASSPHRASE_FILE_BYTES_MAX, large)?);
            let text = std::str::from_utf8(&bytes).map_err(|_| {
                Failure::new(Kind::BadInput, format!("{} is no text in UTF-8", path.display()))
                    .next(large)
            })?;
            return Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
        }
        let none = |message: String| {
            Failure::new(Kind::WrongIdentity, message)
                .next("give it with --passphrase-file FILE, or run this on a terminal")
        };
        if !output::interactive() {
            return Err(none(format!("{} is locked with a passphrase", identity.display())));
        }
        let asked = terminal::secret(&format!("Passphrase of {}: ", identity.display()))?;
        asked.ok_or_else(|| none(format!("no passphrase was typed for {}", identity.display())))
    }
}

fn unusable(path: &Path, error: &IdentityError) -> Failure {
    let next = match error {
        IdentityError::WrongPassphrase => {
            "try again; where the secret key is on a card: --identity gpg"
        }
        IdentityError::SecretMissing => {
            "use gpg, which knows the card: --identity gpg; or the file that was exported with the secret key"
        }
        _ => "give an OpenPGP secret key: gpg --armor --export-secret-keys NAME",
    };
    Failure::new(Kind::WrongIdentity, format!("{}: {error}", path.display())).next(next)
}
