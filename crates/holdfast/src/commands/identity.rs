//! `holdfast identity ...`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use holdfast_api::wire;
use holdfast_client::{ApiKey, ApiKeyError, Client, Context, segment};
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;
use holdfast_types::{IdentityId, Kind};

use super::read_input;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, when};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast identity create app --policy app --save app.toml
  holdfast identity ls")]
pub(crate) enum Identity {
    /// Make an identity and its API key
    ///
    /// The API key is made here; the vault learns only its public half. An administrator may do everything.
    /// A user may do what its one policy allows, in its one enclave, and nothing without a policy.
    ///
    /// With --quiet it prints what the next command needs: the API key, or the file that --save wrote, or the
    /// name where the key is elsewhere.
    #[command(after_help = "Examples:
  holdfast policy set app --allow 'key.encrypt:orders-*'
  holdfast identity create app --policy app --save app.toml
  holdfast key create orders-1
  echo 'attack at dawn' | HOLDFAST_CONTEXT=app.toml holdfast key encrypt orders-1 > note.hf

For a program that calls the API by itself, with a key that stays with it:
  openssl req -x509 -newkey ed25519 -nodes -subj /CN=app -days 3650 -keyout app.key -out app.crt
  holdfast identity create app --policy app --certificate app.crt --save-ca ca.pem")]
    Create(Create),
    /// List identities
    #[command(after_help = "Example: holdfast identity ls")]
    Ls,
    /// Show an identity
    #[command(after_help = "Example: holdfast identity show app")]
    Show {
        /// Its name or h1:...
        #[arg(value_parser = name_or_id)]
        which: String,
    },
    /// Remove an identity: its API key is refused from now on
    #[command(after_help = "Example: holdfast identity rm app")]
    Rm {
        /// Its name or h1:...
        #[arg(value_parser = name_or_id)]
        which: String,
    },
}

impl Identity {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Create(create) => create.run(global, client).await,
            Self::Ls => list(global, &client.get("/identities").await?),
            Self::Show { which } => show(global, &client.get(&path(which)).await?),
            Self::Rm { which } => show(global, &client.delete(&path(which)).await?),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name
    name: String,
    /// What it may do: everything, or what its policy allows
    #[arg(long, default_value = "user", value_parser = ["admin", "user"])]
    privilege: String,
    /// A user's enclave, which never changes [default: default]
    #[arg(long, short, value_name = "NAME")]
    enclave: Option<String>,
    /// A user's policy
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Register this identity (h1:...); its API key was made elsewhere and stays there
    #[arg(long, value_name = "H1", conflicts_with = "save")]
    identity: Option<IdentityId>,
    /// Register whoever calls with this X.509 certificate, PEM or DER; its private key stays where it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "identity"])]
    certificate: Option<PathBuf>,
    /// Write a client context with the new API key here (0600) instead of printing the key
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write the vault's CA certificate here, by which other programs know the vault: curl --cacert FILE
    #[arg(long, value_name = "FILE")]
    save_ca: Option<PathBuf>,
}

impl Create {
    async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let user = self.privilege == "user";
        if !user && (self.enclave.is_some() || self.policy.is_some()) {
            let message = "an administrator may do everything, in every enclave";
            return Err(Failure::new(Kind::BadInput, message)
                .next("leave --enclave and --policy away, or make a user"));
        }
        for file in self.save.iter().chain(&self.save_ca) {
            directory_is_there(file)?;
        }
        let given = match &self.certificate {
            Some(file) => Some(of_certificate(file)?),
            None => self.identity.map(|id| id.to_string()),
        };
        let key = match &given {
            Some(_) => None,
            None => Some(ApiKey::generate().map_err(unusable)?),
        };
        let own = key.as_ref().map(ApiKey::identity).transpose().map_err(unusable)?;
        let own = own.map(|own| own.to_string());
        if let Some(file) = &self.save_ca {
            save_ca(file, &client.context().ca)?;
        }
        let default = || "default".to_owned();
        let body = wire::NewIdentity {
            name: self.name.clone(),
            identity: own.or(given).unwrap_or_default(),
            privilege: self.privilege.clone(),
            enclave: user.then(|| self.enclave.clone().unwrap_or_else(default)),
            policy: self.policy.clone(),
        };
        // The key is on disk before the vault knows it: an identity whose key is lost helps nobody. And where
        // nothing can be asked, nothing is written that would be in the way of the next attempt.
        let saved = match (&self.save, &key) {
            (Some(path), Some(key)) => {
                client.connect().await?;
                Some(Saved::write(path, client.context(), key)?)
            }
            _ => None,
        };
        let made = client.post::<wire::Identity>("/identities", &body).await;
        if let Some(saved) = saved {
            saved.settle(made.as_ref().err().map(|error| error.kind));
        }
        let made = made?;
        if let (true, Some(path)) = (global.quiet && !global.json, &self.save) {
            return output::line(path.display());
        }
        let shown = key.as_ref().filter(|_| self.save.is_none());
        created(global, &made, shown).map_err(|failure| match (shown, failure) {
            (Some(_), Failure::Failed { kind, message, .. }) => {
                let name = &made.name;
                let lost = format!("{message}; identity {name} is made, and its API key is lost");
                Failure::new(kind, lost).next(format!(
                    "holdfast identity rm {name}, then make it again with --save FILE"
                ))
            }
            (_, failure) => failure,
        })
    }
}

