//! In place of the crate `display-more` 0.2.6, for openraft alone: the four traits by which it writes options,
//! results, slices and sets in its log lines. The crate itself also writes calendar times, which openraft has no use
//! for, and so brings a database of time zones and regular expressions into every build: 20 s of a core.
//!
//! The names and the forms are those of `display-more`; the code is ours. `Cargo.toml` of the workspace puts it in
//! its place. It can go as soon as openraft or `display-more` do without (and `patches` with it, in `Cargo.toml`,
//! `ARCHITECTURE.md` and the chores' `tidy`).

use std::collections::BTreeSet;
use std::fmt;

/// How many elements are written where no limit is named.
const LIMIT: usize = 5;

/// Writes an option: its value, or `None`.
pub struct DisplayOption<'a, T>(&'a Option<T>);

impl<T: fmt::Display> fmt::Display for DisplayOption<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("None"),
        }
    }
}

/// `display` for options.
pub trait DisplayOptionExt<'a, T: fmt::Display> {
    /// The option, to be written.
    fn display(&'a self) -> DisplayOption<'a, T>;
}

impl<'a, T: fmt::Display> DisplayOptionExt<'a, T> for Option<T> {
    fn display(&'a self) -> DisplayOption<'a, T> {
        DisplayOption(self)
    }
}

/// Writes a result: `Ok(value)` or `Err(error)`.
pub struct DisplayResult<'a, T, E>(&'a Result<T, E>);

impl<T: fmt::Display, E: fmt::Display> fmt::Display for DisplayResult<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "Ok({value})"),
            Err(error) => write!(f, "Err({error})"),
        }
    }
}

/// `display` for results.
pub trait DisplayResultExt<'a, T: fmt::Display, E: fmt::Display> {
    /// The result, to be written.
    fn display(&'a self) -> DisplayResult<'a, T, E>;
}

impl<'a, T: fmt::Display, E: fmt::Display> DisplayResultExt<'a, T, E> for Result<T, E> {
    fn display(&'a self) -> DisplayResult<'a, T, E> {
        DisplayResult(self)
    }
}

/// Writes some of many elements: `[1,2,3,4,..,8]`.
pub struct DisplayFew<'a, C: ?Sized> {
    all: &'a C,
    limit: usize,
}

impl<'a, C: ?Sized> fmt::Display for DisplayFew<'a, C>
where
    &'a C: IntoIterator<Item: fmt::Display, IntoIter: ExactSizeIterator>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = self.all.into_iter();
        let len = items.len();
        // The dots stand for these. The last element is not among them, unless none may be written.
        let dots = if len > self.limit {
            self.limit.saturating_sub(1)..len - self.limit.min(1)
        } else {
            len..len
        };
        f.write_str("[")?;
        for (index, item) in
            items.enumerate().filter(|(index, _)| !dots.contains(index) || *index == dots.start)
        {
            if index > 0 {
                f.write_str(",")?;
            }
            if index == dots.start { f.write_str("..")? } else { write!(f, "{item}")? }
        }
        f.write_str("]")
    }
}

/// `display` for slices.
pub trait DisplaySliceExt<'a, T: fmt::Display> {
    /// The slice, to be written: five elements at most.
    fn display(&'a self) -> DisplayFew<'a, [T]> {
        self.display_n(LIMIT)
    }

    /// The slice, to be written: `limit` elements at most.
    fn display_n(&'a self, limit: usize) -> DisplayFew<'a, [T]>;
}

impl<'a, T: fmt::Display> DisplaySliceExt<'a, T> for [T] {
    fn display_n(&'a self, limit: usize) -> DisplayFew<'a, [T]> {
        DisplayFew { all: self, limit }
    }
}

/// `display` for sets.
pub trait DisplayBTreeSetExt<'a, T: fmt::Display> {
    /// The set, to be written: five elements at most.
    fn display(&'a self) -> DisplayFew<'a, BTreeSet<T>> {
        self.display_n(LIMIT)
    }

    /// The set, to be written: `limit` elements at most.
    fn display_n(&'a self, limit: usize) -> DisplayFew<'a, BTreeSet<T>>;
}

impl<'a, T: fmt::Display> DisplayBTreeSetExt<'a, T> for BTreeSet<T> {
    fn display_n(&'a self, limit: usize) -> DisplayFew<'a, BTreeSet<T>> {
        DisplayFew { all: self, limit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_results_are_written_as_what_they_hold() {
        assert_eq!(Some(7).display().to_string(), "7");
        assert_eq!(None::<u8>.display().to_string(), "None");
        assert_eq!(Ok::<_, u8>(7).display().to_string(), "Ok(7)");
        assert_eq!(Err::<u8, _>("late").display().to_string(), "Err(late)");
    }

    #[test]
    fn of_many_elements_the_first_and_the_last_are_written() {
        let all: Vec<u8> = (1..=7).collect();
        for (count, limit, written) in [
            (0, 5, "[]"),
            (1, 5, "[1]"),
            (5, 5, "[1,2,3,4,5]"),
            (6, 5, "[1,2,3,4,..,6]"),
            (7, 5, "[1,2,3,4,..,7]"),
            (7, 7, "[1,2,3,4,5,6,7]"),
            (7, 6, "[1,2,3,4,5,..,7]"),
            (7, 2, "[1,..,7]"),
            (7, 1, "[..,7]"),
            (7, 0, "[..]"),
        ] {
            let set: BTreeSet<u8> = all[..count].iter().copied().collect();
            assert_eq!(all[..count].display_n(limit).to_string(), written, "{count} with {limit}");
            assert_eq!(set.display_n(limit).to_string(), written, "{count} with {limit}");
        }
        assert_eq!(all.display().to_string(), "[1,2,3,4,..,7]");
        assert_eq!(BTreeSet::from([1, 2]).display().to_string(), "[1,2]");
    }
}
