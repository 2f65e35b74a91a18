//! `holdfast policy ...`

use clap::Subcommand;
use holdfast_api::wire;
use holdfast_client::{Client, segment};

use crate::Done;
use crate::cli::{Global, InEnclave};
use crate::output;

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast policy set app --allow 'key.encrypt:orders-*'
  holdfast policy show app")]
pub(crate) enum Policy {
    /// Make or replace a policy
    ///
    /// A rule is ACTION:NAME. The action is one (key.encrypt), all of a noun (key.*) or all (*); the name
    /// is exact or ends with one *. What no rule allows is denied, and a denial wins. Rules go by a key's name:
    /// a ciphertext by that of its key, a deleted key by its last one.
    ///
    /// Actions: key.create, key.list, key.show, key.rotate, key.delete, key.undelete, key.encrypt, key.decrypt,
    /// key.generate; and sheet.read:sheet, status.read:status.
    #[command(after_help = "Example:
  holdfast policy set app --allow 'key.encrypt:orders-*' --allow 'key.decrypt:orders-*' \\
    --deny 'key.*:orders-secret'")]
    #[command(group = clap::ArgGroup::new("rules").required(true).multiple(true))]
    Set {
        /// Its name
        name: String,
        /// ACTION:NAME that is allowed; give it once for each
        #[arg(long, value_name = "RULE", group = "rules")]
        allow: Vec<String>,
        /// ACTION:NAME that is denied, whatever is allowed
        #[arg(long, value_name = "RULE", group = "rules")]
        deny: Vec<String>,
        /// No rule: whoever has it may do nothing
        #[arg(long, group = "rules", conflicts_with_all = ["allow", "deny"])]
        empty: bool,
        #[command(flatten)]
        within: InEnclave,
    },
    /// List policies
    #[command(after_help = "Example: holdfast policy ls -e default")]
    Ls {
        #[command(flatten)]
        within: InEnclave,
    },
    /// Show a policy
    #[command(after_help = "Example: holdfast policy show app")]
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        within: InEnclave,
    },
    /// Remove a policy; who has it may then do nothing
    #[command(after_help = "Example: holdfast policy rm app")]
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        within: InEnclave,
    },
}

impl Policy {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Set { name, allow, deny, within, empty: _ } => {
                let body = wire::Rules { allow: Some(allow.clone()), deny: Some(deny.clone()) };
                show(global, &client.put(&path(within, name), &body).await?)
            }
            Self::Show { name, within } => show(global, &client.get(&path(within, name)).await?),
            Self::Rm { name, within } => show(global, &client.delete(&path(within, name)).await?),
            Self::Ls { within } => {
                let path = format!("/enclaves/{}/policies", segment(&within.enclave));
                let list: wire::Policies = client.get(&path).await?;
                if global.json {
                    return output::json(&list);
                }
                if global.quiet {
                    return list.policies.iter().try_for_each(|policy| output::line(&policy.name));
                }
                let row = |policy: &wire::Policy| {
                    vec![policy.name.clone(), policy.allow.join(" "), policy.deny.join(" ")]
                };
                let rows: Vec<_> = list.policies.iter().map(row).collect();
                output::table(&["NAME", "ALLOW", "DENY"], &rows)
            }
        }
    }
}

fn path(within: &InEnclave, name: &str) -> String {
    format!("/enclaves/{}/policies/{}", segment(&within.enclave), segment(name))
}

fn show(global: &Global, policy: &wire::Policy) -> Done {
    if global.json {
        return output::json(policy);
    }
    if global.quiet {
        return output::line(&policy.name);
    }
    let mut text = format!("name   {}", policy.name);
    for rule in &policy.allow {
        text.push_str(&format!("\nallow  {rule}"));
    }
    for rule in &policy.deny {
        text.push_str(&format!("\ndeny   {rule}"));
    }
    output::line(text)
}
