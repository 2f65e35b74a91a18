//! `holdfast key ...`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use holdfast_api::wire;
use holdfast_client::{Client, segment};
use holdfast_types::limits::{CIPHERTEXT_OVERHEAD, PLAINTEXT_BYTES_MAX};
use holdfast_types::{KeyId, Kind};
use zeroize::Zeroizing;

use super::read_input;
use crate::Done;
use crate::cli::{ENCLAVE_DEFAULT, Global, InEnclave};
use crate::output::{self, Failure, when};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  holdfast key create orders
  echo 'attack at dawn' | holdfast key encrypt orders > note.hf
  holdfast key decrypt < note.hf")]
pub(crate) enum Key {
    /// Make a key: AES-256, version 1, active at once
    #[command(after_help = "Example: holdfast key create orders")]
    Create(Named),
    /// List keys, each with its newest version
    #[command(after_help = "Examples:
  holdfast key ls -e billing --json
  holdfast key ls --deleted                           what key undelete can bring back")]
    Ls(List),
    /// Show a key and its versions
    #[command(after_help = "Example: holdfast key show orders")]
    Show(Named),
    /// Make the next version; older ones then only decrypt
    #[command(after_help = "Example: holdfast key rotate orders")]
    Rotate(Named),
    /// Stop every use at once and free the name
    ///
    /// Nothing is destroyed: whoever still needs the key is heard, and undelete brings it back.
    #[command(after_help = "Example: holdfast key delete orders")]
    Delete(Named),
    /// Bring a deleted key back, all of its versions
    ///
    /// Rights go by name. So under another name only an administrator brings it back.
    #[command(after_help = "Examples:
  holdfast key undelete orders
  holdfast key undelete orders --name orders-old      where the name is taken by now")]
    Undelete(Undelete),
    /// Encrypt standard input: raw bytes in, raw ciphertext out
    ///
    /// At most 1 MiB. The ciphertext names its key and version. For more, encrypt the data yourself with a
    /// data key: holdfast key generate.
    Encrypt(Encrypt),
    /// Decrypt standard input: raw ciphertext in, raw bytes out
    ///
    /// The ciphertext names its key and version, so no name is needed. With a name it must be that key's, with an
    /// enclave one of that enclave's.
    Decrypt(Decrypt),
    /// Make a data key: 32 random bytes in plaintext and encrypted, base64
    ///
    /// Encrypt with the plaintext and forget it; keep the ciphertext beside the data, for key decrypt.
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Key
    name: String,
    #[command(flatten)]
    within: InEnclave,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The deleted keys instead: of one name the last deleted first, as key undelete takes it
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    within: InEnclave,
}

#[derive(Debug, Args)]
pub(crate) struct Undelete {
    /// The name it had
    key: String,
    /// A new name, where the old one is taken; for administrators
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Which of several deleted keys of that name
    #[arg(long, value_name = "ID")]
    key_id: Option<KeyId>,
    #[command(flatten)]
    within: InEnclave,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  echo 'attack at dawn' | holdfast key encrypt orders > note.hf
  holdfast key encrypt orders --aad invoice-17 -i invoice.pdf > invoice.hf")]
pub(crate) struct Encrypt {
    /// Key
    name: String,
    #[command(flatten)]
    within: InEnclave,
    #[command(flatten)]
    context: ContextArg,
    #[command(flatten)]
    input: InputArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast key decrypt < note.hf
  holdfast key decrypt --aad invoice-17 -i invoice.hf > invoice.pdf")]
pub(crate) struct Decrypt {
    /// Only if it belongs to this key
    #[arg(value_name = "KEY")]
    name: Option<String>,
    /// Only if it belongs to a key of this enclave [default: default with KEY, else any]
    #[arg(long, short, value_name = "NAME")]
    enclave: Option<String>,
    #[command(flatten)]
    context: ContextArg,
    #[command(flatten)]
    input: InputArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast key generate orders --json
  read -r PLAIN SEALED < <(holdfast key generate orders --quiet)
  echo \"$SEALED\" | base64 -d | holdfast key decrypt | base64      # is $PLAIN")]
pub(crate) struct Generate {
    /// Key
    name: String,
    #[command(flatten)]
    within: InEnclave,
    #[command(flatten)]
    context: ContextArg,
}

#[derive(Debug, Args)]
pub(crate) struct ContextArg {
    /// Authenticated with the data, and needed again to decrypt it: the `context` of the API
    #[arg(long = "aad", value_name = "TEXT", default_value = "", hide_default_value = true)]
    aad: String,
}

#[derive(Debug, Args)]
pub(crate) struct InputArg {
    /// Read this file instead of standard input
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
}

impl InputArg {
    /// At most `max` bytes; `too_large` says what to do with more.
    fn read(&self, max: usize, too_large: &str) -> Result<Vec<u8>, Failure> {
        read_input(self.input.as_deref(), max, too_large)
    }
}

impl ContextArg {
    fn bytes(&self) -> wire::Base64 {
        wire::Base64(self.aad.as_bytes().to_vec())
    }
}

impl Key {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        match self {
            Self::Create(key) => {
                let path = format!("/enclaves/{}/keys", segment(&key.within.enclave));
                let body = wire::Named { name: key.name.clone() };
                show(global, &client.post(&path, &body).await?)
            }
            Self::Ls(list) => list.run(global, client).await,
            Self::Show(key) => show(global, &client.get(&key.path()).await?),
            Self::Rotate(key) => {
                let path = format!("{}/rotate", key.path());
                show(global, &client.post(&path, &wire::Undelete::default()).await?)
            }
            Self::Delete(key) => show(global, &client.delete(&key.path()).await?),
            Self::Undelete(key) => {
                let path = format!("{}/undelete", path(&key.within.enclave, &key.key));
                let body = wire::Undelete {
                    name: key.name.clone(),
                    key_id: key.key_id.map(|id| id.to_string()),
                };
                let done = client.post(&path, &body).await.map_err(|error| match error.kind {
                    Kind::Exists => Failure::from(error).next("give it another one: --name OTHER"),
                    _ => error.into(),
                });
                show(global, &done?)
            }
            Self::Encrypt(encrypt) => encrypt.run(global, client).await,
            Self::Decrypt(decrypt) => decrypt.run(global, client).await,
            Self::Generate(generate) => generate.run(global, client).await,
        }
    }
}

