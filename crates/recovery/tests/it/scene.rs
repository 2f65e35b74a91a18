//! A small vault in memory: two enclaves, keys with several versions, two custodians.

use std::path::Path;

use holdfast_fs::{Fs, Mem, write_atomic};
use holdfast_keyring::Keyring;
use holdfast_machine::{Head, Model, RowSink};
use holdfast_records::{
    Custodian, Enclave, EnclaveState, Key, KeyKind, KeyState, KeyVersion, LedgerRow, Record,
    RootGeneration, Slot, SlotKind, Vault, VersionState,
};
use holdfast_recovery::{
    ArchiveError, ArchiveFiles, BaseInput, LedgerHead, Opened, Public, SealedArchive, Unseal,
    open_archive, write_base,
};
use holdfast_seal::{
    Certificate, Identity, Opener, SigningKey, SigningPart, generate_custodian, seal_bytes,
};
use holdfast_types::{
    ArchiveId, CustodianId, EnclaveId, Epoch, EpochId, Generation, KeyId, Millis, Revision, Row,
    SlotId, Table, Value, VaultId, Version,
};

/// 2026-01-01.
pub const NOW: Millis = Millis(1_767_225_600_000);
pub const VAULT: VaultId = VaultId([0x7a; 16]);
const REVISION: Revision = Revision((1 << 40) + 9);

pub struct Scene {
    pub model: Model,
    pub keyring: Keyring,
    pub signer: SigningKey,
    pub custodians: Vec<Custodian>,
    /// Their secret keys, armored.
    pub secrets: Vec<String>,
    /// Live versions that are not destroyed.
    pub versions: Vec<KeyVersion>,
}

impl Scene {
    pub fn new() -> Self {
        Self::of_vault(VAULT)
    }

    pub fn of_vault(vault_id: VaultId) -> Self {
        Self::of(vault_id, 2, 2)
    }

    /// As little as an archive can hold: one custodian, one enclave, one key.
    pub fn small() -> Self {
        Self::of(VAULT, 1, 1)
    }

    /// What a vault is begun with: a custodian, and no key.
    pub fn empty() -> Self {
        Self::of(VAULT, 1, 0)
    }

    fn of(vault_id: VaultId, custodians: u8, each: u8) -> Self {
        let keyring = Keyring::new(vault_id);
        let generation = keyring.generate_root().unwrap();
        let mut rows = vec![
            row(&Vault { vault_id, created: NOW }),
            row(&RootGeneration {
                generation,
                kcv: keyring.root_kcv(generation).unwrap(),
                current: true,
                canary: keyring.canary(generation).unwrap(),
            }),
            row(&LedgerRow { seq: 1, entry: b"{}".to_vec() }),
        ];
        let recipients = 1..=custodians;
        let (mut custodians, mut secrets) = (Vec::new(), Vec::new());
        for n in recipients {
            let (secret, custodian, slot) = custodian(&keyring, generation, n);
            rows.extend([row(&custodian), row(&slot)]);
            custodians.push(custodian);
            secrets.push(secret);
        }
        let versions = keys(&keyring, &mut rows, each);
        rows.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        let epoch = Epoch {
            n: 1,
            id: EpochId([0x1c; 16]),
            parent: EpochId::default(),
            base: Revision::epoch_base(1).unwrap(),
        };
        let mut model = Model::new(epoch);
        rows.iter().for_each(|row| model.put(row).unwrap());
        let head = Head { revision: REVISION, at: NOW, ..Head::new(epoch) };
        model.set_head(head);
        Self { model, keyring, signer: signer(), custodians, secrets, versions }
    }

    pub fn write(&self) -> (Vec<u8>, SealedArchive) {
        self.try_write(&self.custodians).unwrap()
    }

    pub fn try_write(&self, to: &[Custodian]) -> Result<(Vec<u8>, SealedArchive), ArchiveError> {
        let mut tar = Vec::new();
        let input = BaseInput {
            view: &self.model,
            signer: &self.signer,
            custodians: to,
            archive_id: ArchiveId([0xa1; 16]),
            created: NOW,
            signed: NOW,
            ledger: LedgerHead { head: "00".repeat(32), size: 1 },
        };
        let sealed = write_base(&input, &mut tar)?;
        Ok((tar, sealed))
    }

    /// What a custodian opens with.
    pub fn unseal(&self, custodian: usize) -> Unseal {
        Unseal::Custodian(opener(&self.secrets[custodian]))
    }

    /// The certificates that archives of this vault are sealed to.
    pub fn certificates(&self) -> Vec<Certificate> {
        let read = |who: &Custodian| Certificate::read(&who.certificate, NOW).unwrap();
        self.custodians.iter().map(read).collect()
    }

    /// A sink for this vault's rows.
    pub fn sink(&self) -> Model {
        use holdfast_machine::View as _;
        Model::new(self.model.head().epoch)
    }
}

