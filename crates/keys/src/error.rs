//! Why a rule says no.

use holdfast_types::{IdentityId, Kind, Name};

/// Why a rule says no. Messages are fragments that name the object; `next` is what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// What was named does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// An enclave has no policy of that name.
    #[error("there is no policy {0}")]
    NoPolicy(String),
    /// The name or id is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// A public key is an identity's already.
    #[error("{identity} is that of identity {name} already")]
    KeyTaken {
        /// The hash of the key.
        identity: IdentityId,
        /// Whose it is.
        name: Name,
    },
    /// It is so already.
    #[error("{what}: nothing to do")]
    Unchanged {
        /// What is so.
        what: String,
        /// What to do where it should not be.
        next: String,
    },
    /// The state of things forbids it now.
    #[error("{what}")]
    Refused {
        /// What forbids it.
        what: String,
        /// What to do about it.
        next: String,
    },
    /// The request makes no sense, whatever the state.
    #[error("{0}")]
    BadInput(String),
}

impl RuleError {
    /// Its kind: exit code and HTTP status.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) | Self::NoPolicy(_) => Kind::NotFound,
            Self::Exists(_) | Self::KeyTaken { .. } | Self::Unchanged { .. } => Kind::Exists,
            Self::Refused { .. } => Kind::Refused,
            Self::BadInput(_) => Kind::BadInput,
        }
    }

    /// What to do next, where the rule knows.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        match self {
            Self::Refused { next, .. } | Self::Unchanged { next, .. } => Some(next),
            Self::KeyTaken { .. } => {
                Some("an API key is one identity's: give another one, or use that identity")
            }
            Self::NoPolicy(_) => {
                Some("make it first: holdfast policy set NAME -e ENCLAVE --allow RULE")
            }
            _ => None,
        }
    }

    pub(crate) fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), next: next.into() }
    }
}
