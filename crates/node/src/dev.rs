//! `server --dev`: a vault for trying out, in one command.
//!
//! Everything lies in one directory: `data/`, `soft.key`, `custodian.asc` (a throw-away custodian's
//! secret key, without a passphrase), `context.toml`, `archives/`, `server.pid`. Run again, it only starts.
//! Where the address is taken nothing is made; where it changes, `context.toml` says the new one.
//!
//! While the first start is at work `MAKING` stands beside them and holds the custodian's certificate. So a
//! run after a killed one goes on with that custodian, whose key it never replaces, makes the rest again
//! as [`init`](crate::init) does, and takes and drills the first archive as far as the ledger does not know it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_client::Context;
use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::{Disk, Fs, make_dirs, read_to_vec, remove_if_there, write_atomic, write_new};
use holdfast_store::DataDir;
use holdfast_types::limits::CERTIFICATE_BYTES_MAX;
use holdfast_types::{Kind, VaultId};
use zeroize::Zeroizing;

use crate::address::Listening;
use crate::beside::{absolute, path_text};
use crate::init::init_with;
use crate::serve::{serve_at, take};
use crate::{Event, InitOptions, LISTEN_DEFAULT, Made, NodeError, ServeOptions};

/// There while a first start is at work; the custodian's certificate.
const MAKING: &str = "MAKING";
/// Largest secret key that this makes.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What `server --dev` is told.
#[derive(Clone, Debug, Default)]
pub struct DevOptions {
    /// The directory of everything.
    pub home: PathBuf,
    /// Where to listen.
    pub listen: Option<String>,
}

/// Makes the vault where there is none (`made` is then called), and serves it as [`serve`](crate::serve) does.
pub fn dev(
    options: &DevOptions,
    made: &dyn Fn(&Made, &Path),
    tell: &mut dyn FnMut(Event),
) -> Result<(), NodeError> {
    let home = absolute(&options.home)?;
    let fs = Disk::shared();
    let early = match (&options.listen, is_whole(&*fs, &home.join("data"))?) {
        // Where it listened last time, which only the vault itself knows.
        (None, true) => None,
        (asked, _) => {
            let asked = asked.as_deref().unwrap_or(LISTEN_DEFAULT);
            Some(take(Listening::parse(asked)?.address)?)
        }
    };
    if let Some(new) = make_dev(&fs, options)? {
        made(&new, &home);
    }
    let context = home.join("context.toml");
    let listening = |place: &Listening| {
        if let Err(error) = follow(&*fs, &context, place.server()) {
            tracing::warn!(%error, "{} may name another address", context.display());
        }
    };
    let served = ServeOptions {
        data: home.join("data"),
        soft_key: Some(home.join("soft.key")),
        listen: options.listen.clone(),
        archives: Some(home.join("archives")),
        pid_file: Some(home.join("server.pid")),
    };
    serve_at(&served, early, &listening, tell)
}

/// Lets the context say where the server is now. One that is gone stays so.
fn follow(fs: &dyn Fs, path: &Path, server: String) -> Result<(), NodeError> {
    if !fs.exists(path)? {
        return Ok(());
    }
    let text = Zeroizing::new(read_to_vec(fs, path, SECRET_BYTES_MAX)?);
    let context = Context::from_bytes(path, &text)?;
    if context.server != server {
        write_atomic(fs, path, Context { server, ..context }.to_text()?.as_bytes())?;
    }
    Ok(())
}

/// Whether there is a vault that was made to its end.
fn is_whole(fs: &dyn Fs, data: &Path) -> Result<bool, NodeError> {
    let unfinished =
        DataDir::unfinished(fs, data).map_err(|error| NodeError::of_data(data, error))?.is_some();
    Ok(!unfinished && fs.exists(&data.join("vault.json"))?)
}

/// The first half of [`dev`], on any file system: makes the vault, or the rest of it after a killed run;
/// `None` where it is there as a whole.
pub fn make_dev(fs: &Arc<dyn Fs>, options: &DevOptions) -> Result<Option<Made>, NodeError> {
    let home = absolute(&options.home)?;
    path_text(&home)?;
    let (data, making) = (home.join("data"), home.join(MAKING));
    let whole = is_whole(&**fs, &data)?;
    let resumed = fs.exists(&making)?;
    let made = match (whole, resumed) {
        (true, false) => return Ok(None),
        (true, true) => first_archive(fs, &home)?,
        (false, _) => make(fs, options, &home, resumed)?,
    };
    if made.first.is_some() {
        remove_if_there(&**fs, &making)?;
        fs.sync_dir(&home)?;
    }
    Ok(Some(made))
}

