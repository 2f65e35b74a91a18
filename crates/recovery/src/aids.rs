//! What lies at the root of every target, and inside every archive, so that recovery needs no Holdfast.

use holdfast_seal::merge_signers;

use crate::members::CLUSTER;

/// Restores the keys of an unpacked archive; needs Python and its package `cryptography`.
pub const RECOVER_PY: &[u8] = include_bytes!("../../../contrib/recover.py");

/// How to recover by hand: it cannot be read inside the seal first, so it lies beside it.
const RECOVER_TXT: &str = include_str!("recover.txt");

/// `RECOVER.txt`, `recover.py` and `cluster.pgp` for a target whose `cluster.pgp`, if it has one, is `there`.
/// `certificate` is what an archive is signed with. Subkeys that only the one there has are kept: they signed older
/// archives, or those of another restore. One that is of another primary, or none, is replaced.
#[must_use]
pub fn aids(certificate: Vec<u8>, there: Option<&[u8]>) -> [(&'static str, Vec<u8>); 3] {
    let merged = there.and_then(|there| merge_signers(there, &certificate));
    [
        ("RECOVER.txt", RECOVER_TXT.as_bytes().to_vec()),
        ("recover.py", RECOVER_PY.to_vec()),
        (CLUSTER, merged.unwrap_or(certificate)),
    ]
}

/// The first member of an archive.
pub(crate) fn readme() -> &'static [u8] {
    RECOVER_TXT.as_bytes()
}
