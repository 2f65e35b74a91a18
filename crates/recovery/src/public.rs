//! `NAME.json`: all that is public about an archive. No names, counts, check values or slots.

use holdfast_types::limits::RECIPIENTS_MAX;
use holdfast_types::{ArchiveId, EpochId, Millis, Revision, VaultId, hex};
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::name::TAR;
use crate::{ArchiveError, ArchiveName};

/// The format this program writes, and the newest it reads.
pub const PUBLIC_VERSION: u32 = 1;
/// What the `format` field says.
const FORMAT: &str = "holdfast-archive";
/// What messages call `NAME.json`.
const WHAT: &str = "the archive's JSON";

/// What `NAME.json` and `manifest.json` both say of an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Its id.
    pub archive_id: ArchiveId,
    /// SHA-256 of the sealed base of its chain; null in a base.
    pub base_sha256: Option<String>,
    /// When the view was taken, by the state's clock.
    pub created: Millis,
    /// The number of the incarnation.
    pub epoch: u32,
    /// Name of the sealed tar.
    pub file: String,
    /// `holdfast-archive`.
    pub format: String,
    /// Where it begins; 0 in a base.
    pub from: Revision,
    /// The incarnation.
    pub incarnation: EpochId,
    /// `base`.
    pub kind: String,
    /// The ledger at `to`.
    pub ledger: LedgerHead,
    /// A reader must know this version.
    pub min_reader: u32,
    /// SHA-256 of the sealed archive before it; null in a base.
    pub prev_sha256: Option<String>,
    /// Fingerprints of the custodians it is sealed to.
    pub recipients: Vec<String>,
    /// `openpgp`.
    pub seal: String,
    /// Who signs.
    pub signer: Signer,
    /// The revision it holds.
    pub to: Revision,
    /// The vault.
    pub vault_id: VaultId,
    /// The version of the format.
    pub version: u32,
}

/// What is public about an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Public {
    /// What the manifest says, too.
    #[serde(flatten)]
    pub facts: Facts,
    /// SHA-256 of the sealed tar.
    pub sha256: String,
    /// Bytes of the sealed tar.
    pub size: u64,
}

impl std::ops::Deref for Public {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// The ledger's head.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerHead {
    /// Hash of the last entry, hex.
    pub head: String,
    /// Number of entries.
    pub size: u64,
}

/// Who signs an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// The OpenPGP certificate.
    #[serde(with = "hex")]
    pub certificate: Vec<u8>,
    /// Fingerprint of its primary key: what is printed on the sheet.
    pub fingerprint: String,
}

impl Facts {
    /// The fields that are the same in every archive of today.
    pub(crate) fn format() -> String {
        FORMAT.to_owned()
    }

    /// The name that its fields make.
    #[must_use]
    pub fn name(&self) -> ArchiveName {
        ArchiveName {
            vault_id: self.vault_id,
            incarnation: self.incarnation,
            from: self.from,
            to: self.to,
        }
    }

    /// Checks that they are those of an archive of today, and agree. `what` they stand in is for the message.
    ///
    /// Errors: the first field that is not what it must be, by its name.
    pub(crate) fn fit(&self, what: &str) -> Result<(), ArchiveError> {
        let recipients = &self.recipients;
        let recipients_fit = (1..=RECIPIENTS_MAX).contains(&recipients.len())
            && recipients.iter().all(|recipient| is_fingerprint(recipient));
        let fields = [
            ("format", self.format == FORMAT),
            ("min_reader", (1..=PUBLIC_VERSION).contains(&self.min_reader)),
            ("version", self.version >= self.min_reader),
            ("kind", self.kind == "base"),
            ("from", self.from == Revision::ZERO),
            ("base_sha256", self.base_sha256.is_none()),
            ("prev_sha256", self.prev_sha256.is_none()),
            ("epoch", self.epoch == self.to.epoch()),
            ("file", self.file == format!("{}{TAR}", self.name())),
            ("ledger.head", is_sha256(&self.ledger.head)),
            ("seal", self.seal == "openpgp"),
            ("recipients", recipients_fit),
            ("signer.fingerprint", is_fingerprint(&self.signer.fingerprint)),
        ];
        match fields.into_iter().find(|(_, fits)| !fits) {
            None => Ok(()),
            Some((field, _)) => Err(odd(field, what)),
        }
    }
}

impl Public {
    /// The bytes of `NAME.json`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Reads `NAME.json`.
    ///
    /// Errors: a newer format, another spelling, or fields that do not fit one another.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ArchiveError> {
        newer_than_this(bytes)?;
        let public: Self = canonical::from_bytes(WHAT, bytes)?;
        public.facts.fit(WHAT)?;
        if is_sha256(&public.sha256) { Ok(public) } else { Err(odd("sha256", WHAT)) }
    }
}

fn odd(field: &str, what: &str) -> ArchiveError {
    ArchiveError::damaged(format!("the field {field} of {what} is odd, or does not fit the others"))
}

/// As gpg prints those of keys of version 4.
pub(crate) fn is_fingerprint(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

fn is_sha256(text: &str) -> bool {
    hex::decode::<[u8; 32]>(text).is_some()
}

/// Refuses what only a newer program can read, before anything else is said of it.
pub(crate) fn newer_than_this(bytes: &[u8]) -> Result<(), ArchiveError> {
    #[derive(Deserialize)]
    struct Version {
        min_reader: u32,
    }
    let version: Version = serde_json::from_slice(bytes)
        .map_err(|error| ArchiveError::damaged(format!("JSON does not parse: {error}")))?;
    if version.min_reader > PUBLIC_VERSION {
        return Err(ArchiveError::Newer(version.min_reader, PUBLIC_VERSION));
    }
    Ok(())
}
