//! Names that people give: keys, enclaves, policies, identities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::NAME_BYTES_MAX;

/// 1 to [`NAME_BYTES_MAX`] characters of `[A-Za-z0-9._-]`, the first a letter, a digit or `_`.
///
/// So a name is never a path, an option, a pattern or a surprise on a terminal.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Box<str>);

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{}: give {NAME_BYTES_MAX} characters at most, of A-Z a-z 0-9 . _ -", self.said_of("a name"))]
    Empty,
    /// More than [`NAME_BYTES_MAX`] characters.
    #[error("{}", self.said_of("a name"))]
    TooLong(usize),
    /// A character outside the set, quoted so that control characters are visible.
    #[error("{}: use A-Z a-z 0-9 . _ -", self.said_of("a name"))]
    Character(char),
    /// `.` or `-` in front.
    #[error("{}", self.said_of("a name"))]
    First(char),
}

impl NameError {
    /// What is wrong, of the name that is meant: "the key's name".
    #[must_use]
    pub fn said_of(&self, what: &str) -> String {
        match self {
            Self::Empty => format!("{what} is empty"),
            Self::TooLong(n) => {
                format!("{what} of {n} bytes is too long: at most {NAME_BYTES_MAX}")
            }
            Self::Character(c) => format!("{what} cannot contain {c:?}"),
            Self::First(c) => format!("{what} cannot begin with {c:?}"),
        }
    }
}

impl Name {
    /// What a name may be, for people.
    pub const RULE: &str =
        "a name has 1 to 80 characters of A-Z a-z 0-9 . _ - and begins with none of . -";

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = *text.as_bytes().first().ok_or(NameError::Empty)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !text.bytes().all(allowed) {
            let bad = text.chars().find(|c| !u8::try_from(*c).is_ok_and(allowed));
            return Err(NameError::Character(bad.unwrap_or_default()));
        }
        if matches!(first, b'.' | b'-') {
            return Err(NameError::First(char::from(first)));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "n".repeat(NAME_BYTES_MAX);
        for good in ["orders", "a", "A.b_c-9", "_x", &long] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let check = |text: &str, error| assert_eq!(text.parse::<Name>(), Err(error), "{text:?}");
        check("", NameError::Empty);
        check(&"n".repeat(NAME_BYTES_MAX + 1), NameError::TooLong(NAME_BYTES_MAX + 1));
        check("a/b", NameError::Character('/'));
        check("a\nb", NameError::Character('\n'));
        check("naïve", NameError::Character('ï'));
        check("a*", NameError::Character('*'));
        check("..", NameError::First('.'));
        check("-rf", NameError::First('-'));
        assert!(Name::RULE.contains(&format!(" 1 to {NAME_BYTES_MAX} ")));
    }

    #[test]
    fn an_error_says_of_which_name() {
        let check = |text: &str, want: &str| {
            let error = text.parse::<Name>().unwrap_err();
            assert_eq!(error.said_of("the key's name"), format!("the key's name {want}"));
            assert!(error.to_string().starts_with(&format!("a name {want}")), "{error}");
        };
        check("", "is empty");
        check("a/b", "cannot contain '/'");
        check("-rf", "cannot begin with '-'");
        check(&"n".repeat(81), "of 81 bytes is too long: at most 80");
    }
}
