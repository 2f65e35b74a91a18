//! Wraps: secrets under a root (`formats/keys.md` §1).
//!
//! ```text
//! WK      = HKDF-SHA-256(R_g, salt = vault_id, info = "holdfast/v1/wrap" ‖ lp(purpose) ‖ scope ‖ u32 g)
//! wrapped = 0x01 ‖ u32 g ‖ nonce 24 ‖ XAES-256-GCM(WK, nonce, secret, AAD)
//! AAD     = "holdfast/v1/wrap" ‖ lp(purpose) ‖ vault_id ‖ scope ‖ object ‖ u32 version ‖ u32 g ‖ lp(kind)
//! ```
//!
//! The binding is everything that says what a secret is for, so a wrapped secret that was moved to
//! another row, vault or kind does not open.

use std::fmt;

use holdfast_crypto::xaes256gcm::{KEY_BYTES, TAG_BYTES};
use holdfast_crypto::{
    AtHand, NONCE_BYTES, Nonce, NotAuthentic, SecretBytes, hkdf_sha256, xaes256gcm,
};
use holdfast_records::{KeyKind, SecretKind, SessionKey};
use holdfast_types::{EnclaveId, Generation, KeyId, SecretId, VaultId, Version, hex};

use crate::{KeyringError, LATER_FORMATS};

const FORMAT: u8 = 1;
const LABEL: &[u8] = b"holdfast/v1/wrap";
/// Format and generation.
const HEADER_BYTES: usize = 5;
const ZEROS: [u8; 16] = [0; 16];

/// A secret that is not a key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRef {
    /// One of the cluster's own secrets.
    ClusterSecret {
        /// Its id.
        id: SecretId,
        /// Its number: 1.. where it is replaced.
        n: u32,
        /// What it is.
        kind: SecretKind,
    },
    /// The canary of a root generation, wrapped by that very generation.
    Canary {
        /// The generation.
        generation: Generation,
    },
    /// The session key of an archive or of a slot: the row key of `holdfast_records::SessionKey`.
    SessionKey {
        /// What it opens: an archive or a slot.
        n: u32,
        /// The id of that.
        id: [u8; 16],
    },
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClusterSecret { id, n, kind } => write!(f, "{} secret {n} {id}", kind.as_str()),
            Self::Canary { generation } => write!(f, "the canary of generation {generation}"),
            Self::SessionKey { n, id } => {
                let of = if *n == SessionKey::ARCHIVE { "archive" } else { "slot" };
                write!(f, "the session key of {of} {}", hex::encode(id))
            }
        }
    }
}

/// What error messages call a wrapped secret; text is made only for an error.
enum Name {
    Version(KeyId, Version),
    Secret(SecretRef),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(key, version) => write!(f, "version {version} of key {key}"),
            Self::Secret(what) => what.fmt(f),
        }
    }
}

/// What a wrap binds, and what error messages call it.
pub(crate) struct Binding {
    purpose: &'static str,
    scope: [u8; 16],
    object: [u8; 16],
    version: u32,
    kind: &'static str,
    name: Name,
}

impl Binding {
    pub fn version(enclave: EnclaveId, key: KeyId, version: Version, kind: KeyKind) -> Self {
        Self {
            purpose: "key-version",
            scope: enclave.0,
            object: key.0,
            version: version.0,
            kind: kind.as_str(),
            name: Name::Version(key, version),
        }
    }

    pub fn secret(what: SecretRef) -> Self {
        let (purpose, object, version, kind) = match what {
            SecretRef::ClusterSecret { id, n, kind } => ("cluster-secret", id.0, n, kind.as_str()),
            SecretRef::Canary { .. } => ("canary", ZEROS, 0, "canary"),
            SecretRef::SessionKey { n, id } => ("session-key", id, n, "session"),
        };
        Self { purpose, scope: ZEROS, object, version, kind, name: Name::Secret(what) }
    }

