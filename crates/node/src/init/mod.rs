//! `init`: a new vault in an empty directory.
//!
//! Order: everything is written and durable under the `INCOMPLETE` marker, the soft key after the
//! state, the context after the soft key, and the marker goes last. A killed run leaves a directory that
//! the next run of the same command clears, with the soft key and the context that it had made.

mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_client::{ApiKey, Context};
use holdfast_cluster::{Clock, SystemClock, seed_id, seed_log, seed_membership};
use holdfast_crypto::random_array;
use holdfast_fs::{Disk, Fs};
use holdfast_keyring::SoftKey;
use holdfast_machine::{Head, RowSink as _};
use holdfast_records::{Listen, NodeIdentity};
use holdfast_seal::Certificate;
use holdfast_store::log::Log;
use holdfast_store::{Applied, DataDir, DiskStore, Marker};
use holdfast_types::limits::RECIPIENTS_MAX;
use holdfast_types::{Epoch, EpochId, Kind, Millis, NodeId, Revision, SlotId, VaultId};

use crate::beside::{self, Left};
use crate::{First, LISTEN_DEFAULT, NodeError, softkey, tls};
use rows::{Founded, Founding, found};

/// What `init` is told.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The data directory: missing or empty.
    pub data: PathBuf,
    /// The custodians' OpenPGP certificates: (file name, content).
    pub custodians: Vec<(String, Vec<u8>)>,
    /// Where the soft key goes; the configuration directory where nothing is said.
    pub soft_key: Option<PathBuf>,
    /// Where the client context goes; the configuration directory where nothing is said.
    pub context: Option<PathBuf>,
    /// Where the server listens.
    pub listen: Option<String>,
}

/// What `init` made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// The vault.
    pub vault_id: VaultId,
    /// The fingerprint of the certificate that signs its archives.
    pub signer: String,
    /// The soft key's file.
    pub soft_key: PathBuf,
    /// The client context's file.
    pub context: PathBuf,
    /// The first archive; `None` without a custodian, or after a restore.
    pub first: Option<First>,
    /// Why there is no first archive, or none that was drilled, although there is a custodian. The vault stands.
    pub first_failed: Option<NodeError>,
}

/// Makes a vault, and takes its first archive where there is a custodian. Interrupted before it is a vault, it
/// leaves nothing.
pub fn init(options: &InitOptions) -> Result<Made, NodeError> {
    crate::interrupt::watch_interruptions()?;
    init_in(&Disk::shared(), options)
}

/// As [`init`], on another file system.
pub fn init_in(fs: &Arc<dyn Fs>, options: &InitOptions) -> Result<Made, NodeError> {
    init_with(fs, options, None, None)
}

/// As [`init_in`], with archives elsewhere, and a custodian's secret key for the first drill.
pub(crate) fn init_with(
    fs: &Arc<dyn Fs>,
    options: &InitOptions,
    archives: Option<PathBuf>,
    secret: Option<&[u8]>,
) -> Result<Made, NodeError> {
    let mut made = make(fs, options)?;
    if !options.custodians.is_empty() {
        match crate::first::take(fs, &options.data, archives, &made.signer, secret) {
            Ok(first) => made.first = Some(first),
            Err(error) => made.first_failed = Some(error),
        }
    }
    Ok(made)
}

fn make(fs: &Arc<dyn Fs>, options: &InitOptions) -> Result<Made, NodeError> {
    let now = SystemClock.now();
    let custodians = certificates(options, now)?;
    let listen = options.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
    let listen = crate::address::Listening::parse(listen)?;
    let context_path = context_path(options.context.as_ref())?;
    let slot = SlotId(random_array());
    let soft_path = softkey::place(options.soft_key.as_deref(), slot, &options.data)?;
    let left = free_places(&**fs, &options.data, &soft_path, &context_path)?;
    let existed = fs.exists(&options.data)?;

    let vault_id = VaultId(random_array());
    let drawn = draw(vault_id, (slot, &soft_path), (now, &custodians))?;
    let node_id = NodeId(u64::from_be_bytes(random_array()));
    let marker = Marker { vault_id, node_id };
    let data = DataDir::create(Arc::clone(fs), &options.data, marker)
        .map_err(|error| NodeError::of_data(&options.data, error))?;
    left.clear(&**fs)?;
    let made = fill(fs, &data, &drawn, (&soft_path, &context_path), &listen);
    if made.is_err() {
        abandon(&**fs, data, existed);
    }
    made
}

