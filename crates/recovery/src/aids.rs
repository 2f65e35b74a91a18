//! What lies at the root of every target, and inside every archive, so that recovery needs no Holdfast.

/// Restores the keys of an unpacked archive; needs Python and its package `cryptography`.
pub const RECOVER_PY: &[u8] = include_bytes!("../../../contrib/recover.py");

/// How to recover by hand: it cannot be read inside the seal first, so it lies beside it.
const RECOVER_TXT: &str = include_str!("recover.txt");

/// `RECOVER.txt`, `recover.py` and `cluster.pgp` (the certificate that archives are signed with).
#[must_use]
pub fn aids(certificate: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("RECOVER.txt", RECOVER_TXT.as_bytes().to_vec()),
        ("recover.py", RECOVER_PY.to_vec()),
        ("cluster.pgp", certificate),
    ]
}

/// The first member of an archive.
pub(crate) fn readme() -> &'static [u8] {
    RECOVER_TXT.as_bytes()
}
