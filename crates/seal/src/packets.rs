//! What several modules need of OpenPGP packets: armor, key blocks, fingerprints, times.

use holdfast_types::Millis;
use pgp::composed::PublicOrSecret;
use pgp::types::{KeyDetails, Timestamp};
use std::io::Read;
use zeroize::Zeroizing;

/// Undoes the armor, if there is one. `None` if the bytes are neither armor nor packets.
pub(crate) fn dearmor(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // RFC 9580 §4.2: the first bit of a packet is set.
    if bytes.first()? & 0x80 != 0 {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len()));
    pgp::armor::Dearmor::new(bytes).read_to_end(&mut out).ok()?;
    (!out.is_empty()).then_some(out)
}

/// How many key blocks armored text begins: rPGP reads the first and would not tell of the others.
pub(crate) fn armored_blocks(bytes: &[u8]) -> usize {
    const BEGIN: &[u8] = b"-----BEGIN PGP ";
    bytes.windows(BEGIN.len()).filter(|window| *window == BEGIN).count()
}

/// Every key in `bytes`, secret or public; an unreadable one is an error.
pub(crate) fn keys(bytes: &[u8]) -> Result<Vec<PublicOrSecret>, String> {
    PublicOrSecret::from_bytes_many(bytes)
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string())
}

/// 40 upper-case hex digits, as gpg prints them.
pub(crate) fn fingerprint(key: &impl KeyDetails) -> String {
    format!("{}", key.fingerprint()).to_ascii_uppercase()
}

/// OpenPGP's seconds.
pub(crate) fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_secs(at.as_secs_u32())
}