/// A vault before anything of it is written.
struct Drawn {
    head: Head,
    founded: Founded,
    api_key: ApiKey,
    soft_key: SoftKey,
}

/// Draws all keys, and makes the first rows.
fn draw(
    vault_id: VaultId,
    (slot, soft_path): (SlotId, &Path),
    (now, custodians): (Millis, &[Certificate]),
) -> Result<Drawn, NodeError> {
    let base = Revision::epoch_base(1).unwrap_or_default();
    let epoch = Epoch { n: 1, id: EpochId(random_array()), parent: EpochId::default(), base };
    let api_key = ApiKey::generate().map_err(key_failed)?;
    let soft_key = SoftKey::generate();
    let founded = found(&Founding {
        vault_id,
        now,
        revision: base.next(),
        incarnation: epoch.id,
        administrator: api_key.identity().map_err(key_failed)?,
        custodians,
        soft_slot: slot,
        soft_key: &soft_key,
        soft_path: soft_path.display().to_string(),
    })?;
    let head = Head { revision: base.next(), at: now, ..Head::new(epoch) };
    Ok(Drawn { head, founded, api_key, soft_key })
}

/// Fills the directory that [`make`] made.
fn fill(
    fs: &Arc<dyn Fs>,
    data: &DataDir,
    drawn: &Drawn,
    (soft_path, context_path): (&Path, &Path),
    listen: &crate::address::Listening,
) -> Result<Made, NodeError> {
    let Drawn { head, founded, api_key, soft_key } = drawn;
    write_state(fs, data, head.clone(), founded, &listen.to_string())?;

    let vault_id = data.marker().vault_id;
    let context = Context {
        server: listen.server(),
        vault_id: vault_id.to_string(),
        signer: founded.signer.clone(),
        api_key: api_key.expose_text(),
        ca: tls::pem(&founded.ca),
    };
    crate::interrupt::go_on()?;
    publish(&**fs, data, (soft_path, soft_key), (context_path, &context))?;
    Ok(Made {
        vault_id,
        signer: founded.signer.clone(),
        soft_key: soft_path.to_owned(),
        context: context_path.to_owned(),
        first: None,
        first_failed: None,
    })
}

/// What an earlier attempt left outside its data; an error where something else lies in the way of this one.
pub(crate) fn free_places(
    fs: &dyn Fs,
    data: &Path,
    soft_path: &Path,
    context_path: &Path,
) -> Result<Left, NodeError> {
    // Said first: soft key and context exist, too, after a whole init.
    DataDir::may_be_created(fs, data).map_err(|error| NodeError::of_data(data, error))?;
    let left = Left::by(fs, data)?;
    left.must_be_free(fs, context_path, beside::context_exists)?;
    left.must_be_free(fs, soft_path, softkey::exists)?;
    Ok(left)
}

/// The last steps of an init or a restore: the marker names soft key and context, they are made, and the
/// marker goes.
pub(crate) fn publish(
    fs: &dyn Fs,
    data: &DataDir,
    (soft_path, soft_key): (&Path, &SoftKey),
    (context_path, context): (&Path, &Context),
) -> Result<(), NodeError> {
    let text = context.to_text()?;
    let files = [(soft_path, &soft_key.expose_secret()[..]), (context_path, text.as_bytes())];
    let of_data = |error| NodeError::of_data(data.root(), error);
    data.note(&beside::note(&files)?).map_err(of_data)?;
    softkey::write_new(fs, soft_path, soft_key)?;
    let written = beside::write_context(fs, context_path, context);
    let finished = written.and_then(|()| data.finish().map_err(of_data));
    // Ours, and of no use to anybody without the data; but where the marker is gone the vault is whole, and
    // whoever opens it makes that durable first.
    if finished.is_err() && DataDir::unfinished(fs, data.root()).is_ok_and(|note| note.is_some()) {
        _ = Left::by(fs, data.root()).and_then(|left| left.clear(fs));
    }
    finished
}

