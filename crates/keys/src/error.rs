//! Why a rule says no: always the caller's turn.

/// A rule says no. The message is a lowercase fragment that names the object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The name is taken.
    #[error("{0} exists already")]
    Exists(String),
    /// Not allowed as things stand; `next` says what would help.
    #[error("{what}")]
    Refused {
        /// What is refused, and why.
        what: String,
        /// The next step.
        next: String,
    },
}

impl RuleError {
    pub(crate) fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), next: next.into() }
    }
}
