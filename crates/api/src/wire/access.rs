//! Policies and identities on the wire.

use serde::{Deserialize, Serialize};

/// The rules of a policy: `key.encrypt:orders-*`. At least one of the lists is there; it may be empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// What it denies; this wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<Vec<String>>,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its enclave's name.
    pub enclave: String,
    /// What it allows.
    pub allow: Vec<String>,
    /// What it denies.
    pub deny: Vec<String>,
}

/// The policies of an enclave.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policies {
    /// They.
    pub policies: Vec<Policy>,
}

/// An identity to make; its API key stays with the client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewIdentity {
    /// Its name.
    pub name: String,
    /// `h1:...`.
    pub identity: String,
    /// `admin` or `user`.
    pub privilege: String,
    /// A user's enclave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave: Option<String>,
    /// A user's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// An identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// `h1:...`.
    pub identity: String,
    /// `admin` or `user`.
    pub privilege: String,
    /// A user's enclave.
    pub enclave: Option<String>,
    /// A user's policy.
    pub policy: Option<String>,
    /// When it was made.
    pub created: u64,
}

/// All identities.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identities {
    /// They.
    pub identities: Vec<Identity>,
}
