//! What callers are told when a rule says no.

use holdfast_keys::RuleError;
use holdfast_types::Kind;

use crate::Error;

impl From<RuleError> for Error {
    fn from(error: RuleError) -> Self {
        let mut told = Self::new(error.kind(), error.to_string());
        told.next = match error.next() {
            Some(next) => Some(next.to_owned()),
            None if error.kind() == Kind::Exists => Some("choose another name".to_owned()),
            None => None,
        };
        told
    }
}
