//! Opening a node: data directory, state, root key, log, cluster, audit log, service. In this order, so
//! that the first thing that is wrong is the one that is reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_cluster::{Clock, Cluster, Config, Room, SystemClock};
use holdfast_crypto::SecretBytes;
use holdfast_fs::Fs;
use holdfast_keyring::{Keyring, KeyringError, SecretRef};
use holdfast_machine::{View, ViewExt as _};
use holdfast_records::{
    Listen, NodeIdentity, Record as _, RecordError, RootGeneration, SoftSlot, Vault,
};
use holdfast_recovery::ArchiveError;
use holdfast_service::audit::{Audit, Limits};
use holdfast_service::{Level, Parts, Service, SlotInfo, Warning};
use holdfast_store::log::Log;
use holdfast_store::{CACHE_BYTES_DEFAULT, DataDir, DiskStore, Fence, StateStore as _};
use holdfast_types::{Generation, Kind, Millis, VaultId};

use crate::address::Listening;
use crate::error::{NEWER, RESTORE_NEWEST};
use crate::{NodeError, softkey};

/// A vault that stood still longer than this, by the clock at its start, is more likely a wrong clock.
const CLOCK_AHEAD_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// What somebody who asks for the status may wait for its disks.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// A node that is ready to serve.
pub(crate) struct Opened {
    pub(crate) service: Arc<Service>,
    pub(crate) vault_id: VaultId,
    pub(crate) listen: Option<String>,
    ca_seed: SecretBytes,
    ca: Vec<u8>,
    cluster: Cluster,
    audit: Audit,
    fence: Fence,
    data: DataDir,
}

/// Opens the node in `data`.
pub(crate) fn open(
    fs: &Arc<dyn Fs>,
    data: &Path,
    soft_key: Option<&Path>,
    archives: Option<PathBuf>,
) -> Result<Opened, NodeError> {
    // Places go into the ledger: a relative path would mean nothing to who reads it there.
    let data = &crate::beside::as_absolute(data);
    crate::beside::path_text(data)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dir =
        DataDir::open(Arc::clone(fs), data).map_err(|error| NodeError::of_data(data, error))?;
    let node = dir.marker().node_id;
    let vault_id = dir.marker().vault_id;
    let mut store = DiskStore::open(Arc::clone(fs), &dir.state(), CACHE_BYTES_DEFAULT)?;
    must_be_of(vault_id, &store.view(), &dir)?;
    count_start(&mut store)?;
    let listen = local(&store, Listen::KEY, Listen::from_bytes)?.map(|listen| listen.addr);
    let keyring = Arc::new(Keyring::new(vault_id));
    let soft = unseal(&**fs, &mut store, &keyring, data, soft_key)?;

    let fence = store.fence();
    let (log, opened) = Log::open(Arc::clone(fs), &dir.log())?;
    if let Some(torn) = opened.torn {
        tracing::info!(?torn, "cut a torn tail off the log: nothing acknowledged was in it");
    }
    let room = Some(Room { fs: Arc::clone(fs), dir: dir.root().to_owned() });
    let config = Config { room, ..Config::new(node) };
    let cluster = Cluster::start(config, store, log, Arc::clone(&clock))?;
    let view = cluster.view();
    let (ca_seed, ca) = ca(&view, &keyring)?;
    let now = clock.now();
    let audit = Audit::open(Arc::clone(fs), &dir.audit(), node, now, Limits::default()).map_err(
        |error| match error.kind() {
            Kind::NoSpace => NodeError::new(Kind::NoSpace, error.to_string())
                .next("make room on the disk of the data directory, then start the server again"),
            Kind::Damaged => NodeError::new(Kind::Damaged, error.to_string()),
            _ => NodeError::new(Kind::Other, format!("the audit log: {error}")),
        },
    )?;
    let archives = archives.unwrap_or_else(|| dir.archives());
    let service = Service::open(Parts {
        cluster: cluster.clone(),
        keyring,
        audit: audit.clone(),
        clock,
        fs: Arc::clone(fs),
        node,
        data: dir.root().to_owned(),
        archives,
        warnings: softkey::readable_by_others(Path::new(&soft.recipient))
            .into_iter()
            .chain(crate::writers::others(dir.root(), &dir.archives()))
            .chain(clock_ahead(view.head().at, now))
            .collect(),
        soft: Some(soft),
        disk_patience: DISK_PATIENCE,
    })?;
    Ok(Opened { service, vault_id, listen, ca_seed, ca, cluster, audit, fence, data: dir })
}

impl Opened {
    /// The listener's TLS configuration.
    pub(crate) fn tls(&self, listen: &Listening) -> Result<rustls::ServerConfig, NodeError> {
        crate::tls::server(self.vault_id, self.ca_seed.expose_secret(), &self.ca, listen)
    }