/// Takes an unfinished directory away, with what belongs to it elsewhere; one that `existed` before stays,
/// empty. What cannot be removed says itself that it is unfinished, and the next attempt clears it.
pub(crate) fn abandon(fs: &dyn Fs, data: DataDir, existed: bool) {
    let root = data.root().to_owned();
    if !DataDir::unfinished(fs, &root).is_ok_and(|note| note.is_some()) {
        return;
    }
    let removed = Left::by(fs, &root).and_then(|left| left.clear(fs)).and_then(|()| {
        data.abandon()?;
        if !existed {
            fs.remove_dir_all(&root)?;
        }
        Ok(())
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "the unfinished directory {} stays", root.display());
    }
}

pub(crate) fn key_failed(error: holdfast_client::ApiKeyError) -> NodeError {
    NodeError::new(Kind::Internal, error.to_string())
}

fn certificates(options: &InitOptions, now: Millis) -> Result<Vec<Certificate>, NodeError> {
    let found = options.custodians.len();
    if found > RECIPIENTS_MAX {
        let message =
            format!("{found} custodians are given, and an archive has at most {RECIPIENTS_MAX}");
        return Err(NodeError::new(Kind::BadInput, message).next("choose who can restore it"));
    }
    let mut read: Vec<Certificate> = Vec::new();
    for (file, bytes) in &options.custodians {
        let certificate = Certificate::read(bytes, now).map_err(|error| {
            NodeError::new(Kind::BadInput, format!("custodian {file}: {error}"))
                .next(error.advice())
        })?;
        if read.iter().any(|other| other.fingerprint() == certificate.fingerprint()) {
            let message = format!("custodian {file} is given twice");
            return Err(NodeError::new(Kind::BadInput, message).next("name each of them once"));
        }
        read.push(certificate);
    }
    Ok(read)
}

pub(crate) fn context_path(asked: Option<&PathBuf>) -> Result<PathBuf, NodeError> {
    let path = asked.cloned().or_else(holdfast_client::default_path);
    path.ok_or_else(|| {
        NodeError::new(Kind::BadInput, "there is no configuration directory for the context")
            .next("say where it goes with --context FILE")
    })
}

/// State, local rows and log, all durable.
fn write_state(
    fs: &Arc<dyn Fs>,
    data: &DataDir,
    head: Head,
    founded: &Founded,
    listen: &str,
) -> Result<(), NodeError> {
    let node = data.marker().node_id;
    let applied = Applied { log: Some(seed_id(node)), membership: seed_membership(node, listen) };
    let mut loader = DiskStore::loader(Arc::clone(fs), &data.state(), head, applied)?;
    for row in &founded.rows {
        let put = loader.put(row);
        put.map_err(|error| NodeError::new(Kind::Other, format!("first rows: {error}")))?;
    }
    let mut store = loader.finish(None)?;
    store.put_local(holdfast_records::SoftSlot::KEY, &founded.soft.to_bytes())?;
    store.put_local(Listen::KEY, &Listen { addr: listen.to_owned() }.to_bytes())?;
    store.put_local(NodeIdentity::KEY, &NodeIdentity { node_id: node, boot: 0 }.to_bytes())?;
    drop(store);
    let (mut log, _) = Log::open(Arc::clone(fs), &data.log())?;
    seed_log(&mut log, node)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> InitOptions {
        InitOptions {
            data: dir.join("data"),
            soft_key: Some(dir.join("soft.key")),
            context: Some(dir.join("context.toml")),
            ..InitOptions::default()
        }
    }

    #[test]
    fn a_vault_is_made_once_and_never_over_something() {
        let dir = tempfile::tempdir().unwrap();
        let made = make(&Disk::shared(), &options(dir.path())).unwrap();
        let context = Context::read(&made.context).ok().unwrap();
        assert_eq!(context.vault_id, made.vault_id.to_string());
        assert_eq!(context.signer, made.signer);
        assert!(!dir.path().join("data/INCOMPLETE").exists());
        let other = InitOptions {
            soft_key: Some(dir.path().join("other.key")),
            context: Some(dir.path().join("other.toml")),
            ..options(dir.path())
        };
        assert_eq!(init(&other).unwrap_err().kind, Kind::Exists);
        assert!(!dir.path().join("other.key").exists());
    }

    #[test]
    fn a_killed_init_is_cleared_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/state.1")).unwrap();
        std::fs::write(dir.path().join("data/state.1/state.redb"), b"half").unwrap();
        std::fs::write(dir.path().join("data/INCOMPLETE"), b"").unwrap();
        init(&options(dir.path())).unwrap();
    }
}
