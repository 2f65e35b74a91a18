//! `holdfast custodian ...`

use std::path::{Path, PathBuf};

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::{Client, ClientError, segment};
use holdfast_seal::{Certificate, CertificateError};
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;
use holdfast_types::{Kind, Millis};

use super::read_input;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, when};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast custodian add john.asc
  holdfast custodian ls")]
pub(crate) enum Custodian {
    /// Add a custodian: recipient of archives from now on, and holder of a slot
    ///
    /// Only their certificate comes here, never their secret key. Archives that were made before stay
    /// closed to them: make a new one. The certificate of one who is a custodian, renewed (same fingerprint,
    /// another expiry or other encryption keys), is merged into the one they have: what either copy says is
    /// revoked stays revoked. Their name stays.
    #[command(after_help = "Example:
  gpg --export --armor --export-options export-minimal john@example.org > john.asc
  holdfast custodian add john.asc
  holdfast backup --output archives")]
    Add {
        /// Their OpenPGP certificate, armored or binary; - reads standard input
        file: PathBuf,
        /// A name; from the certificate where nothing is said. A custodian keeps theirs
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List custodians
    #[command(after_help = "Example: holdfast custodian ls")]
    Ls,
    /// Show a custodian
    #[command(after_help = "Example: holdfast custodian show john")]
    Show {
        /// Name, fingerprint or id
        which: String,
    },
    /// Drop a custodian; archives made before still open with their key
    #[command(
        after_help = "Example: holdfast custodian rm john && holdfast backup --output archives"
    )]
    Rm {
        /// Name, fingerprint or id
        which: String,
    },
}

impl Custodian {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Add { file, name } => {
                let large = "give one certificate, without other people's signatures: gpg --export \
                             --export-options export-minimal";
                let certificate = read_input(Some(file), CERTIFICATE_BYTES_MAX, large)?;
                not_secret(file, &certificate)?;
                let certificate = wire::Base64(certificate);
                let body = wire::NewCustodian { name: name.clone(), certificate };
                let added = client.post::<wire::CustodianAdded>("/custodians", &body).await;
                let added = added.map_err(|error| of_file(file, error))?;
                if global.json {
                    return output::json(&added);
                }
                show(global, &added.custodian)?;
                if added.renewed && !global.quiet {
                    output::note(format!(
                        "renewed: archives are sealed to this certificate of {} from now on; those made before \
                         still open as they did. Their slot is another one: print the sheet again",
                        added.custodian.name
                    ));
                }
                Ok(())
            }
            Self::Ls => list(global, &client.get("/custodians").await?),
            Self::Show { which } => show(global, &client.get(&path(which)).await?),
            Self::Rm { which } => {
                let removed: wire::CustodianRemoved = client.delete(&path(which)).await?;
                if global.json {
                    return output::json(&removed);
                }
                show(global, &removed.custodian)?;
                if !global.quiet {
                    output::note(&removed.note);
                }
                Ok(())
            }
        }
    }
}

/// Refuses a secret key before anybody hears of it.
fn not_secret(file: &Path, bytes: &[u8]) -> Done {
    // Whether it has expired is the vault's to say, and nothing else is asked here.
    match Certificate::read_stored(bytes, Millis(0)) {
        Err(error @ CertificateError::SecretKeyGiven) => {
            let message = format!("custodian {}: {error}", file.display());
            Err(Failure::new(Kind::BadInput, message).next(error.advice()))
        }
        _ => Ok(()),
    }
}

/// What the vault says of a certificate that it cannot name.
fn of_file(file: &Path, mut error: ClientError) -> ClientError {
    if let Some(why) = error.message.strip_prefix("the certificate: ") {
        error.message = format!("custodian {}: {why}", file.display());
    }
    error
}

fn path(which: &str) -> String {
    format!("/custodians/{}", segment(which))
}

fn show(global: &Global, custodian: &wire::Custodian) -> Done {
    if global.json {
        return output::json(custodian);
    }
    if global.quiet {
        return output::line(&custodian.name);
    }
    let none = || "never".to_owned();
    output::line(format!(
        "name         {}\ncustodian_id {}\nfingerprint  {}\nadded        {}\nexpires      {}\nslot_id      {}",
        custodian.name,
        custodian.custodian_id,
        custodian.fingerprint,
        when(custodian.added),
        custodian.expires.map_or_else(none, when),
        custodian.slot_id.as_deref().unwrap_or("none: no archive opens for them"),
    ))
}

fn list(global: &Global, list: &wire::Custodians) -> Done {
    if global.json {
        return output::json(list);
    }
    if global.quiet {
        return list.custodians.iter().try_for_each(|custodian| output::line(&custodian.name));
    }
    let row = |custodian: &wire::Custodian| {
        vec![
            custodian.name.clone(),
            custodian.fingerprint.clone(),
            when(custodian.added),
            custodian.expires.map_or_else(|| "never".to_owned(), when),
            custodian.custodian_id.clone(),
        ]
    };
    let rows: Vec<_> = list.custodians.iter().map(row).collect();
    output::table(&["NAME", "FINGERPRINT", "ADDED", "EXPIRES", "CUSTODIAN_ID"], &rows)
}
