//! Custodians, slots and the sheet on the wire.

use serde::{Deserialize, Serialize};

/// A custodian to add, or the renewed certificate of one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCustodian {
    /// A name; from the certificate where nothing is said. A custodian keeps theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The OpenPGP certificate, armored or binary.
    pub certificate: super::Base64,
}

/// A custodian.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Custodian {
    /// Their name.
    pub name: String,
    /// Their id, hex.
    pub custodian_id: String,
    /// Their certificate's fingerprint, hex.
    pub fingerprint: String,
    /// When they were added.
    pub added: u64,
    /// When the certificate expires.
    pub expires: Option<u64>,
    /// The id of the slot that opens the root for them, hex.
    pub slot_id: Option<String>,
}

/// A custodian who was added, or whose certificate was renewed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CustodianAdded {
    /// Who.
    #[serde(flatten)]
    pub custodian: Custodian,
    /// Whether they were a custodian before, and this call replaced their certificate.
    pub renewed: bool,
}

/// All custodians.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Custodians {
    /// They.
    pub custodians: Vec<Custodian>,
}

/// A custodian who was removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CustodianRemoved {
    /// Who.
    #[serde(flatten)]
    pub custodian: Custodian,
    /// What that does not change.
    pub note: String,
}

/// A seal slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Slot {
    /// Its id, hex.
    pub slot_id: String,
    /// The root generation it opens.
    pub generation: u32,
    /// `openpgp` or `soft`.
    pub kind: String,
    /// Its custodian's name.
    pub custodian: Option<String>,
    /// The fingerprint it is sealed to, or the soft key's path.
    pub recipient: String,
    /// Whether it travels in archives.
    pub archived: bool,
}

/// All slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Slots {
    /// They.
    pub slots: Vec<Slot>,
}

/// The page a custodian keeps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sheet {
    /// The vault's id, hex.
    pub vault_id: String,
    /// The fingerprint of the certificate that signs archives.
    pub signer: String,
    /// The custodians.
    pub custodians: Vec<Custodian>,
    /// The page, to print.
    pub text: String,
}