    fn wrapping_key(
        &self,
        vault: VaultId,
        generation: Generation,
        root: &[u8; KEY_BYTES],
    ) -> AtHand<KEY_BYTES> {
        let mut info = Vec::with_capacity(64);
        info.extend_from_slice(LABEL);
        push_lp(&mut info, self.purpose);
        info.extend_from_slice(&self.scope);
        info.extend_from_slice(&generation.0.to_be_bytes());
        let mut key = AtHand::new([0; KEY_BYTES]);
        hkdf_sha256(root, &vault.0, &info, &mut key[..]);
        key
    }

    fn aad(&self, vault: VaultId, generation: Generation) -> Vec<u8> {
        let mut aad = Vec::with_capacity(128);
        aad.extend_from_slice(LABEL);
        push_lp(&mut aad, self.purpose);
        aad.extend_from_slice(&vault.0);
        aad.extend_from_slice(&self.scope);
        aad.extend_from_slice(&self.object);
        aad.extend_from_slice(&self.version.to_be_bytes());
        aad.extend_from_slice(&generation.0.to_be_bytes());
        push_lp(&mut aad, self.kind);
        aad
    }
}

fn push_lp(out: &mut Vec<u8>, text: &'static str) {
    let length = u32::try_from(text.len()).expect("our own constants are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Wraps `secret` under `root`, which is `generation`'s.
pub(crate) fn wrap(
    vault: VaultId,
    generation: Generation,
    root: &[u8; KEY_BYTES],
    binding: &Binding,
    nonce: &Nonce,
    secret: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + NONCE_BYTES + secret.len() + TAG_BYTES);
    out.push(FORMAT);
    out.extend_from_slice(&generation.0.to_be_bytes());
    out.extend_from_slice(nonce);
    let key = binding.wrapping_key(vault, generation, root);
    xaes256gcm::seal_into(&key, nonce, &binding.aad(vault, generation), secret, &mut out);
    out
}

/// That what was stored of `name` begins with the byte of this format. A later one is a newer program's; whatever
/// else stands there is damage.
pub(crate) fn check_format(
    stored: &[u8],
    format: u8,
    name: impl FnOnce() -> String,
) -> Result<(), KeyringError> {
    match stored.first() {
        Some(first) if *first == format => Ok(()),
        Some(first) if LATER_FORMATS.contains(first) => Err(KeyringError::WrappedFormat(name())),
        _ => Err(KeyringError::WrappedDamaged(name())),
    }
}

/// The generation that wrapped it: where to find its root.
pub(crate) fn generation(wrapped: &[u8], binding: &Binding) -> Result<Generation, KeyringError> {
    check_format(wrapped, FORMAT, || binding.name.to_string())?;
    if wrapped.len() < HEADER_BYTES + NONCE_BYTES + TAG_BYTES {
        return Err(KeyringError::WrappedDamaged(binding.name.to_string()));
    }
    let number = wrapped[1..HEADER_BYTES].try_into().expect("four bytes");
    Ok(Generation(u32::from_be_bytes(number)))
}

/// Unwraps under the root of the generation that [`generation`] named.
pub(crate) fn unwrap(
    vault: VaultId,
    generation: Generation,
    root: &[u8; KEY_BYTES],
    binding: &Binding,
    wrapped: &[u8],
) -> Result<SecretBytes, KeyringError> {
    let body = wrapped.get(HEADER_BYTES..).unwrap_or_default();
    let Some((nonce, sealed)) = body.split_first_chunk::<NONCE_BYTES>() else {
        return Err(KeyringError::WrappedDamaged(binding.name.to_string()));
    };
    let key = binding.wrapping_key(vault, generation, root);
    xaes256gcm::open(&key, nonce, &binding.aad(vault, generation), sealed)
        .map_err(|NotAuthentic| KeyringError::WrappedDamaged(binding.name.to_string()))
}
