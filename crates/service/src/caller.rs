//! Who calls, from where.

use holdfast_types::IdentityId;

/// Who calls, as the listener found out. Made once per connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The identity behind the client certificate; `None` without one.
    pub identity: Option<IdentityId>,
    /// Whether the connection comes from this host.
    pub local: bool,
    /// Whether the vault knew the identity when the connection was made: what may be lent (memory for a
    /// body) before a call is judged. Each call is judged anew.
    pub known: bool,
    /// The address it comes from, for the audit log.
    pub remote: String,
}

impl Caller {
    /// The vault itself: jobs, first start. Recorded as [`IdentityId::SYSTEM`], allowed everything.
    /// A listener never makes one: no certificate hashes to zeros.
    #[must_use]
    pub fn system() -> Self {
        Self {
            identity: Some(IdentityId::SYSTEM),
            local: true,
            known: true,
            remote: "system".to_owned(),
        }
    }
}
