//! The numbers everything is counted by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{EPOCH_MAX, EPOCH_SHIFT};

/// Raised by one with every accepted transaction. The first revision of epoch *n* is `n << 40`;
/// people see `n.count`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything: where a base archive begins.
    pub const ZERO: Self = Self(0);

    /// The revision at which epoch `epoch` begins.
    ///
    /// `None` past [`EPOCH_MAX`], which keeps JSON integers exact.
    #[must_use]
    pub fn epoch_base(epoch: u32) -> Option<Self> {
        (epoch <= EPOCH_MAX).then_some(Self(u64::from(epoch) << EPOCH_SHIFT))
    }

    /// The number of the epoch it belongs to.
    #[must_use]
    pub fn epoch(self) -> u32 {
        u32::try_from(self.0 >> EPOCH_SHIFT).unwrap_or(u32::MAX)
    }

    /// How many transactions its epoch had accepted.
    #[must_use]
    pub fn count(self) -> u64 {
        self.0 & ((1 << EPOCH_SHIFT) - 1)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.count())
    }
}

/// The generation of a root key: 1, 2, ...
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The first.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a key: 1..n.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    /// The first.
    pub const FIRST: Self = Self(1);

    /// The one after it; `None` where the numbers end.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_epoch_and_count() {
        let base = Revision::epoch_base(1).unwrap();
        assert_eq!(Revision(base.0 + 17).to_string(), "1.17");
        assert_eq!(Revision::epoch_base(EPOCH_MAX + 1), None);
        assert_eq!(Revision::epoch_base(EPOCH_MAX).unwrap().epoch(), EPOCH_MAX);
    }
}
