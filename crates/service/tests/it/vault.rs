//! A vault in a temporary directory: first rows, store, log, cluster, keyring, audit, service.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_cluster::{Clock, Cluster, Config, ManualClock, seed_id, seed_log, seed_membership};
use holdfast_crypto::random_array;
use holdfast_fs::{Disk, Fs};
use holdfast_keyring::{Keyring, SecretRef};
use holdfast_machine::{Head, Outcome, RowSink as _, Txn, View as _};
use holdfast_records::{
    ClusterSecret, Enclave, EnclaveName, EnclaveState, Identity, KeyVersion, Privilege, Record,
    RootGeneration, SecretKind, Vault as VaultRecord,
};
use holdfast_seal::{SigningKey, SigningPart};
use holdfast_service::audit::{Audit, Limits};
use holdfast_service::{
    AddCustodian, Caller, CreateIdentity, Decrypt, Encrypt, Error, KeySelector, Parts, Service,
    SetPolicy,
};
use holdfast_store::log::Log;
use holdfast_store::{Applied, DiskStore};
use holdfast_types::{
    Draft, EnclaveId, Epoch, EpochId, Expect, IdentityId, Millis, Name, NodeId, Revision, Row,
    SecretId, TxnId, Value, VaultId,
};

pub const NODE: NodeId = NodeId(7);
pub const ADMIN: IdentityId = IdentityId([1; 32]);
const START: Millis = Millis(1_764_000_000_000);
/// A disk that takes longer on a busy machine does not answer at all.
const DISK_PATIENCE: Duration = Duration::from_secs(60);
/// How long something that happens soon may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Vault {
    pub dir: tempfile::TempDir,
    pub service: Arc<Service>,
    pub cluster: Cluster,
    pub audit: Audit,
    clock: Arc<ManualClock>,
    keyring: Arc<Keyring>,
}

impl Vault {
    /// A vault with one administrator and the enclave `default`.
    pub fn new() -> Self {
        Self::with_archives_on(Arc::new(Disk), DISK_PATIENCE)
    }

    /// As [`Vault::new`], with archives on another file system, for whose answer status waits so long.
    pub fn with_archives_on(archives: Arc<dyn Fs>, patience: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keyring = Arc::new(Keyring::new(VaultId(random_array())));
        found(&dir, &keyring);
        Self::open(dir, keyring, archives, patience)
    }

    fn open(
        dir: tempfile::TempDir,
        keyring: Arc<Keyring>,
        archives: Arc<dyn Fs>,
        disk_patience: Duration,
    ) -> Self {
        let fs: Arc<dyn Fs> = Arc::new(Disk);
        let clock = Arc::new(ManualClock::at(START));
        let store = DiskStore::open(fs.clone(), &dir.path().join("state"), 32 << 20).unwrap();
        let (log, _) = Log::open(fs.clone(), &dir.path().join("log")).unwrap();
        let as_clock: Arc<dyn Clock> = clock.clone();
        let cluster = Cluster::start(Config::new(NODE), store, log, as_clock.clone()).unwrap();
        let audit_dir = dir.path().join("audit");
        let audit = Audit::open(fs, &audit_dir, NODE, START, Limits::default()).unwrap();
        let service = Service::open(Parts {
            cluster: cluster.clone(),
            keyring: keyring.clone(),
            audit: audit.clone(),
            clock: as_clock,
            fs: archives,
            node: NODE,
            data: dir.path().to_owned(),
            archives: dir.path().join("archives"),
            soft: None,
            warnings: Vec::new(),
            disk_patience,
        })
        .unwrap();
        Self { dir, service, cluster, audit, clock, keyring }
    }

    /// Sets the vault's clock, so many milliseconds after its first start.
    pub fn set_clock(&self, after_start: u64) {
        self.clock.set(Millis(START.0 + after_start));
    }

    /// Stops it and opens it again on the same directory.
    pub async fn restart(self) -> Self {
        self.cluster.shutdown().await.unwrap();
        self.audit.close();
        let Self { dir, service, cluster, keyring, .. } = self;
        drop((service, cluster));
        let open = move || Self::open(dir, keyring, Arc::new(Disk), DISK_PATIENCE);
        tokio::task::spawn_blocking(open).await.unwrap()
    }

    pub async fn key(&self, name: &str) {
        self.service.create_key(&admin(), &selector(name)).await.unwrap();
    }

    /// A user of `default` whose policy has these rules.
    pub async fn user(&self, id: u8, name: &str, allow: &[&str], deny: &[&str]) -> Caller {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rules = SetPolicy { allow: texts(allow), deny: texts(deny) };
        let (enclave, name) = (n("default"), n(name));
        self.service.set_policy(&admin(), &enclave, &name, &rules).await.unwrap();
        let identity = IdentityId([id; 32]);
        let request = CreateIdentity {
            name: name.clone(),
            identity,
            privilege: Privilege::User,
            enclave: Some(enclave),
            policy: Some(name),
        };
        self.service.create_identity(&admin(), &request).await.unwrap();
        caller(identity)
    }

    pub async fn custodian(&self, user_id: &str) -> zeroize::Zeroizing<String> {
        let (secret, certificate) = holdfast_seal::generate_custodian(user_id, START).unwrap();
        let request = AddCustodian { name: None, certificate };
        self.service.add_custodian(&admin(), &request).await.unwrap();
        secret
    }

    pub async fn encrypt(&self, who: &Caller, key: &str, text: &str) -> Result<Vec<u8>, Error> {
        let (enclave, key) = (n("default"), n(key));
        let request =
            Encrypt { enclave: &enclave, key: &key, context: b"", plaintext: text.as_bytes() };
        self.service.encrypt(who, request).await.map(|done| done.ciphertext)
    }