    /// Its part in the cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Stops it in order: the state is durable, then the audit log, then the lock is given back.
    /// Whoever still holds its service (a call that did not end, a backup) writes nothing any more.
    pub(crate) async fn close(self) -> Result<(), NodeError> {
        let Self { service, cluster, audit, fence, data, .. } = self;
        let stopped = cluster.shutdown().await;
        audit.close();
        // The last who goes leaves a state that need not be repaired.
        drop((service, cluster));
        fence.close();
        drop(data);
        Ok(stopped?)
    }
}

fn local<T>(
    store: &DiskStore,
    key: &[u8],
    read: impl Fn(&[u8]) -> Result<T, RecordError>,
) -> Result<Option<T>, NodeError> {
    let bytes = store.get_local(key)?;
    let record = bytes.map(|bytes| read(&bytes)).transpose();
    record.map_err(|error| unread("a local record of this node", &error))
}

/// A record that does not parse: a newer program's, or damaged.
fn unread(what: &str, error: &RecordError) -> NodeError {
    let message = format!("{what}: {error}");
    match error {
        RecordError::Schema { .. } => NodeError::new(Kind::Newer, message).next(NEWER),
        RecordError::Key(_) | RecordError::Body(_) => {
            NodeError::new(Kind::Damaged, message).next(RESTORE_NEWEST)
        }
    }
}

/// That the directory's marker, which no checksum protects, names the vault of the state in it: keys are tried by that
/// name, and would be called wrong.
fn must_be_of(vault_id: VaultId, view: &impl View, dir: &DataDir) -> Result<(), NodeError> {
    let row = view.live(Vault::TABLE, &[]).map_err(|error| damaged(&error.to_string()))?;
    let row = row.ok_or_else(|| damaged("there is no record of the vault"))?;
    let vault = Vault::decode(row.schema, &[], &row.body);
    let found = vault.map_err(|error| unread("the record of the vault", &error))?.vault_id;
    if found == vault_id {
        return Ok(());
    }
    let marker = dir.root().join("vault.json");
    let message =
        format!("{} is damaged: the state beside it is vault {found}'s", marker.display());
    Err(NodeError::new(Kind::Damaged, message)
        .next(format!("put {found} there again as vault_id; or {RESTORE_NEWEST}")))
}

/// How often this node was started: a clone or a rolled-back disk shows by it.
fn count_start(store: &mut DiskStore) -> Result<(), NodeError> {
    if let Some(mut identity) = local(store, NodeIdentity::KEY, NodeIdentity::from_bytes)? {
        identity.boot += 1;
        store.put_local(NodeIdentity::KEY, &identity.to_bytes())?;
    }
    Ok(())
}

/// Opens the root with this node's soft key, and remembers where that lies.
fn unseal(
    fs: &dyn Fs,
    store: &mut DiskStore,
    keyring: &Keyring,
    data: &Path,
    asked: Option<&Path>,
) -> Result<SlotInfo, NodeError> {
    let slot = local(store, SoftSlot::KEY, SoftSlot::from_bytes)?;
    let mut slot = slot.ok_or_else(|| softkey::lost("this node has no soft slot"))?;
    let path = match asked {
        Some(_) => softkey::place(asked, slot.slot_id, data)?,
        None => PathBuf::from(&slot.key_path),
    };
    let key = softkey::read(fs, &path)?;
    let root = root(&store.view(), slot.generation)?;
    let opened = keyring.open_soft(slot.generation, slot.slot_id, &slot.sealed, &key, &root.kcv);
    opened.map_err(|error| match error {
        KeyringError::SoftKeyWrong | KeyringError::RootMismatch(_) => {
            softkey::lost(&format!("the soft key {} does not open this vault", path.display()))
        }
        other => other.into(),
    })?;
    keyring.check_canary(slot.generation, &root.canary)?;
    let shown = path.display().to_string();
    if shown != slot.key_path {
        slot.key_path.clone_from(&shown);
        store.put_local(SoftSlot::KEY, &slot.to_bytes())?;
    }
    Ok(SlotInfo {
        slot_id: slot.slot_id,
        generation: slot.generation,
        kind: "soft",
        custodian: None,
        recipient: shown,
        archived: false,
    })
}

fn damaged(what: &str) -> NodeError {
    NodeError::new(Kind::Damaged, format!("the state: {what}")).next(RESTORE_NEWEST)
}

fn root(view: &impl View, generation: Generation) -> Result<RootGeneration, NodeError> {
    let key = generation.0.to_be_bytes();
    let row = view.live(RootGeneration::TABLE, &key);
    let row = row.map_err(|error| damaged(&error.to_string()))?;
    let row = row.ok_or_else(|| damaged("there is no record of the root key"))?;
    let record = RootGeneration::decode(row.schema, &key, &row.body);
    record.map_err(|error| unread("the record of the root key", &error))
}

