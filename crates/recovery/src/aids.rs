//! What lies at the root of every target, and inside every archive, so that recovery needs no Holdfast.

use holdfast_seal::merge_signers;

use crate::members::CLUSTER;

/// Restores the keys of an unpacked archive; needs Python and its package `cryptography`.
pub const RECOVER_PY: &[u8] = include_bytes!("../../../contrib/recover.py");

/// How to recover by hand: it cannot be read inside the seal first, so it lies beside it.
const RECOVER_TXT: &str = include_str!("recover.txt");

/// What lies at the root of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aids {
    /// `RECOVER.txt`, `recover.py` and `cluster.pgp`.
    pub files: [(&'static str, Vec<u8>); 3],
    /// Whether the `cluster.pgp` that lies there is of another vault: then this one replaces it.
    pub another: bool,
}

/// The aids for a target whose `cluster.pgp`, if it has one, is `there`. `certificate` is what an archive is
/// signed with. Subkeys that only the one there has are kept: they signed older archives, or those of another
/// restore.
#[must_use]
pub fn aids(certificate: Vec<u8>, there: Option<&[u8]>) -> Aids {
    let merged = there.map(|there| merge_signers(there, &certificate));
    let another = matches!(merged, Some(None));
    let cluster = merged.flatten().unwrap_or(certificate);
    let files = [
        ("RECOVER.txt", RECOVER_TXT.as_bytes().to_vec()),
        ("recover.py", RECOVER_PY.to_vec()),
        (CLUSTER, cluster),
    ];
    Aids { files, another }
}

/// The first member of an archive.
pub(crate) fn readme() -> &'static [u8] {
    RECOVER_TXT.as_bytes()
}