    pub async fn decrypt(&self, who: &Caller, ciphertext: &[u8]) -> Result<String, Error> {
        let request = Decrypt { key: None, context: b"", ciphertext };
        let done = self.service.decrypt(who, request).await?;
        Ok(String::from_utf8(done.plaintext.expose_secret().to_vec()).unwrap())
    }

    /// Flips a bit of a wrapped version, as a bug would: past every rule.
    pub async fn damage_a_version(&self) {
        let view = self.cluster.view();
        let mut found = None;
        view.scan(KeyVersion::TABLE, &[], &mut |key, value| {
            found = Some((value.rev, KeyVersion::decode(value.schema, key, &value.body).unwrap()));
            ControlFlow::Break(())
        })
        .unwrap();
        let (rev, mut version) = found.unwrap();
        *version.wrapped.last_mut().unwrap() ^= 1;
        self.overwrite(rev, &version).await;
    }

    /// Writes a record over its row at `rev`, past every rule.
    pub async fn overwrite<R: Record>(&self, rev: Revision, record: &R) {
        let mut draft = Draft::default();
        holdfast_records::put(&mut draft, Expect::At(rev), record);
        let txn = Txn {
            id: TxnId(random_array()),
            epoch: self.cluster.view().head().epoch.id,
            at: Millis(0),
            actor: ADMIN,
            verb: 1,
            expect: draft.expect,
            write: draft.write,
        };
        let outcome = self.cluster.propose(txn).await.unwrap();
        assert!(matches!(outcome, Outcome::Done(_)));
    }

    /// Every line of the audit log so far.
    pub fn audit_lines(&self) -> Vec<serde_json::Value> {
        self.audit.close();
        let path = self.dir.path().join("audit/00000001.ndjson");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn archives(&self) -> PathBuf {
        self.dir.path().join("archives")
    }
}

/// What `look` finds within a while.
pub async fn soon<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match look().await {
            None if Instant::now() < give_up => tokio::time::sleep(Duration::from_millis(1)).await,
            found => return found,
        }
    }
}

pub fn n(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn selector(name: &str) -> KeySelector {
    KeySelector { enclave: n("default"), name: n(name) }
}

pub fn caller(identity: IdentityId) -> Caller {
    Caller { identity: Some(identity), local: true, known: true, remote: "192.0.2.1:9".to_owned() }
}

pub fn admin() -> Caller {
    caller(ADMIN)
}

/// The first rows, as `init` makes them.
fn found(dir: &tempfile::TempDir, keyring: &Keyring) {
    let fs: Arc<dyn Fs> = Arc::new(Disk);
    let base = Revision::epoch_base(1).unwrap();
    let epoch = Epoch { n: 1, id: EpochId([9; 16]), parent: EpochId([0; 16]), base };
    let mut rows = Vec::new();
    let generation = keyring.generate_root().unwrap();
    put(&mut rows, &VaultRecord { vault_id: keyring.vault_id(), created: START });
    put(
        &mut rows,
        &RootGeneration {
            generation,
            kcv: keyring.root_kcv(generation).unwrap(),
            current: true,
            canary: keyring.canary(generation).unwrap(),
        },
    );
    let enclave_id = EnclaveId([3; 16]);
    put(&mut rows, &Enclave { enclave_id, name: n("default"), state: EnclaveState::Open });
    put(&mut rows, &EnclaveName { name: n("default"), enclave_id });
    put(
        &mut rows,
        &Identity {
            identity: ADMIN,
            name: n("admin"),
            privilege: Privilege::Admin,
            enclave: None,
            policy: None,
            created: START,
        },
    );
    let (primary, subkey) = (SigningPart::generate(START), SigningPart::generate(START));
    let user_id = format!("holdfast vault {}", keyring.vault_id());
    let subkeys = [subkey];
    let public = SigningKey::from_parts(&user_id, &primary, &subkeys).unwrap().certificate_bytes();
    for (kind, part) in [(SecretKind::SigningPrimary, &primary), (SecretKind::Signing, &subkeys[0])]
    {
        let (id, n) = (SecretId(random_array()), 1);
        let what = SecretRef::ClusterSecret { id, n, kind };
        let wrapped = keyring.wrap_secret(what, part.seed.expose_secret()).unwrap();
        let (created, public) = (part.created, public.clone());
        put(
            &mut rows,
            &ClusterSecret { secret_id: id, n, kind, created, public, generation, wrapped },
        );
    }
    rows.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
    let head = Head { revision: base.next(), at: START, ..Head::new(epoch) };
    let applied = Applied { log: Some(seed_id(NODE)), membership: seed_membership(NODE, "") };
    let mut loader =
        DiskStore::loader(fs.clone(), &dir.path().join("state"), head, applied).unwrap();
    rows.iter().for_each(|row| loader.put(row).unwrap());
    drop(loader.finish(None).unwrap());
    fs.create_dir_all(&dir.path().join("log")).unwrap();
    let (mut log, _) = Log::open(fs, &dir.path().join("log")).unwrap();
    seed_log(&mut log, NODE).unwrap();
}

fn put<R: Record>(rows: &mut Vec<Row>, record: &R) {
    let body = record.encode();
    let rev = Revision::epoch_base(1).unwrap().next();
    let value = Value { schema: body.schema, rev, at: START, body: body.bytes };
    rows.push(Row { table: R::TABLE, key: record.key(), value });
}
