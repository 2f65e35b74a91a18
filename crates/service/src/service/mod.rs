//! The service: what its use cases share. Each file holds the use cases of one subject.

mod access;
mod archives;
mod backup;
mod caches;
mod commit;
mod crypto;
mod custodians;
mod disks;
mod drills;
mod enclaves;
mod enter;
mod heads;
mod keyring_errors;
mod keys;
mod read;
mod rules;
mod said;
mod sheet;
mod status;
mod weak;

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use holdfast_cluster::{Clock, Cluster};
use holdfast_fs::Fs;
use holdfast_keyring::Keyring;
use holdfast_records::{SeenWithData, Vault};
use holdfast_types::{IdentityId, JobId, Kind, Millis, NodeId, VaultId};
use parking_lot::Mutex;

use crate::audit::Audit;
use crate::{Error, SlotInfo, Status, Warning};
use caches::Caches;
use enter::Actor;
use heads::AuditGap;

pub use backup::BackupStream;

/// What is done behind a pointer: it is compiled here, and not once more by each crate and for each type that
/// waits for it. Not where an operation with a key finds here what it needs.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What a service is made of.
pub struct Parts {
    /// The state and the way to change it.
    pub cluster: Cluster,
    /// The open root, and every use of keys.
    pub keyring: Arc<Keyring>,
    /// This node's audit log.
    pub audit: Audit,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The file system under the archive directory.
    pub fs: Arc<dyn Fs>,
    /// This node.
    pub node: NodeId,
    /// The data directory, to tell whether archives share its disk.
    pub data: PathBuf,
    /// The vault's own archive directory.
    pub archives: PathBuf,
    /// This node's soft slot, for `slot ls`.
    pub soft: Option<SlotInfo>,
    /// What starting the node found weak (memory not locked, ...), shown by `status` as long as it runs.
    pub warnings: Vec<Warning>,
    /// How long `status` waits for the disks: a network disk whose server is gone never answers.
    pub disk_patience: Duration,
}

/// The use cases. Used as `Arc<Service>`.
pub struct Service {
    cluster: Cluster,
    keyring: Arc<Keyring>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    fs: Arc<dyn Fs>,
    node: NodeId,
    data: PathBuf,
    archives: PathBuf,
    soft: Option<SlotInfo>,
    warnings: Vec<Warning>,
    disk_patience: Duration,
    vault_id: VaultId,
    caches: Arc<Caches>,
    system: Arc<Actor>,
    /// Backups of this node that run or wait for their report.
    backups: Mutex<HashMap<JobId, Arc<backup::Backup>>>,
    /// Whose turn it is to begin one.
    beginning: tokio::sync::Mutex<()>,
    /// Whose turn it is to decide again, of those whose change met another one.
    deciding_again: tokio::sync::Mutex<()>,
    /// Questions to the majority: begun, answered, and whose turn it is.
    asked: AtomicU64,
    answered: AtomicU64,
    asking: tokio::sync::Mutex<()>,
    /// The archives of clients that were seen on the disk of the data.
    seen: Mutex<SeenWithData>,
    /// Whose turn it is to look at the disks.
    looking: Arc<tokio::sync::Mutex<()>>,
    /// The last status, and when it was begun; and whose turn it is to find out the next.
    last_status: tokio::sync::Mutex<Option<(Instant, Arc<Status>)>>,
    /// When it was opened, by this process and by the clock.
    opened: (Instant, Millis),
    /// What the audit log lacked when it was opened, until the ledger has it.
    audit_gap: Mutex<Option<AuditGap>>,
    /// Held while the audit head, and with it the gap, goes into the state.
    recording_head: tokio::sync::Mutex<()>,
}

impl Service {
    /// A service over a started cluster; from now on its caches follow the feed.
    ///
    /// Errors: the state holds no vault, or cannot be read.
    pub fn open(parts: Parts) -> Result<Arc<Self>, Error> {
        let view = parts.cluster.view();
        let vault = read::get::<Vault>(&view, &[])?
            .ok_or_else(|| Error::new(Kind::NoVault, "the data directory holds no vault"))?;
        // Looked at once: lines that follow must not hide that others are missing.
        let audit_gap = Mutex::new(heads::gap(&view, parts.node, &parts.audit)?);
        let seen = disks::seen_with_data(&parts.cluster)?;
        let caches = Arc::new(Caches::new());
        let (followed, keyring) = (caches.clone(), parts.keyring.clone());
        parts.cluster.subscribe(Box::new(move |changes| followed.changed(changes, &keyring)));
        let name = "system".parse().map_err(|_| Error::new(Kind::Internal, "a name"))?;
        let identity = IdentityId::SYSTEM;
        let system =
            Actor { identity, name, admin: true, enclave: None, policy: None, policy_name: None };
        let now = parts.clock.now();
        Ok(Arc::new(Self {
            cluster: parts.cluster,
            keyring: parts.keyring,
            audit: parts.audit,
            clock: parts.clock,
            fs: parts.fs,
            node: parts.node,
            data: parts.data,
            archives: parts.archives,
            soft: parts.soft,
            warnings: parts.warnings,
            disk_patience: parts.disk_patience,
            vault_id: vault.record.vault_id,
            caches,
            system: Arc::new(system),
            backups: Mutex::new(HashMap::new()),
            beginning: tokio::sync::Mutex::new(()),
            deciding_again: tokio::sync::Mutex::new(()),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            asking: tokio::sync::Mutex::new(()),
            seen: Mutex::new(seen),
            looking: Arc::default(),
            last_status: tokio::sync::Mutex::new(None),
            opened: (Instant::now(), now),
            audit_gap,
            recording_head: tokio::sync::Mutex::new(()),
        }))
    }

    /// The vault it serves.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        self.vault_id
    }
}
