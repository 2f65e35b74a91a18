//! Custodians, seal slots and the sheet.

use holdfast_types::{CustodianId, Generation, Millis, Name, SlotId, VaultId};

/// The custodian to add, or the renewed certificate of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddCustodian {
    /// A name; made from the certificate's user id where nothing is said. A custodian keeps theirs.
    pub name: Option<Name>,
    /// Their OpenPGP certificate, armored or binary.
    pub certificate: Vec<u8>,
}

/// A custodian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustodianInfo {
    /// Their name.
    pub name: Name,
    /// Their id.
    pub custodian_id: CustodianId,
    /// The fingerprint of their certificate, hex.
    pub fingerprint: String,
    /// When they were added, in state time.
    pub added: Millis,
    /// When the certificate expires.
    pub expires: Option<Millis>,
    /// The slot that opens the current root for them; without it no archive opens through both layers.
    pub slot: Option<SlotId>,
}

/// A custodian who was added, or whose certificate was renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustodianAdded {
    /// Who.
    pub custodian: CustodianInfo,
    /// Whether they were one before, and their certificate was replaced.
    pub renewed: bool,
}

/// A custodian who was removed, and what that does not change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CustodianRemoved {
    /// Who.
    pub custodian: CustodianInfo,
    /// "archives made before still open with this certificate", for people.
    pub note: String,
}

/// Which custodian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CustodianSelector {
    /// By name.
    Name(Name),
    /// By the certificate's fingerprint, hex, any case.
    Fingerprint(String),
    /// By id.
    Id(CustodianId),
}

impl CustodianSelector {
    /// Reads `text` as an id (32 hex digits), a fingerprint (40 or 64) or a name; `None` where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        match text.len() {
            32 if hex && text.parse::<CustodianId>().is_ok() => text.parse().ok().map(Self::Id),
            40 | 64 if hex => Some(Self::Fingerprint(text.to_owned())),
            _ => text.parse().ok().map(Self::Name),
        }
    }
}

/// A seal slot: one independent way to open the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotInfo {
    /// Its id.
    pub slot_id: SlotId,
    /// The root generation it opens.
    pub generation: Generation,
    /// `openpgp` or `soft`.
    pub kind: &'static str,
    /// The name of its custodian.
    pub custodian: Option<Name>,
    /// The fingerprint it is sealed to; for `soft` the path of its key file.
    pub recipient: String,
    /// Whether it travels in archives; `soft` never does.
    pub archived: bool,
}

/// The page a custodian keeps. Nothing on it is secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sheet {
    /// The vault.
    pub vault_id: VaultId,
    /// The fingerprint of the certificate that signs archives, hex.
    pub fingerprint: String,
    /// The custodians.
    pub custodians: Vec<CustodianInfo>,
    /// The page, to print.
    pub text: String,
}
