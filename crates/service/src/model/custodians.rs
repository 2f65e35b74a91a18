//! Custodians, seal slots and the sheet.

use std::fmt;
use std::str::FromStr;

use holdfast_types::{CustodianId, Generation, Millis, Name, NameError, SlotId, VaultId};

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

impl FromStr for CustodianSelector {
    type Err = NameError;

    /// An id (32 hex digits), a fingerprint (40 or 64, with blanks between them as on the sheet) or a name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain: String = text.split_ascii_whitespace().collect();
        let hex = plain.bytes().all(|byte| byte.is_ascii_hexdigit());
        match plain.len() {
            40 | 64 if hex => Ok(Self::Fingerprint(plain)),
            _ => text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Name)),
        }
    }
}

impl CustodianSelector {
    /// Whether it names this one.
    #[must_use]
    pub fn names(&self, name: &Name, custodian_id: CustodianId, fingerprint: &str) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Id(wanted) => *wanted == custodian_id,
            Self::Fingerprint(wanted) => wanted.eq_ignore_ascii_case(fingerprint),
        }
    }
}

impl fmt::Display for CustodianSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Fingerprint(text) => f.write_str(text),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custodian_is_named_by_name_id_or_fingerprint_as_printed() {
        let plain = "0123456789ABCDEF0123456789ABCDEF01234567";
        let grouped = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        for text in [plain, grouped, &plain.to_lowercase()] {
            let which: CustodianSelector = text.parse().unwrap();
            assert!(which.names(&"anna".parse().unwrap(), CustodianId([1; 16]), plain), "{text}");
        }
        let id = CustodianId([0xab; 16]);
        assert_eq!(id.to_string().parse(), Ok(CustodianSelector::Id(id)));
        assert_eq!("anna".parse(), Ok(CustodianSelector::Name("anna".parse().unwrap())));
        assert!("an na".parse::<CustodianSelector>().is_err());
    }
}
