//! Why a use case failed: one kind, one line for people, one next step.

use holdfast_types::Kind;

/// A failure, as the caller may see it. Decryption failures look alike here; detail goes to the audit log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind; gives exit code and HTTP status.
    pub kind: Kind,
    /// What happened: a lowercase fragment that names the object.
    pub message: String,
    /// What to do next, where that is known.
    pub next: Option<String>,
    /// The answer rests on a record that is missing here: worth asking the majority before giving it.
    pub(crate) miss: bool,
    /// What only the audit log may know.
    pub(crate) detail: Option<String>,
}

impl Error {
    /// A failure of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), next: None, miss: false, detail: None }
    }

    /// With a next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// With what only the audit log may know.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What the audit log says of it.
    pub(crate) fn for_log(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.message)
    }

    /// Because a record is missing here.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self { miss: true, ..Self::new(Kind::NotFound, message) }
    }
}
