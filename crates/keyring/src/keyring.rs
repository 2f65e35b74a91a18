//! The operations: everything that anybody may ask of a key or a root.

use std::fmt;

use holdfast_crypto::kcv::{Kcv, root_kcv, version_kcv};
use holdfast_crypto::{AtHand, Secret, SecretBytes, nonce};
use holdfast_records::{KeyKind, KeyVersion};
use holdfast_types::{EnclaveId, Generation, KeyId, SlotId, VaultId, Version};

use crate::KeyringError;
use crate::arena::arena;
use crate::cache::Cache;
use crate::ciphertext::{self, Header, parse_header};
use crate::roots::Roots;
use crate::slot::{self, SoftKey};
use crate::wrap::{self, Binding, SecretRef};

/// What a canary holds: that it opens is the whole message.
const CANARY: &[u8] = b"holdfast/v1/canary";

/// Generations of the root that can be open at once.
const ROOTS: usize = 128;
/// Shards of the cache of versions: more than the cores that fight over a lock.
const SHARDS: usize = 16;
/// Versions in each. Together 32 768 in 1 MiB, an eighth of the usual limit on locked memory.
const VERSIONS: usize = 2048;

/// Roots and keys of one vault. Shared by reference; every method takes `&self` and may be called
/// from any thread.
pub struct Keyring {
    vault: VaultId,
    roots: Roots,
    versions: Cache,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        f.debug_struct("Keyring")
            .field("vault", &self.vault)
            .field("current", &current)
            .finish_non_exhaustive()
    }
}

/// The secret of a new key version, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The wrapped secret.
    pub wrapped: Vec<u8>,
    /// Its check value.
    pub kcv: Kcv,
    /// The root generation that wrapped it.
    pub generation: Generation,
}

impl Keyring {
    /// An empty one: sealed, until a root is made or loaded.
    #[must_use]
    pub fn new(vault_id: VaultId) -> Self {
        let mut runs = [VERSIONS; SHARDS + 1];
        runs[0] = ROOTS;
        let mut runs = arena(&runs);
        let roots = Roots::new(vault_id, runs.remove(0));
        Self { vault: vault_id, roots, versions: Cache::new(runs) }
    }

    /// The vault whose keys these are.
    #[must_use]
    pub fn vault_id(&self) -> VaultId {
        self.vault
    }

    // --- Roots -------------------------------------------------------------------------------

    /// Draws the first root, generation 1. Errors: there is a root already.
    pub fn generate_root(&self) -> Result<Generation, KeyringError> {
        if let Some(generation) = self.current() {
            return Err(KeyringError::RootExists(generation));
        }
        let root = Secret::<32>::generate();
        self.roots.insert(Generation::FIRST, root.expose_secret())?;
        Ok(Generation::FIRST)
    }

    /// The check value of an open root.
    pub fn root_kcv(&self, generation: Generation) -> Result<Kcv, KeyringError> {
        self.roots.kcv(generation)
    }

    /// The newest open generation: what new wraps use.
    #[must_use]
    pub fn current(&self) -> Option<Generation> {
        self.roots.current()
    }

