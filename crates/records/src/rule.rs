//! Rules of policies: `key.encrypt:orders-*`.

use std::fmt;
use std::str::FromStr;

use holdfast_types::limits::RULE_BYTES_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An exact text, or everything that begins with what stands before one trailing `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pattern(String);

/// An action pattern and a resource pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rule {
    /// `key.encrypt`, `key.*` or `*`.
    pub action: Pattern,
    /// The name it holds for: exact, or one trailing `*`.
    pub resource: Pattern,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleParseError {
    /// No colon.
    #[error("a rule is ACTION:NAME, for example key.encrypt:orders-*; this is {0:?}")]
    Form(String),
    /// One side cannot be a pattern.
    #[error("a pattern is an exact name or has one trailing *; this is {0:?}")]
    Pattern(String),
    /// Longer than any name.
    #[error("a rule of {0} bytes is too long")]
    TooLong(usize),
}

impl Pattern {
    /// Whether `text` is one of those it stands for.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => self.0 == text,
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = RuleParseError;

    fn from_str(text: &str) -> Result<Self, RuleParseError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fixed = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || !fixed.chars().all(allowed) {
            return Err(RuleParseError::Pattern(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Rule {
    type Err = RuleParseError;

    fn from_str(text: &str) -> Result<Self, RuleParseError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(RuleParseError::TooLong(text.len()));
        }
        let form = || RuleParseError::Form(text.to_owned());
        let (action, resource) = text.split_once(':').ok_or_else(form)?;
        Ok(Self { action: action.parse()?, resource: resource.parse()? })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.resource)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_parse_and_match() {
        let rule: Rule = "key.*:orders-*".parse().unwrap();
        assert!(rule.action.matches("key.encrypt") && !rule.action.matches("keys"));
        assert!(rule.resource.matches("orders-1") && !rule.resource.matches("order"));
        assert_eq!(rule.to_string(), "key.*:orders-*");
        for bad in
            ["", "key.encrypt", ":", "a:", ":b", "a:b*c", "a:**", "a:b:c", "a b:c", "a:\u{7}"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad:?}");
        }
        assert!("*:*".parse::<Rule>().is_ok());
    }
}
