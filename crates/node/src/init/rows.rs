//! The first rows of a vault: everything it cannot be without.

use holdfast_crypto::{Secret, random_array};
use holdfast_keyring::{Keyring, SecretRef, SoftKey};
use holdfast_ledger::{Entry, EntryKind, Head as LedgerHead, append};
use holdfast_records::{
    ClusterSecret, Custodian, Enclave, EnclaveName, EnclaveState, Identity, LedgerRow, Privilege,
    Record, RootGeneration, SecretKind, Slot, SlotKind, SoftSlot, Vault,
};
use holdfast_recovery::{seal_slot, signer_user_id};
use holdfast_seal::{Certificate, SigningKey, SigningPart};
use holdfast_types::limits::SLOT_BYTES_MAX;
use holdfast_types::{
    CustodianId, EnclaveId, EpochId, Generation, IdentityId, Kind, Millis, Name, Revision, Row,
    SecretId, SlotId, Value, VaultId,
};

use crate::{NodeError, tls};

/// What the first rows are made from.
pub(crate) struct Founding<'a> {
    pub(crate) vault_id: VaultId,
    pub(crate) now: Millis,
    pub(crate) revision: Revision,
    pub(crate) incarnation: EpochId,
    pub(crate) administrator: IdentityId,
    pub(crate) custodians: &'a [Certificate],
    pub(crate) soft_slot: SlotId,
    pub(crate) soft_key: &'a SoftKey,
    pub(crate) soft_path: String,
}

/// The first rows, sorted, and what is kept beside them.
pub(crate) struct Founded {
    pub(crate) rows: Vec<Row>,
    pub(crate) soft: SoftSlot,
    /// The CA's certificate, DER.
    pub(crate) ca: Vec<u8>,
    /// The fingerprint of the certificate that signs archives.
    pub(crate) signer: String,
}

struct Rows {
    ledger: LedgerHead,
    revision: Revision,
    at: Millis,
    rows: Vec<Row>,
}

impl Rows {
    fn put<R: Record>(&mut self, record: &R) {
        let (rev, at, body) = (self.revision, self.at, record.encode());
        let value = Value { schema: body.schema, rev, at, body: body.bytes };
        self.rows.push(Row { table: R::TABLE, key: record.key(), value });
    }

    fn log(&mut self, kind: EntryKind) {
        let entry: Entry = append(&self.ledger, self.at, kind);
        self.ledger = LedgerHead::after(&entry);
        self.put(&LedgerRow { seq: entry.seq, entry: entry.encode() });
    }
}

/// Draws the root and makes the first rows.
pub(crate) fn found(founding: &Founding<'_>) -> Result<Founded, NodeError> {
    let Founding { vault_id, now, .. } = *founding;
    let keyring = Keyring::new(vault_id);
    let generation = keyring.generate_root()?;
    let ledger = LedgerHead::default();
    let mut rows = Rows { ledger, revision: founding.revision, at: now, rows: Vec::new() };
    rows.log(EntryKind::Epoch {
        archive: None,
        incarnation: founding.incarnation,
        n: 1,
        parent: EpochId::default(),
        unsigned: false,
        vault_id,
    });
    rows.log(EntryKind::Administrator { identity: founding.administrator });
    rows.put(&Vault { vault_id, created: now });
    let canary = keyring.canary(generation)?;
    rows.put(&RootGeneration {
        generation,
        kcv: keyring.root_kcv(generation)?,
        current: true,
        canary,
    });
    people(founding, &mut rows)?;
    for certificate in founding.custodians {
        custodian(&keyring, generation, certificate, now, &mut rows)?;
    }
    let ca = ca(&keyring, generation, founding, &mut rows)?;
    let signer = signer(&keyring, generation, founding, &mut rows)?;
    let slot_id = founding.soft_slot;
    let sealed = keyring.seal_soft(generation, slot_id, founding.soft_key)?;
    let soft = SoftSlot { slot_id, generation, key_path: founding.soft_path.clone(), sealed };
    rows.rows.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
    Ok(Founded { rows: rows.rows, soft, ca, signer })
}

/// The default enclave and the administrator.
fn people(founding: &Founding<'_>, rows: &mut Rows) -> Result<(), NodeError> {
    let name: Name = "default".parse().map_err(ours)?;
    let enclave_id = EnclaveId(random_array());
    rows.put(&Enclave { enclave_id, name: name.clone(), state: EnclaveState::Open });
    rows.put(&EnclaveName { name, enclave_id });
    rows.put(&Identity {
        identity: founding.administrator,
        name: "admin".parse().map_err(ours)?,
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
        created: founding.now,
    });
    Ok(())
}