    /// Whether any root is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.current().is_some()
    }

    /// The four lines that a seal slot of this generation seals.
    pub fn slot_payload(&self, generation: Generation) -> Result<SecretBytes, KeyringError> {
        Ok(slot::payload(self.vault, generation, &*self.roots.get(generation)?))
    }

    /// Loads the root of an opened slot, if it fits the check value that the vault's data names.
    pub fn load_slot_payload(
        &self,
        payload: &[u8],
        expected_kcv: &Kcv,
    ) -> Result<Generation, KeyringError> {
        let (generation, root) = slot::parse_payload(self.vault, payload)?;
        self.load(generation, &root, expected_kcv)?;
        Ok(generation)
    }

    /// Seals a root under a node's soft key.
    pub fn seal_soft(
        &self,
        generation: Generation,
        slot: SlotId,
        soft_key: &SoftKey,
    ) -> Result<Vec<u8>, KeyringError> {
        let root = self.roots.get(generation)?;
        Ok(slot::seal_soft(self.vault, generation, slot, soft_key, &nonce(), &root))
    }

    /// Loads the root of a soft slot, if it fits the check value that the vault's data names.
    pub fn open_soft(
        &self,
        generation: Generation,
        slot: SlotId,
        sealed: &[u8],
        soft_key: &SoftKey,
        expected_kcv: &Kcv,
    ) -> Result<(), KeyringError> {
        let root = slot::open_soft(self.vault, generation, slot, soft_key, sealed)?;
        self.load(generation, &root, expected_kcv)
    }

    fn load(
        &self,
        generation: Generation,
        root: &Secret<32>,
        expected: &Kcv,
    ) -> Result<(), KeyringError> {
        let kcv = root_kcv(self.vault, generation, root.expose_secret());
        if kcv != *expected {
            return Err(KeyringError::RootMismatch(generation));
        }
        self.roots.insert(generation, root.expose_secret())
    }

    // --- Wrapped secrets ---------------------------------------------------------------------

    /// Wraps one of the cluster's own secrets under the newest root; a canary under its own.
    pub fn wrap_secret(&self, what: SecretRef, secret: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let generation = match what {
            SecretRef::Canary { generation } => generation,
            _ => self.current().ok_or(KeyringError::Sealed)?,
        };
        self.wrap(generation, &Binding::secret(what), secret)
    }

    /// Opens what [`Keyring::wrap_secret`] made.
    pub fn unwrap_secret(
        &self,
        what: SecretRef,
        wrapped: &[u8],
    ) -> Result<SecretBytes, KeyringError> {
        self.unwrap(&Binding::secret(what), wrapped)
    }

    /// The canary of a generation, wrapped: a root that opens it is the vault's.
    pub fn canary(&self, generation: Generation) -> Result<Vec<u8>, KeyringError> {
        self.wrap_secret(SecretRef::Canary { generation }, CANARY)
    }

    /// Checks that the open root of a generation opens its canary.
    pub fn check_canary(&self, generation: Generation, wrapped: &[u8]) -> Result<(), KeyringError> {
        let binding = Binding::secret(SecretRef::Canary { generation });
        let canary = self.unwrap(&binding, wrapped)?;
        let own = wrap::generation(wrapped, &binding)? == generation;
        if own && canary.expose_secret() == CANARY {
            return Ok(());
        }
        Err(KeyringError::WrappedDamaged(format!("the canary of generation {generation}")))
    }

    fn wrap(
        &self,
        generation: Generation,
        binding: &Binding,
        secret: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let root = self.roots.get(generation)?;
        Ok(wrap::wrap(self.vault, generation, &root, binding, &nonce(), secret))
    }

    fn unwrap(&self, binding: &Binding, wrapped: &[u8]) -> Result<SecretBytes, KeyringError> {
        let generation = wrap::generation(wrapped, binding)?;
        let root = self.roots.get(generation)?;
        wrap::unwrap(self.vault, generation, &root, binding, wrapped)
    }

    // --- Key versions ------------------------------------------------------------------------

    /// Draws the secret of a new version and wraps it under the newest root.
    pub fn new_version(
        &self,
        enclave: EnclaveId,
        key_id: KeyId,
        version: Version,
        kind: KeyKind,
    ) -> Result<NewVersion, KeyringError> {
        let generation = self.current().ok_or(KeyringError::Sealed)?;
        let secret = match kind {
            KeyKind::Aes256 => Secret::<32>::generate(),
        };
        let kcv = version_kcv(self.vault, key_id, version, secret.expose_secret());
        let binding = Binding::version(enclave, key_id, version, kind);
        let wrapped = self.wrap(generation, &binding, secret.expose_secret())?;
        Ok(NewVersion { wrapped, kcv, generation })
    }

    /// Unwraps a version against its check value and keeps nothing: what drills and restores do.
    pub fn check_version(&self, v: &KeyVersion) -> Result<(), KeyringError> {
        self.unwrap_version(v).map(drop)
    }

    /// Encrypts. The caller has decided that the version may be used for it.
    pub fn encrypt(
        &self,
        v: &KeyVersion,
        context: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, KeyringError> {
        let header = Header { key_id: v.key_id, version: v.version };
        ciphertext::seal(&*self.secret(v)?, header, &nonce(), context, plaintext)
    }

    /// Decrypts. The ciphertext must name exactly this version; no other is ever tried.
    pub fn decrypt(
        &self,
        v: &KeyVersion,
        context: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, KeyringError> {
        let Header { key_id, version } = parse_header(ciphertext)?;
        if (key_id, version) != (v.key_id, v.version) {
            return Err(KeyringError::WrongKey { key: key_id, version });
        }
        ciphertext::open(&*self.secret(v)?, context, ciphertext)
    }

    /// Draws a data key of 32 bytes and encrypts it: for data that stays with the caller.
    pub fn generate_data_key(
        &self,
        v: &KeyVersion,
        context: &[u8],
    ) -> Result<(SecretBytes, Vec<u8>), KeyringError> {
        let data_key = Secret::<32>::generate();
        let ciphertext = self.encrypt(v, context, data_key.expose_secret())?;
        Ok((SecretBytes::from(&data_key), ciphertext))
    }

    /// Wipes the cached versions of a key: it was changed or deleted. An operation that began
    /// before may still cache it again; that is why states are judged on the record, never here.
    pub fn forget(&self, key_id: KeyId) {
        self.versions.forget(key_id);
    }

    /// How many unwrapped versions are at hand.
    #[must_use]
    pub fn cached_versions(&self) -> usize {
        self.versions.len()
    }

    fn secret(&self, v: &KeyVersion) -> Result<AtHand<32>, KeyringError> {
        let id = (v.key_id, v.version);
        if let Some(secret) = self.versions.get(id, &v.kcv) {
            return Ok(secret);
        }
        let secret = self.unwrap_version(v)?;
        self.versions.put(id, v.kcv, &secret);
        Ok(secret)
    }

    fn unwrap_version(&self, v: &KeyVersion) -> Result<AtHand<32>, KeyringError> {
        let mismatch = KeyringError::VersionMismatch { key: v.key_id, version: v.version };
        let binding = Binding::version(v.enclave_id, v.key_id, v.version, v.kind);
        let secret = self.unwrap(&binding, &v.wrapped)?;
        let mut bytes = AtHand::new([0; 32]);
        if secret.len() != bytes.len() {
            return Err(mismatch);
        }
        bytes.copy_from_slice(secret.expose_secret());
        let kcv = version_kcv(self.vault, v.key_id, v.version, &bytes[..]);
        if kcv == v.kcv { Ok(bytes) } else { Err(mismatch) }
    }
}