fn path(enclave: &str, key: &str) -> String {
    format!("/enclaves/{}/keys/{}", segment(enclave), segment(key))
}

impl Named {
    fn path(&self) -> String {
        path(&self.within.enclave, &self.name)
    }
}

fn show(global: &Global, key: &wire::Key) -> Done {
    if global.json {
        return output::json(key);
    }
    if global.quiet {
        return output::line(&key.name);
    }
    let mut text = format!(
        "name     {}\nkey_id   {}\nversion  {}\nstate    {}",
        key.name, key.key_id, key.version, key.state
    );
    let versions = key.versions.as_deref().filter(|versions| versions.len() > 1);
    for version in versions.unwrap_or_default() {
        let (n, state, at) = (version.version, &version.state, when(version.changed));
        text.push_str(&format!("\n  version {n}: {state}, last changed {at}"));
    }
    output::line(text)
}

impl List {
    async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let path = format!("/enclaves/{}/keys", segment(&self.within.enclave));
        let mut keys: Vec<wire::Key> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = format!("{path}?deleted={}", self.deleted);
            if let Some(name) = after {
                query.push_str(&format!("&after={}", segment(&name)));
            }
            let page: wire::Keys = client.get(&query).await?;
            keys.extend(page.keys);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if global.json {
            return output::json(&wire::Keys { keys, next: None });
        }
        if global.quiet {
            return keys.iter().try_for_each(|key| output::line(&key.name));
        }
        let row = |key: &wire::Key| {
            vec![
                key.name.clone(),
                key.version.to_string(),
                key.state.clone(),
                key.key_id.clone(),
                when(key.deleted.filter(|_| self.deleted).unwrap_or(key.created)),
            ]
        };
        let rows: Vec<_> = keys.iter().map(row).collect();
        let last = if self.deleted { "DELETED" } else { "CREATED" };
        output::table(&["NAME", "VERSION", "STATE", "KEY_ID", last], &rows)
    }
}

const LARGE: &str = "encrypt the data yourself with a data key, and keep that key's ciphertext: holdfast key generate";

impl Encrypt {
    async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let bytes = self.input.read(PLAINTEXT_BYTES_MAX, LARGE)?;
        let plaintext = wire::SecretBase64::from(bytes);
        let body = wire::Encrypt { plaintext, context: self.context.bytes() };
        let path = format!("{}/encrypt", path(&self.within.enclave, &self.name));
        let done: wire::Encrypted = client.post(&path, &body).await?;
        if global.json { output::json(&done) } else { output::raw(&done.ciphertext.0) }
    }
}

impl Decrypt {
    async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let max = PLAINTEXT_BYTES_MAX + CIPHERTEXT_OVERHEAD;
        let bytes = self.input.read(max, "give one ciphertext of holdfast's")?;
        let ciphertext = wire::Base64(bytes);
        let body = wire::Decrypt { ciphertext, context: self.context.bytes() };
        let url = match &self.name {
            Some(name) => {
                let enclave = self.enclave.as_deref().unwrap_or(ENCLAVE_DEFAULT);
                format!("{}/decrypt", path(enclave, name))
            }
            None => "/decrypt".to_owned(),
        };
        let done: wire::Decrypted = client.post(&url, &body).await?;
        // With a name the server has held both against the ciphertext.
        if let Some(asked) = self.enclave.as_ref().filter(|asked| **asked != done.enclave) {
            let (enclave, name, id) = (&done.enclave, &done.name, &done.key_id);
            let message = format!(
                "the ciphertext is not of a key of enclave {asked}: it wants {enclave}/{name} ({id})"
            );
            return Err(Failure::new(Kind::NotAuthentic, message)
                .next("decrypt without naming an enclave: the ciphertext says which key"));
        }
        if global.json { output::json(&done) } else { output::raw(&done.plaintext) }
    }
}

impl Generate {
    async fn run(&self, global: &Global, client: &mut Client) -> Result<(), Failure> {
        let path = format!("{}/generate", path(&self.within.enclave, &self.name));
        let body = wire::Generate { context: self.context.bytes() };
        let done: wire::Generated = client.post(&path, &body).await?;
        if global.json {
            return output::json(&done);
        }
        let base64 = &data_encoding::BASE64;
        let plaintext = Zeroizing::new(base64.encode(&done.plaintext));
        let ciphertext = base64.encode(&done.ciphertext.0);
        let text = match global.quiet {
            true => format!("{} {ciphertext}", &*plaintext),
            false => format!("plaintext   {}\nciphertext  {ciphertext}", &*plaintext),
        };
        output::line(&*Zeroizing::new(text))
    }
}
