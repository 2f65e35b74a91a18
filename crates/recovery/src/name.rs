//! The name of an archive: `<8 hex of vault_id>-e<epoch>-<4 hex of incarnation>-<from>-<to>`.

use std::fmt;

use holdfast_types::{EpochId, Revision, VaultId};

/// The sealed tar's extension.
pub(crate) const TAR: &str = ".tar.gpg";
/// The public JSON's.
pub(crate) const JSON: &str = ".json";
/// The signature's.
pub(crate) const SIGNATURE: &str = ".json.sig";

/// What is left of the name of one of an archive's three files without its extension; any other text as it is.
#[must_use]
pub fn without_extension(file: &str) -> &str {
    // The signature's ends differently from JSON's, so the order does not matter.
    [TAR, SIGNATURE, JSON].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file)
}

/// The name of an archive, without extension. Names sort by epoch, then by incarnation, which is drawn at random,
/// then by revision: which of them is the newest they do not tell where there are several incarnations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveName {
    /// The vault.
    pub vault_id: VaultId,
    /// The incarnation.
    pub incarnation: EpochId,
    /// Where it begins; zero in a base.
    pub from: Revision,
    /// The revision it holds.
    pub to: Revision,
}

impl ArchiveName {
    /// Whether a text has the form of an archive's name: letters, digits and `-`, so that it stays in the directory
    /// that it is given to.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let is_hex =
            |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = text.split('-').collect();
        let [vault_id, epoch, incarnation, from, to] = parts.as_slice() else { return false };
        let is_epoch =
            |part: &str| part.strip_prefix('e').is_some_and(|n| n.len() >= 4 && is_number(n));
        let is_revision = |part: &str| (16..=20).contains(&part.len()) && is_number(part);
        vault_id.len() == 8
            && is_hex(vault_id)
            && epoch.len() <= 11
            && is_epoch(epoch)
            && incarnation.len() == 4
            && is_hex(incarnation)
            && is_revision(from)
            && is_revision(to)
    }

    /// Whether a restore of this archive heeds what `other`, of the same vault, took away: where that is a later one
    /// of its incarnation, one of a later epoch, or, whatever its revision, one of another incarnation of the same
    /// epoch. Of two restores that did not see each other neither is the newer one.
    #[must_use]
    pub fn heeds(&self, other: &Self) -> bool {
        self.vault_id == other.vault_id
            && self.heeds_at(other.to, self.incarnation == other.incarnation)
    }

    /// As [`Self::heeds`], by the name of one of the other's files: where nothing else of it can be
    /// read. A name that is no archive's of this vault says no.
    #[must_use]
    pub fn heeds_file(&self, file: &str) -> bool {
        let parts: Vec<&str> = without_extension(file).split('-').collect();
        let [prefix, epoch, incarnation, _, to] = parts.as_slice() else { return false };
        let Ok(to) = to.parse().map(Revision) else { return false };
        let [vault_id, own] = [self.vault_id.to_string(), self.incarnation.to_string()];
        *prefix == &vault_id[..8]
            && *epoch == format!("e{:04}", to.epoch())
            && self.heeds_at(to, *incarnation == &own[..4])
    }

    fn heeds_at(&self, to: Revision, same_incarnation: bool) -> bool {
        let is_apart = to.epoch() == self.to.epoch() && !same_incarnation;
        to > self.to || is_apart
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vault, incarnation) = (self.vault_id.to_string(), self.incarnation.to_string());
        write!(
            f,
            "{}-e{:04}-{}-{:016}-{:016}",
            &vault[..8],
            self.to.epoch(),
            &incarnation[..4],
            self.from.0,
            self.to.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_go() {
        for file in ["a/N.tar.gpg", "a/N.json", "a/N.json.sig", "a/N"] {
            assert_eq!(without_extension(file), "a/N", "{file}");
        }
        assert_eq!(without_extension("N.tar"), "N.tar");
    }

    #[test]
    fn is_zero_padded() {
        let name = ArchiveName {
            vault_id: VaultId([0xab; 16]),
            incarnation: EpochId([0x12; 16]),
            from: Revision::ZERO,
            to: Revision((1 << 40) + 17),
        };
        let expected = "abababab-e0001-1212-0000000000000000-0001099511627793";
        assert_eq!(name.to_string(), expected);
        let latest = ArchiveName { from: Revision(u64::MAX), to: Revision(u64::MAX), ..name };
        assert!(ArchiveName::is_one(expected) && ArchiveName::is_one(&latest.to_string()));
        let older = ArchiveName { to: Revision((1 << 40) + 16), ..name };
        for file in [expected.to_owned(), format!("{expected}.json"), format!("{expected}.tar.gpg")]
        {
            assert!(older.heeds_file(&file) && !name.heeds_file(&file));
            let elsewhere = ArchiveName { vault_id: VaultId([0xac; 16]), ..older };
            assert!(!elsewhere.heeds_file(&file));
        }
        let other_epoch = expected.replace("e0001", "e0002");
        for file in ["notes.json", "abababab-e0001-1212-0-x.json", &other_epoch, ""] {
            assert!(!older.heeds_file(file), "{file}");
        }
    }

    #[test]
    fn what_is_no_name_is_told() {
        let name = "abababab-e0001-1212-0000000000000000-0001099511627793";
        for (old, new) in [
            ("abababab", "../abab"),
            ("abababab", "/ababab"),
            ("abababab", "ABABABAB"),
            ("1212", "12/2"),
            ("1212", "12\u{b2}"),
            ("e0001", "f0001"),
            ("e0001", "e"),
            ("-0001099511627793", "-../../../../../x"),
            ("-0001099511627793", ""),
            ("-0001099511627793", "-0001099511627793-1"),
            ("-0001099511627793", "-1"),
        ] {
            assert!(!ArchiveName::is_one(&name.replace(old, new)), "{old} {new}");
        }
        assert!(!ArchiveName::is_one("") && !ArchiveName::is_one("----"));
    }

    #[test]
    fn what_is_newer_is_a_question_within_an_incarnation_only() {
        let at = |epoch: u64, incarnation: u8, count: u64| ArchiveName {
            vault_id: VaultId([0xab; 16]),
            incarnation: EpochId([incarnation; 16]),
            from: Revision::ZERO,
            to: Revision((epoch << 40) + count),
        };
        for (here, there, may) in [
            (at(2, 7, 9), at(2, 7, 10), true),
            (at(2, 7, 9), at(2, 7, 9), false),
            (at(2, 7, 9), at(2, 7, 8), false),
            // Another restore of the archive that this one was restored from.
            (at(2, 7, 9), at(2, 8, 10), true),
            (at(2, 7, 9), at(2, 8, 9), true),
            (at(2, 7, 9), at(2, 8, 1), true),
            (at(2, 7, 9), at(3, 8, 1), true),
            (at(2, 7, 9), at(1, 8, 99), false),
        ] {
            assert_eq!(here.heeds(&there), may, "{here} {there}");
            assert_eq!(here.heeds_file(&format!("{there}.json")), may, "{here} {there}");
        }
    }
}