/// The newest CA: its seed and its certificate.
fn ca(view: &impl View, keyring: &Keyring) -> Result<(SecretBytes, Vec<u8>), NodeError> {
    let newest = crate::tls::newest_ca(view).map_err(|error| match error {
        ArchiveError::Record(error) => unread("the record of the certificate authority", &error),
        error => damaged(&error.to_string()),
    });
    let ca = newest?.ok_or_else(|| damaged("there is no certificate authority"))?;
    let what = SecretRef::ClusterSecret { id: ca.secret_id, n: ca.n, kind: ca.kind };
    Ok((keyring.unwrap_secret(what, &ca.wrapped)?, ca.public))
}

/// What is worth saying where the state's newest change is long ago by this clock. The first change takes
/// the state's time there, and it never goes back.
fn clock_ahead(state: Millis, now: Millis) -> Option<Warning> {
    let days = now.since(state) / (24 * 60 * 60 * 1000);
    (now.since(state) > CLOCK_AHEAD_MS).then(|| Warning {
        level: Level::Warning,
        what: format!("this host's clock was {days} days ahead of the newest change when the server started"),
        next: "if the vault was not off for so long, set the clock (timedatectl set-ntp true) and restart it"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use holdfast_fs::{Fs as _, Mem};
    use holdfast_machine::{Model, RowSink as _};
    use holdfast_records::{ClusterSecret, SecretKind};
    use holdfast_types::{Epoch, EpochId, Revision, Row, SecretId, Value};

    use super::*;
    use crate::{InitOptions, init_in};

    const DATA: &str = "/srv/data";

    /// A vault in memory.
    fn made() -> (Mem, VaultId) {
        let mem = Mem::new();
        let options = InitOptions {
            data: DATA.into(),
            soft_key: Some("/keys/soft.key".into()),
            context: Some("/config/context.toml".into()),
            ..InitOptions::default()
        };
        let vault_id = init_in(&mem.shared(), &options).unwrap().vault_id;
        (mem, vault_id)
    }

    #[test]
    fn what_a_newer_program_wrote_is_not_called_damaged() {
        let epoch =
            Epoch { n: 1, id: EpochId([1; 16]), parent: EpochId::default(), base: Revision(0) };
        let record = ClusterSecret {
            secret_id: SecretId([2; 16]),
            n: 1,
            kind: SecretKind::Ca,
            created: Millis(1),
            public: Vec::new(),
            generation: Generation(1),
            wrapped: Vec::new(),
        };
        let failed = |schema, record: &ClusterSecret| {
            let mut model = Model::new(epoch);
            let body = record.encode().bytes;
            let value = Value { schema, rev: Revision(1), at: Millis(1), body };
            model.put(&Row { table: ClusterSecret::TABLE, key: record.key(), value }).unwrap();
            ca(&model, &Keyring::new(VaultId([3; 16]))).unwrap_err()
        };
        let error = failed(2, &record);
        assert_eq!(error.kind, Kind::Newer, "{error}");
        let wrapped = |format| ClusterSecret { wrapped: vec![format; 64], ..record.clone() };
        let error = failed(1, &wrapped(2));
        assert_eq!(error.kind, Kind::Newer, "{error}");
        assert!(error.next.is_some());
        let error = failed(1, &wrapped(0));
        assert_eq!(error.kind, Kind::Damaged, "{error}");
        assert!(error.next.is_some());
    }

    #[test]
    fn a_marker_that_is_damaged_or_lost_is_not_the_fault_of_a_key() {
        let (mem, vault_id) = made();
        let data = Path::new(DATA);
        let vault_id = vault_id.to_string();
        let marker = data.join("vault.json");
        let text = holdfast_fs::read_to_vec(&mem, &marker, 1000).unwrap();
        let text = String::from_utf8(text).unwrap();
        let digit = if vault_id.starts_with('0') { '1' } else { '0' };
        let flipped = text.replacen(&vault_id, &format!("{digit}{}", &vault_id[1..]), 1);
        assert_ne!(flipped, text);
        holdfast_fs::write_atomic(&mem, &marker, flipped.as_bytes()).unwrap();
        let failed = || open(&mem.shared(), data, None, None).err().unwrap();
        assert_eq!(failed().kind, Kind::Damaged);
        assert!(failed().next.unwrap().contains(&vault_id));
        mem.remove_file(&marker).unwrap();
        assert_eq!(failed().kind, Kind::Damaged);
        assert!(failed().message.contains("vault.json"), "{}", failed());
    }

    #[test]
    fn whoever_holds_a_service_writes_nothing_after_the_node_was_closed() {
        let (mem, _) = made();
        let data = Path::new(DATA);
        let runtime = crate::serve::runtime().unwrap();
        let held = runtime.block_on(async {
            let node = open(&mem.shared(), data, None, None).unwrap();
            let held = node.service.clone();
            node.close().await.unwrap();
            held
        });
        let next = DataDir::open(mem.shared(), data).expect("the lock was given back");
        let ops = mem.ops();
        drop(held);
        assert_eq!(mem.ops(), ops, "written to what is another's");
        drop(next);
        runtime.block_on(async {
            open(&mem.shared(), data, None, None).unwrap().close().await.unwrap();
        });
    }
}
