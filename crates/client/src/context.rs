//! The client context: a TOML file (mode 0600) that says where the vault is, how to know it, and who
//! calls. `HOLDFAST_SERVER`, `HOLDFAST_API_KEY` and `HOLDFAST_CA` (a file) each override one field.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use holdfast_types::Kind;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ClientError;

/// Largest context file, and CA file, that is read.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// What can be read of any context file. The first format has no number; later ones say theirs.
#[derive(Deserialize)]
struct Probe {
    format: Option<u32>,
}

/// What a client needs. Not `Debug`: it holds the API key.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// `https://host:port`.
    pub server: String,
    /// The vault's id, hex.
    #[serde(default)]
    pub vault_id: String,
    /// The fingerprint of the certificate that signs archives: the trust anchor of `verify`.
    #[serde(default)]
    pub signer: String,
    /// `k1:...`. Wiped on drop; what the TOML parser copied on the way is not.
    #[serde(default)]
    pub api_key: Zeroizing<String>,
    /// The vault's CA certificate, PEM.
    #[serde(default)]
    pub ca: String,
}

/// What is left where a context file is of no use.
const ANOTHER: &str = "give another one with --context FILE; an administrator makes one: holdfast identity create NAME \
                       --save FILE";

/// The vault's CA was named, and is not to be had there.
fn no_ca(path: &Path, error: &std::io::Error) -> ClientError {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::InvalidData => Kind::BadInput,
        _ => Kind::Other,
    };
    ClientError::new(kind, format!("cannot read HOLDFAST_CA {}: {error}", path.display()))
        .next("name a PEM file with the vault's CA there, or unset it: the context has the CA, too")
}

/// Where a context lies when nothing is said: the XDG configuration directory.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("holdfast").join("context.toml"))
}

/// Whether others than its owner may read or change a file that holds a secret, as a context does.
#[must_use]
pub fn others_may_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

/// Reads a text of a bounded size: what is named may be a device.
fn read_text(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(path)?;
    // At full size at once: growing would leave pieces of it in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX + 1));
    let most = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_string(&mut text)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is larger than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

impl Context {
    /// Reads a file as it is.
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let shown = path.display();
        let text = read_text(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                ClientError::new(Kind::NotFound, format!("there is no context file {shown}"))
                    .next("give --context FILE or set HOLDFAST_CONTEXT; holdfast init makes one")
            }
            std::io::ErrorKind::IsADirectory => ClientError::new(
                Kind::BadInput,
                format!("{shown} is a directory, not a context file"),
            )
            .next(ANOTHER),
            _ => ClientError::new(Kind::Other, format!("cannot read {shown}: {error}"))
                .next("check who may use that path, or give another one with --context FILE"),
        })?;
        Self::from_bytes(path, text.as_bytes())
    }

    /// Reads a file's content. `path` is for the message.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ClientError> {
        let shown = path.display();
        let text = std::str::from_utf8(bytes).map_err(|_| {
            ClientError::new(Kind::BadInput, format!("the context file {shown} is no text"))
                .next(ANOTHER)
        })?;
        if let Ok(Probe { format: Some(format) }) = toml::from_str(text) {
            let message = format!("the context file {shown} has format {format}, a newer one");
            return Err(ClientError::new(Kind::Newer, message).next("use a newer holdfast"));
        }
        // The parser's own message would quote the line, and that may be the key's.
        toml::from_str(text).map_err(|error| {
            let message = format!("the context file {shown} is damaged: {}", error.message());
            ClientError::new(Kind::BadInput, message).next(ANOTHER)
        })
    }

    /// Reads `path`, which must exist, or else the default place, which must where the environment
    /// names no server; then applies the environment. An empty variable counts as none.
    pub fn load(path: Option<&Path>) -> Result<Self, ClientError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| set(name).and_then(|value| value.into_string().ok());
        let server = text("HOLDFAST_SERVER");
        let mut context = match (path, default_path()) {
            (Some(path), _) => Self::read(path)?,
            (None, Some(path)) if path.exists() || server.is_none() => Self::read(&path)?,
            (None, None) if server.is_none() => {
                let message = "there is no configuration directory, so no client context";
                return Err(ClientError::new(Kind::NotFound, message)
                    .next("give --context FILE or set HOLDFAST_CONTEXT; holdfast init makes one"));
            }
            _ => Self::default(),
        };
        if let Some(server) = server {
            context.server = server;
        }
        if let Some(key) = text("HOLDFAST_API_KEY") {
            context.api_key = Zeroizing::new(key);
        }
        if let Some(ca) = set("HOLDFAST_CA") {
            let read = read_text(Path::new(&ca));
            context.ca = read.map_err(|error| no_ca(Path::new(&ca), &error))?.to_string();
        }
        Ok(context)
    }

    /// Its file's content: TOML, with the API key in it.
    pub fn to_text(&self) -> Result<Zeroizing<String>, ClientError> {
        toml::to_string(self).map(Zeroizing::new).map_err(|error| {
            ClientError::new(Kind::Internal, format!("a context cannot be written: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.toml");
        let context = Context {
            server: "https://127.0.0.1:7373".into(),
            vault_id: "ab".repeat(16),
            signer: "cd".repeat(20),
            api_key: "k1:x".to_owned().into(),
            ca: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
        };
        std::fs::write(&path, context.to_text().unwrap().as_bytes()).unwrap();
        assert!(Context::read(&path).unwrap() == context);
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.toml");
        let check = |text: &str, want: Option<Kind>| {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Context::read(&path).err().map(|error| error.kind), want, "{text}");
        };
        check("server = \"x\"", None);
        check("format = 2\nserver = \"x\"\nlater = true", Some(Kind::Newer));
        check("format = \"x\"\nserver = \"x\"", Some(Kind::BadInput));
        check("server = \"x\"\nlater = true", Some(Kind::BadInput));
        check("", Some(Kind::BadInput));
    }

    #[test]
    fn errors_do_not_quote_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("context.toml");
        std::fs::write(&path, "server = \"x\"\napi_key = \"k1:secret").unwrap();
        let error = Context::read(&path).err().unwrap();
        assert_eq!(error.kind, Kind::BadInput);
        assert!(!error.message.contains("secret"), "{error}");
    }
}
