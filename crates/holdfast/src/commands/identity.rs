//! `holdfast identity ...`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use holdfast_api::wire;
use holdfast_client::{ApiKey, ApiKeyError, Client, Context, segment};
use holdfast_types::{IdentityId, Kind};

use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Make an identity and its API key
    ///
    /// The API key is made here; the vault learns only its public half. An administrator may do everything.
    /// A user may do what its one policy allows, in its one enclave, and nothing without a policy.
    #[command(after_help = "Examples:
  holdfast policy set app --allow 'key.encrypt:orders-*'
  holdfast identity create app --policy app --save app.toml
  HOLDFAST_CONTEXT=app.toml holdfast key encrypt orders-1 < note > note.hf")]
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
    /// Write a client context with the new API key here (0600) instead of printing the key
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

impl Create {
    async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let user = self.privilege == "user";
        if !user && (self.enclave.is_some() || self.policy.is_some()) {
            let message = "an administrator may do everything, in every enclave";
            return Err(Failure::new(Kind::BadInput, message)
                .next("leave --enclave and --policy away, or make a user"));
        }
        let key = match &self.identity {
            Some(_) => None,
            None => Some(ApiKey::generate().map_err(unusable)?),
        };
        let own = key.as_ref().map(ApiKey::identity).transpose().map_err(unusable)?;
        let own = own.map(|own| own.to_string());
        let default = || "default".to_owned();
        let body = wire::NewIdentity {
            name: self.name.clone(),
            identity: own.or_else(|| self.identity.map(|id| id.to_string())).unwrap_or_default(),
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
        created(global, &made?, key.as_ref().filter(|_| self.save.is_none()))
    }
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
        return output::line(shown.as_ref().map_or(made.identity.as_str(), |text| text.as_str()));
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
        return output::line(&who.identity);
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
