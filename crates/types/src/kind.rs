//! What kind of failure something is: one table behind exit codes, HTTP statuses and error codes.
//!
//! Numbers and code texts are a contract with scripts: they are never changed or used again. Two
//! outcomes have no kind because they are no failure of ours: 2 (usage, from the argument parser) and
//! 130 (interrupted).

use std::fmt;
use std::str::FromStr;

/// A kind of failure. The variants say whose turn it is: the caller's, the environment's, ours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// None of the others.
    Other,
    /// What was named does not exist, or the caller may not know that it does.
    NotFound,
    /// The caller may not do this, or a rule forbids it now.
    Refused,
    /// Something of that name exists already, or a place is not empty.
    Exists,
    /// The request cannot be understood.
    BadInput,
    /// The request is understood and larger than the limit.
    TooLarge,
    /// Authentication of data failed: a ciphertext, a signature, a digest.
    NotAuthentic,
    /// Nothing answers, or not now: try again.
    Unavailable,
    /// Stored data is damaged.
    Damaged,
    /// An archive is signed by somebody unknown here.
    UnknownSigner,
    /// This identity does not open the archive.
    WrongIdentity,
    /// A format newer than this program.
    Newer,
    /// The data is another vault's.
    AnotherVault,
    /// No space left.
    NoSpace,
    /// Another process uses it: a data directory, a port.
    InUse,
    /// There is no vault where one should be.
    NoVault,
    /// The soft key is missing or wrong.
    SoftKey,
    /// A bug of ours.
    Internal,
}

impl Kind {
    /// All of them, in the order of their exit codes.
    pub const ALL: [Self; 18] = [
        Self::Other,
        Self::NotFound,
        Self::Refused,
        Self::Exists,
        Self::BadInput,
        Self::TooLarge,
        Self::NotAuthentic,
        Self::Unavailable,
        Self::Damaged,
        Self::UnknownSigner,
        Self::WrongIdentity,
        Self::Newer,
        Self::AnotherVault,
        Self::NoSpace,
        Self::InUse,
        Self::NoVault,
        Self::SoftKey,
        Self::Internal,
    ];

    /// (exit code, HTTP status, code text).
    const fn row(self) -> (u8, u16, &'static str) {
        match self {
            Self::Other => (1, 500, "other"),
            Self::NotFound => (10, 404, "not_found"),
            Self::Refused => (11, 403, "refused"),
            Self::Exists => (12, 409, "exists"),
            Self::BadInput => (13, 400, "bad_input"),
            Self::TooLarge => (13, 413, "too_large"),
            Self::NotAuthentic => (14, 422, "not_authentic"),
            Self::Unavailable => (20, 503, "unavailable"),
            Self::Damaged => (21, 500, "damaged"),
            Self::UnknownSigner => (22, 422, "unknown_signer"),
            Self::WrongIdentity => (23, 422, "wrong_identity"),
            Self::Newer => (24, 422, "newer_format"),
            Self::AnotherVault => (25, 422, "another_vault"),
            Self::NoSpace => (30, 507, "no_space"),
            Self::InUse => (31, 409, "in_use"),
            Self::NoVault => (32, 503, "no_vault"),
            Self::SoftKey => (33, 503, "soft_key"),
            Self::Internal => (70, 500, "internal"),
        }
    }

    /// The exit code of a command that ends with it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self.row().0
    }

    /// The HTTP status (RFC 9110) of a response that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        self.row().1
    }

    /// Its text in JSON: `"not_found"`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().2
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no kind's code; a newer server may know more of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of error: {0:?}")]
pub struct UnknownKind(pub String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = Self::ALL.into_iter().find(|kind| kind.code() == text);
        found.ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_read_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.code().parse(), Ok(kind));
        }
        assert!("nothing".parse::<Kind>().is_err());
    }

    #[test]
    fn only_two_kinds_share_an_exit_code() {
        let mut codes: Vec<u8> = Kind::ALL.into_iter().map(Kind::exit_code).collect();
        codes.dedup();
        assert_eq!(codes.len(), Kind::ALL.len() - 1, "bad input and too large");
        assert!(codes.is_sorted());
        assert!(!codes.contains(&2) && !codes.contains(&130));
    }
}