/// Refuses a place whose directory is not there: what was misspelt is not made.
fn directory_is_there(file: &Path) -> Done {
    match file.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        None => Ok(()),
        Some(parent) => {
            let message = format!("there is no directory {}", parent.display());
            let next = "make it, or choose another place: --save FILE, --save-ca FILE";
            Err(Failure::new(Kind::NotFound, message).next(next))
        }
    }
}

/// Who calls with the certificate in `file`.
fn of_certificate(file: &Path) -> Result<String, Failure> {
    let bytes = read_input(Some(file), CERTIFICATE_BYTES_MAX, "give one X.509 certificate")?;
    let identity = holdfast_client::identity_of(&bytes).map_err(|error| {
        let message = format!("{}: {error}", file.display());
        Failure::new(Kind::BadInput, message).next(
            "make a key and its certificate: openssl req -x509 -newkey ed25519 -nodes -subj /CN=app \
             -days 3650 -keyout app.key -out app.crt",
        )
    })?;
    Ok(identity.to_string())
}

/// Writes the CA, which is no secret, where nothing else lies.
fn save_ca(file: &Path, ca: &str) -> Done {
    let is_as_long = |there: std::fs::Metadata| there.is_file() && there.len() == ca.len() as u64;
    let there = file.metadata().is_ok_and(is_as_long).then(|| std::fs::read(file).ok()).flatten();
    if there.is_some_and(|there| there == ca.as_bytes()) {
        return Ok(());
    }
    let new = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    let written = new.and_then(|mut new| new.write_all(ca.as_bytes()));
    written.map_err(|error| Failure::io(file.display(), &error))
}

/// A context file whose API key the vault may know or not. Dropped before that is settled, as by Ctrl-C, it
/// stays, and says so.
struct Saved<'a> {
    path: &'a Path,
    settled: bool,
}

impl<'a> Saved<'a> {
    fn write(path: &'a Path, like: &Context, key: &ApiKey) -> Result<Self, Failure> {
        let context = Context { api_key: key.expose_text(), ..like.clone() };
        let written = holdfast_node::write_context(&holdfast_fs::Disk, path, &context);
        written
            .map_err(|error| Failure::from(error).next("choose another place with --save FILE"))?;
        Ok(Self { path, settled: false })
    }

    /// The vault answered, or the connection broke (`Unavailable`): only then is it unknown what was made.
    fn settle(mut self, failed: Option<Kind>) {
        self.settled = failed != Some(Kind::Unavailable);
        if self.settled && failed.is_some() {
            _ = std::fs::remove_file(self.path);
        }
    }
}

impl Drop for Saved<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let path = self.path.display();
            output::note(format!(
                "{path} stays: the identity may have been made; holdfast identity ls says whether it was"
            ));
        }
    }
}

fn unusable(error: ApiKeyError) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}

/// A name, which the vault judges, or an id, which is one or a mistake.
fn name_or_id(text: &str) -> Result<String, holdfast_types::ParseIdError> {
    if text.starts_with("h1:") {
        text.parse::<IdentityId>()?;
    }
    Ok(text.to_owned())
}

fn path(which: &str) -> String {
    format!("/identities/{}", segment(which))
}

/// Says what was made, with the API key that is kept nowhere else.
fn created(global: &Global, made: &wire::Identity, key: Option<&ApiKey>) -> Done {
    let shown = key.map(ApiKey::expose_text);
    if global.json {
        #[derive(serde::Serialize)]
        struct Created<'a> {
            #[serde(flatten)]
            identity: &'a wire::Identity,
            api_key: Option<&'a str>,
        }
        let api_key = shown.as_ref().map(|text| text.as_str());
        return output::json(&Created { identity: made, api_key });
    }
    if global.quiet {
        return output::line(shown.as_ref().map_or(made.name.as_str(), |text| text.as_str()));
    }
    show(global, made)?;
    if let Some(text) = shown {
        output::line(&*zeroize::Zeroizing::new(format!("api_key    {}", *text)))?;
        output::note("the API key is shown this once; --save FILE makes a client context of it");
    }
    if made.privilege == "user" && made.policy.is_none() {
        output::note("it may do nothing: policies are given at its making, with --policy NAME");
    }
    Ok(())
}

fn show(global: &Global, who: &wire::Identity) -> Done {
    if global.json {
        return output::json(who);
    }
    if global.quiet {
        return output::line(&who.name);
    }
    let mut text = format!(
        "name       {}\nidentity   {}\nprivilege  {}",
        who.name, who.identity, who.privilege
    );
    if let Some(enclave) = &who.enclave {
        text.push_str(&format!("\nenclave    {enclave}"));
    }
    if let Some(policy) = &who.policy {
        text.push_str(&format!("\npolicy     {policy}"));
    }
    output::line(text)
}

fn list(global: &Global, list: &wire::Identities) -> Done {
    if global.json {
        return output::json(list);
    }
    if global.quiet {
        return list.identities.iter().try_for_each(|who| output::line(&who.name));
    }
    let row = |who: &wire::Identity| {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            who.name.clone(),
            who.privilege.clone(),
            or_none(&who.enclave),
            or_none(&who.policy),
            who.identity.clone(),
            when(who.created),
        ]
    };
    let rows: Vec<_> = list.identities.iter().map(row).collect();
    output::table(&["NAME", "PRIVILEGE", "ENCLAVE", "POLICY", "IDENTITY", "CREATED"], &rows)
}