fn ours(error: holdfast_types::NameError) -> NodeError {
    NodeError::new(Kind::Internal, error.to_string())
}

/// A custodian is recipient of archives *and* holder of a slot.
fn custodian(
    keyring: &Keyring,
    generation: Generation,
    certificate: &Certificate,
    now: Millis,
    rows: &mut Rows,
) -> Result<(), NodeError> {
    let (custodian_id, slot_id) = (CustodianId(random_array()), SlotId(random_array()));
    let fingerprint = certificate.fingerprint();
    let (sealed, session) = seal_slot(keyring, generation, slot_id, certificate)?;
    if sealed.len() > SLOT_BYTES_MAX {
        return Err(too_many_keys(&fingerprint, sealed.len()));
    }
    let taken: Vec<Name> = rows.custodian_names();
    let name = custodian_name(certificate, &taken)?;
    rows.log(EntryKind::CustodianAdded {
        custodian_id,
        fingerprint: fingerprint.clone(),
        name: name.clone(),
    });
    rows.put(&Custodian {
        custodian_id,
        name,
        fingerprint: fingerprint.clone(),
        certificate: certificate.to_bytes(),
        added: now,
        expires: certificate.expires(),
    });
    rows.put(&session);
    let (kind, custodian) = (SlotKind::OpenPgp, Some(custodian_id));
    rows.put(&Slot { generation, slot_id, kind, custodian, recipient: fingerprint, sealed });
    Ok(())
}

fn too_many_keys(fingerprint: &str, bytes: usize) -> NodeError {
    let message = format!(
        "the certificate {fingerprint} has too many encryption keys: a slot sealed to it has {bytes} bytes, and may \
         have {SLOT_BYTES_MAX}"
    );
    NodeError::new(Kind::BadInput, message).next("export it without the keys that are not in use")
}

impl Rows {
    fn custodian_names(&self) -> Vec<Name> {
        let custodians = self.rows.iter().filter(|row| row.table == Custodian::TABLE);
        let read = |row: &Row| Custodian::decode(row.value.schema, &row.key, &row.value.body).ok();
        custodians.filter_map(read).map(|custodian| custodian.name).collect()
    }
}

/// From the first user id: `John Doe <john@example.org>` becomes `John-Doe`.
fn custodian_name(certificate: &Certificate, taken: &[Name]) -> Result<Name, NodeError> {
    let slug = certificate.suggested_name();
    let numbered = (1..).map(|n| if n == 1 { slug.clone() } else { format!("{slug}-{n}") });
    let free = numbered.into_iter().find(|name| taken.iter().all(|other| other.as_str() != name));
    free.unwrap_or_default().parse().map_err(ours)
}

fn ca(
    keyring: &Keyring,
    generation: Generation,
    founding: &Founding<'_>,
    rows: &mut Rows,
) -> Result<Vec<u8>, NodeError> {
    let seed = Secret::<32>::generate();
    let public = tls::new_ca(founding.vault_id, seed.expose_secret())?;
    let kept = (SecretKind::Ca, seed.expose_secret());
    secret(keyring, generation, founding.now, kept, public.clone(), rows)?;
    Ok(public)
}

/// The OpenPGP key that signs archives: a primary that certifies, a subkey for this epoch that signs.
fn signer(
    keyring: &Keyring,
    generation: Generation,
    founding: &Founding<'_>,
    rows: &mut Rows,
) -> Result<String, NodeError> {
    let now = founding.now;
    let primary = SigningPart::generate(now);
    let subkeys = [SigningPart::generate(now)];
    let user_id = signer_user_id(founding.vault_id);
    let key = SigningKey::from_parts(&user_id, &primary, &subkeys)
        .map_err(|error| NodeError::new(Kind::Internal, error.to_string()))?;
    let public = key.certificate_bytes();
    let kept = (SecretKind::SigningPrimary, primary.seed.expose_secret());
    secret(keyring, generation, now, kept, public.clone(), rows)?;
    let kept = (SecretKind::Signing, subkeys[0].seed.expose_secret());
    secret(keyring, generation, now, kept, public, rows)?;
    Ok(key.fingerprint())
}

fn secret(
    keyring: &Keyring,
    generation: Generation,
    created: Millis,
    (kind, secret): (SecretKind, &[u8; 32]),
    public: Vec<u8>,
    rows: &mut Rows,
) -> Result<(), NodeError> {
    let (secret_id, n) = (SecretId(random_array()), 1);
    let what = SecretRef::ClusterSecret { id: secret_id, n, kind };
    let wrapped = keyring.wrap_secret(what, secret)?;
    rows.put(&ClusterSecret { secret_id, n, kind, created, public, generation, wrapped });
    Ok(())
}
