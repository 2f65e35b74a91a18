//! The client context: a TOML file (mode 0600) that says where the vault is, how to know it, and who
//! calls. `HOLDFAST_SERVER`, `HOLDFAST_API_KEY` and `HOLDFAST_CA` (a file) each override one field.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use holdfast_types::Kind;
use serde::{Deserialize, Serialize};

use crate::ClientError;

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
    /// `k1:...`.
    #[serde(default)]
    pub api_key: String,
    /// The vault's CA certificate, PEM.
    #[serde(default)]
    pub ca: String,
}

/// Where a context lies when nothing is said: the XDG configuration directory.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("holdfast").join("context.toml"))
}

impl Context {
    /// Reads a file as it is.
    pub fn read(path: &Path) -> Result<Self, ClientError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                ClientError::new(Kind::NotFound, format!("there is no context file {shown}"))
                    .next("give --context FILE or set HOLDFAST_CONTEXT; holdfast init makes one")
            }
            _ => ClientError::new(Kind::Other, format!("cannot read {shown}: {error}")),
        })?;
        // The parser's own message would quote the line, and that may be the key's.
        toml::from_str(&text).map_err(|error| {
            let message = format!("the context file {shown} is damaged: {}", error.message());
            ClientError::new(Kind::BadInput, message)
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
            _ => Self::default(),
        };
        if let Some(server) = server {
            context.server = server;
        }
        if let Some(key) = text("HOLDFAST_API_KEY") {
            context.api_key = key;
        }
        if let Some(ca) = set("HOLDFAST_CA") {
            let read = std::fs::read_to_string(&ca);
            context.ca = read.map_err(|error| {
                let message = format!("cannot read HOLDFAST_CA {}: {error}", ca.display());
                ClientError::new(Kind::BadInput, message)
            })?;
        }
        Ok(context)
    }

    /// Writes a new file, readable by its owner only. Never over an existing one.
    pub fn write_new(&self, path: &Path) -> Result<(), ClientError> {
        let failed = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::AlreadyExists => Kind::Exists,
                std::io::ErrorKind::StorageFull => Kind::NoSpace,
                _ => Kind::Other,
            };
            let message = format!("cannot write the context file {}: {error}", path.display());
            ClientError::new(kind, message).next("choose another place with --context FILE")
        };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let text = toml::to_string(self).map_err(|error| failed(std::io::Error::other(error)))?;
        let text = zeroize::Zeroizing::new(text);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path);
        let file = file.as_mut().map_err(|error| failed(std::io::Error::from(error.kind())))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_context_reads_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/context.toml");
        let context = Context {
            server: "https://127.0.0.1:7373".into(),
            vault_id: "ab".repeat(16),
            signer: "cd".repeat(20),
            api_key: "k1:x".into(),
            ca: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into(),
        };
        context.write_new(&path).unwrap();
        assert!(Context::read(&path).unwrap() == context);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(context.write_new(&path).unwrap_err().kind, Kind::Exists);
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
