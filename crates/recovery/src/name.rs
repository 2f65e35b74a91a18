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

/// The name of an archive, without extension. Names sort by epoch, then by revision.
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
    /// The revision that an archive of this vault holds, by the name of one of its files: where nothing else of
    /// it can be read. `None` where the name is no such archive's.
    #[must_use]
    pub fn revision_of(file: &str, vault: VaultId) -> Option<Revision> {
        let parts: Vec<&str> = without_extension(file).split('-').collect();
        let [prefix, epoch, _, _, to] = parts.as_slice() else { return None };
        let to = Revision(to.parse().ok()?);
        let ours = *prefix == &vault.to_string()[..8] && *epoch == format!("e{:04}", to.epoch());
        ours.then_some(to)
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
        for file in [expected.to_owned(), format!("{expected}.json"), format!("{expected}.tar.gpg")]
        {
            assert_eq!(ArchiveName::revision_of(&file, name.vault_id), Some(name.to), "{file}");
            assert_eq!(ArchiveName::revision_of(&file, VaultId([0xac; 16])), None);
        }
        let other_epoch = expected.replace("e0001", "e0002");
        for file in ["notes.json", "abababab-e0001-1212-0-x.json", &other_epoch, ""] {
            assert_eq!(ArchiveName::revision_of(file, name.vault_id), None, "{file}");
        }
    }
}