/// The scene with `rows` put over its own, at the same head.
pub fn changed(scene: &Scene, rows: &[Row]) -> Model {
    use holdfast_machine::View as _;
    let mut all: Vec<Row> = scene.model.rows().collect();
    all.retain(|old| !rows.iter().any(|new| (new.table, &new.key) == (old.table, &old.key)));
    all.extend_from_slice(rows);
    all.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
    let mut model = scene.sink();
    all.iter().for_each(|row| model.put(row).unwrap());
    model.set_head(scene.model.head().clone());
    model
}

pub fn opener(secret: &str) -> Opener {
    Opener::Identity(Identity::read(secret.as_bytes(), None).unwrap())
}

/// Opens into `sink`, without hearing of progress.
pub fn open(
    sealed: &[u8],
    signed: Option<&Public>,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
) -> Result<Opened, ArchiveError> {
    open_archive(sealed, signed, unseal, sink, &mut |_| ())
}

/// The three files, in memory.
pub fn put(sealed: &SealedArchive, tar: &[u8]) -> (Mem, ArchiveFiles) {
    let fs = Mem::new();
    fs.create_dir_all(Path::new("/t")).unwrap();
    let files = ArchiveFiles::of(Path::new(&format!("/t/{}.tar.gpg", sealed.name)));
    write_atomic(&fs, &files.tar, tar).unwrap();
    write_atomic(&fs, &files.json, &sealed.json).unwrap();
    write_atomic(&fs, &files.signature, &sealed.signature).unwrap();
    (fs, files)
}

pub fn row<R: Record>(record: &R) -> Row {
    let body = record.encode();
    let value = Value { schema: body.schema, rev: REVISION, at: NOW, body: body.bytes };
    Row { table: R::TABLE, key: record.key(), value }
}

fn signer() -> SigningKey {
    let part = || SigningPart::generate(NOW);
    SigningKey::from_parts("holdfast vault", &part(), &[part()]).unwrap()
}

fn custodian(keyring: &Keyring, generation: Generation, n: u8) -> (String, Custodian, Slot) {
    let name = format!("custodian-{n}");
    let (secret, bytes) = generate_custodian(&name, NOW).unwrap();
    let certificate = Certificate::read(&bytes, NOW).unwrap();
    let fingerprint = certificate.fingerprint();
    let payload = keyring.slot_payload(generation).unwrap();
    let (sealed, _) = seal_bytes(payload.expose_secret(), &[certificate]).unwrap();
    let custodian_id = CustodianId([n; 16]);
    let custodian = Custodian {
        custodian_id,
        name: name.parse().unwrap(),
        fingerprint: fingerprint.clone(),
        certificate: bytes,
        added: NOW,
        expires: None,
    };
    let slot = Slot {
        generation,
        slot_id: SlotId([0x50 + n; 16]),
        kind: SlotKind::OpenPgp,
        custodian: Some(custodian_id),
        recipient: fingerprint,
        sealed,
    };
    (secret.to_string(), custodian, slot)
}

/// Some enclaves with as many keys each, three versions a key; the first version of each is destroyed.
/// And a key that is gone.
fn keys(keyring: &Keyring, rows: &mut Vec<Row>, each: u8) -> Vec<KeyVersion> {
    let mut live = Vec::new();
    for e in 1..=each {
        let enclave_id = EnclaveId([0xe0 + e; 16]);
        let name = format!("enclave-{e}").parse().unwrap();
        rows.push(row(&Enclave { enclave_id, name, state: EnclaveState::Open }));
        for k in 1..=each {
            let key_id = KeyId([16 * e + k; 16]);
            rows.push(row(&Key {
                key_id,
                enclave_id,
                name: format!("key-{k}").parse().unwrap(),
                kind: KeyKind::Aes256,
                state: KeyState::Active,
                primary: Version(3),
                created: NOW,
            }));
            for v in 1..=3 {
                let state = if v == 1 { VersionState::Destroyed } else { VersionState::Active };
                let version = version(keyring, enclave_id, key_id, Version(v), state);
                rows.push(row(&version));
                live.extend((v != 1).then_some(version));
            }
        }
    }
    let value = Value { schema: 0, rev: REVISION, at: NOW, body: Vec::new() };
    rows.push(Row { table: Table::KEYS, key: vec![0xff; 16], value });
    live
}

fn version(
    keyring: &Keyring,
    enclave_id: EnclaveId,
    key_id: KeyId,
    version: Version,
    state: VersionState,
) -> KeyVersion {
    let kind = KeyKind::Aes256;
    let new = keyring.new_version(enclave_id, key_id, version, kind).unwrap();
    let destroyed = state == VersionState::Destroyed;
    let wrapped = if destroyed { Vec::new() } else { new.wrapped };
    KeyVersion { key_id, version, enclave_id, kind, state, kcv: new.kcv, wrapped }
}