fn make(
    fs: &Arc<dyn Fs>,
    options: &DevOptions,
    home: &Path,
    resumed: bool,
) -> Result<Made, NodeError> {
    if !resumed {
        must_be_new(&**fs, home)?;
    }
    let archives = home.join("archives");
    make_dirs(&**fs, &archives)?;
    let (secret, certificate) = custodian(&**fs, home)?;
    let init = InitOptions {
        data: home.join("data"),
        custodians: vec![(home.join("custodian.asc").display().to_string(), certificate)],
        soft_key: Some(home.join("soft.key")),
        context: Some(home.join("context.toml")),
        listen: options.listen.clone(),
    };
    init_with(fs, &init, Some(archives), Some(&secret))
}

/// Leftovers of another vault may be all that opens an archive: they are never overwritten or cleared.
fn must_be_new(fs: &dyn Fs, home: &Path) -> Result<(), NodeError> {
    for name in ["custodian.asc", "soft.key", "context.toml"] {
        let path = home.join(name);
        if fs.exists(&path)? {
            let message = format!("{} exists, but there is no vault beside it", path.display());
            return Err(NodeError::new(Kind::Exists, message).next(format!(
                "get the vault back with holdfast restore ARCHIVE --identity {}, or remove the file, or \
                 choose another --data",
                home.join("custodian.asc").display()
            )));
        }
    }
    if !fs.exists(home)? {
        return Ok(());
    }
    // What a start that failed early leaves is ours; anything else is somebody's.
    let ours = ["archives", "data", "server.pid", ".server.pid.tmp", ".MAKING.tmp"];
    let ours = |name: &std::ffi::OsStr| ours.iter().any(|it| name == *it);
    if fs.exists(&home.join("vault.json"))? {
        let message = format!("{} is the data directory of a vault", home.display());
        return Err(NodeError::new(Kind::Exists, message)
            .next(format!("serve it without --dev: holdfast server --data {}", home.display())));
    }
    if let Some(entry) = fs.read_dir(home)?.iter().find(|entry| !ours(&entry.name)) {
        let (home, name) = (home.display(), entry.name.to_string_lossy());
        let message = format!("{home} is not empty, and holds no vault of --dev: {name}");
        return Err(NodeError::new(Kind::Exists, message).next("choose another --data"));
    }
    Ok(())
}

/// The throw-away custodian's secret key and certificate: the killed run's, or a new one. The certificate
/// is durable before the key is there, and the key before anything is sealed to it.
fn custodian(fs: &dyn Fs, home: &Path) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), NodeError> {
    let (path, making) = (home.join("custodian.asc"), home.join(MAKING));
    if fs.exists(&path)? {
        let secret = Zeroizing::new(read_to_vec(fs, &path, SECRET_BYTES_MAX)?);
        return Ok((secret, read_to_vec(fs, &making, CERTIFICATE_BYTES_MAX)?));
    }
    let user_id = "Throw-away custodian (holdfast server --dev)";
    let (secret, certificate) = holdfast_seal::generate_custodian(user_id, SystemClock.now())
        .map_err(|error| NodeError::new(Kind::Internal, error.to_string()))?;
    write_atomic(fs, &making, &certificate)?;
    write_new(fs, &path, secret.as_bytes())?;
    Ok((Zeroizing::new(secret.as_bytes().to_vec()), certificate))
}

/// A whole vault whose first start was killed: what it lacks of its first archive and the drills of that.
fn first_archive(fs: &Arc<dyn Fs>, home: &Path) -> Result<Made, NodeError> {
    let archives = home.join("archives");
    let path = home.join("context.toml");
    let context = Context::from_bytes(&path, &read_to_vec(&**fs, &path, SECRET_BYTES_MAX)?)?;
    let secret = Zeroizing::new(read_to_vec(&**fs, &home.join("custodian.asc"), SECRET_BYTES_MAX)?);
    let data = home.join("data");
    let taken = crate::first::take(fs, &data, Some(archives), &context.signer, Some(&secret));
    let (first, first_failed) = match taken {
        Ok(first) => (Some(first), None),
        Err(error) => (None, Some(error)),
    };
    Ok(Made {
        vault_id: context.vault_id.parse().unwrap_or(VaultId::default()),
        signer: context.signer,
        soft_key: home.join("soft.key"),
        context: path,
        first,
        first_failed,
    })
}
