//! Identities and policies.

pub use holdfast_records::Privilege;
use holdfast_types::{IdentityId, Millis, Name};

/// The rules of a policy, as people write them: `key.encrypt:orders-*`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SetPolicy {
    /// What it allows.
    pub allow: Vec<String>,
    /// What it denies; this wins.
    pub deny: Vec<String>,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicyInfo {
    /// Its name.
    pub name: Name,
    /// The name of its enclave.
    pub enclave: Name,
    /// What it allows.
    pub allow: Vec<String>,
    /// What it denies.
    pub deny: Vec<String>,
}

/// The identity to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateIdentity {
    /// Its name.
    pub name: Name,
    /// The hash of its certificate's public key.
    pub identity: IdentityId,
    /// Administrator or user.
    pub privilege: Privilege,
    /// A user's enclave, which never changes; none for an administrator.
    pub enclave: Option<Name>,
    /// A user's policy; without one it may do nothing.
    pub policy: Option<Name>,
}

/// An identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityInfo {
    /// Its name.
    pub name: Name,
    /// The hash of its certificate's public key.
    pub identity: IdentityId,
    /// Administrator or user.
    pub privilege: Privilege,
    /// The name of a user's enclave.
    pub enclave: Option<Name>,
    /// The name of its policy.
    pub policy: Option<Name>,
    /// When it was made, in state time.
    pub created: Millis,
}

/// Which identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IdentitySelector {
    /// By name.
    Name(Name),
    /// By id, `h1:...`.
    Id(IdentityId),
}
