//! `server --dev`: a vault for trying out, in one command.
//!
//! Everything lies in one directory: `data/`, `soft.key`, `custodian.asc` (a throw-away custodian's
//! secret key, without a passphrase), `context.toml`, `archives/`, `server.pid`. Run again, it only starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_types::Kind;

use crate::init::init_with;
use crate::{InitOptions, Made, NodeError, ServeOptions, serve};

/// What `server --dev` is told.
#[derive(Clone, Debug, Default)]
pub struct DevOptions {
    /// The directory of everything.
    pub home: PathBuf,
    /// Where to listen.
    pub listen: Option<String>,
}

/// Makes the vault where there is none (`made` is then called), and serves it.
pub fn dev(
    options: &DevOptions,
    made: impl FnOnce(&Made, &Path),
    ready: impl FnOnce(SocketAddr),
) -> Result<(), NodeError> {
    let home = std::path::absolute(&options.home).map_err(|error| {
        NodeError::new(Kind::Other, format!("{}: {error}", options.home.display()))
    })?;
    let data = home.join("data");
    if !data.join("vault.json").exists() {
        made(&make(options, &home)?, &home);
    }
    let served = ServeOptions {
        data,
        soft_key: Some(home.join("soft.key")),
        listen: options.listen.clone(),
        archives: Some(home.join("archives")),
        pid_file: Some(home.join("server.pid")),
    };
    serve(&served, ready)
}

fn make(options: &DevOptions, home: &Path) -> Result<Made, NodeError> {
    // Leftovers may be all that opens an archive: they are never overwritten or cleared.
    for name in ["custodian.asc", "soft.key", "context.toml"] {
        let path = home.join(name);
        if path.exists() {
            let message = format!("{} exists, but there is no vault beside it", path.display());
            return Err(NodeError::new(Kind::Exists, message).next(format!(
                "get the vault back with holdfast restore ARCHIVE --identity {}, or remove the file, or \
                 choose another --data",
                home.join("custodian.asc").display()
            )));
        }
    }
    let failed = |what: &Path, error: std::io::Error| {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull => Kind::NoSpace,
            _ => Kind::Other,
        };
        NodeError::new(kind, format!("cannot write {}: {error}", what.display()))
    };
    std::fs::create_dir_all(home).map_err(|error| failed(home, error))?;
    let archives = home.join("archives");
    std::fs::create_dir_all(&archives).map_err(|error| failed(&archives, error))?;
    let user_id = "Throw-away custodian (holdfast server --dev)";
    let (secret, certificate) = holdfast_seal::generate_custodian(user_id, SystemClock.now())
        .map_err(|error| NodeError::new(Kind::Internal, error.to_string()))?;
    let custodian = home.join("custodian.asc");
    write_private(&custodian, secret.as_bytes()).map_err(|error| failed(&custodian, error))?;
    let init = InitOptions {
        data: home.join("data"),
        custodians: vec![(custodian.display().to_string(), certificate)],
        soft_key: Some(home.join("soft.key")),
        context: Some(home.join("context.toml")),
        listen: options.listen.clone(),
    };
    let made = init_with(&init, Some(archives), Some(secret.as_bytes()));
    if made.is_err() {
        // Ours, and nothing is sealed to it yet.
        _ = std::fs::remove_file(&custodian);
    }
    made
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
