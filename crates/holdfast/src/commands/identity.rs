//! `holdfast identity ...`

use std::path::PathBuf;

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::{ApiKey, ApiKeyError, Client, Context, segment};
use holdfast_types::Kind;

use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Make an identity and its API key
    #[command(after_help = "Example: holdfast identity create app --policy app --save app.toml")]
    Create {
        /// Its name
        name: String,
        /// `admin` may do everything, `user` what its policy allows
        #[arg(long, default_value = "user", value_parser = ["admin", "user"])]
        privilege: String,
        /// A user's enclave, which never changes
        #[arg(long, short, default_value = "default", value_name = "NAME")]
        enclave: String,
        /// A user's policy
        #[arg(long, value_name = "NAME")]
        policy: Option<String>,
        /// Register this identity (h1:...); its API key was made elsewhere
        #[arg(long, value_name = "H1")]
        identity: Option<String>,
        /// Write a client context with the new API key here (0600) instead of printing the key
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
    /// List identities
    Ls,
    /// Show an identity
    Show {
        /// Its name or h1:...
        which: String,
    },
    /// Remove an identity
    Rm {
        /// Its name or h1:...
        which: String,
    },
}

impl Identity {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Create { name, privilege, enclave, policy, identity, save } => {
                let key = match identity {
                    Some(_) => None,
                    None => Some(ApiKey::generate().map_err(unusable)?),
                };
                let own = key.as_ref().map(ApiKey::identity).transpose().map_err(unusable)?;
                let user = privilege == "user";
                let body = wire::NewIdentity {
                    name: name.clone(),
                    identity: own.map_or_else(
                        || identity.clone().unwrap_or_default(),
                        |own| own.to_string(),
                    ),
                    privilege: privilege.clone(),
                    enclave: user.then(|| enclave.clone()),
                    policy: policy.clone(),
                };
                if let Some(path) = save.as_ref().filter(|path| path.exists()) {
                    let message = format!("{} exists", path.display());
                    return Err(Failure::new(Kind::Exists, message));
                }
                let made: wire::Identity = client.post("/identities", &body).await?;
                created(global, client.context(), &made, key.as_ref(), save.as_ref())
            }
            Self::Ls => list(global, &client.get("/identities").await?),
            Self::Show { which } => show(global, &client.get(&path(which)).await?),
            Self::Rm { which } => show(global, &client.delete(&path(which)).await?),
        }
    }
}

fn unusable(error: ApiKeyError) -> Failure {
    Failure::new(Kind::Internal, error.to_string())
}

fn path(which: &str) -> String {
    format!("/identities/{}", segment(which))
}

fn created(
    global: &Global,
    context: &Context,
    made: &wire::Identity,
    key: Option<&ApiKey>,
    save: Option<&PathBuf>,
) -> Done {
    if let (Some(path), Some(key)) = (save, key) {
        let api_key = key.expose_text().to_string();
        Context { api_key, ..context.clone() }.write_new(path)?;
    }
    let shown = key.filter(|_| save.is_none()).map(ApiKey::expose_text);
    if global.json {
        #[derive(serde::Serialize)]
        struct Created<'a> {
            #[serde(flatten)]
            identity: &'a wire::Identity,
            #[serde(skip_serializing_if = "Option::is_none")]
            api_key: Option<&'a str>,
        }
        let api_key = shown.as_ref().map(|text| text.as_str());
        return output::json(&Created { identity: made, api_key });
    }
    if global.quiet {
        return output::line(shown.as_ref().map_or(made.identity.as_str(), |text| text.as_str()));
    }
    show(global, made)?;
    match shown {
        Some(text) => output::line(format!("api_key    {}", *text)),
        None => Ok(()),
    }
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
