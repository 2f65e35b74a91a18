//! Seal slots: the text that a slot seals, and the soft slot of a node (`formats/keys.md` §3, §4).

use data_encoding::HEXLOWER;
use holdfast_crypto::xaes256gcm::{KEY_BYTES, TAG_BYTES};
use holdfast_crypto::{NONCE_BYTES, Nonce, Secret, SecretBytes, xaes256gcm};
use holdfast_types::{Generation, SlotId, VaultId};

use crate::KeyringError;
use crate::wrap::check_format;

const TITLE: &str = "holdfast-root-v1";
const SOFT_FORMAT: u8 = 1;
const SOFT_LABEL: &[u8] = b"holdfast/v1/soft";
const SOFT_BYTES: usize = 1 + 4 + NONCE_BYTES + 32 + TAG_BYTES;

/// The content of a soft key file: 32 random bytes, raw, outside the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftKey(Secret<KEY_BYTES>);

impl SoftKey {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::generate())
    }

    /// From a file's content.
    pub fn read(content: &[u8]) -> Result<Self, KeyringError> {
        let secret = Secret::from_slice(content);
        secret.map(Self).ok_or(KeyringError::SoftKeyLength(content.len()))
    }

    /// What to write to the file.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; KEY_BYTES] {
        self.0.expose_secret()
    }
}

/// The four lines of a slot.
pub(crate) fn payload(vault: VaultId, generation: Generation, root: &[u8; 32]) -> SecretBytes {
    // At full size first: growing would leave parts of the root behind.
    let mut text = String::with_capacity(256);
    text.push_str(&format!("{TITLE}\nvault {vault}\ngeneration {generation}\nroot "));
    HEXLOWER.encode_append(root, &mut text);
    text.push('\n');
    SecretBytes::from(text.into_bytes())
}

/// Reads the four lines; the last newline may be missing, as after a copy by hand.
pub(crate) fn parse_payload(
    vault: VaultId,
    bytes: &[u8],
) -> Result<(Generation, Secret<32>), KeyringError> {
    let bad = KeyringError::SlotPayload;
    let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not text"))?;
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    if lines.next() != Some(TITLE) {
        return Err(bad("the first line is not holdfast-root-v1"));
    }
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let found = field("vault").and_then(|id| id.parse().ok());
    let generation = field("generation").and_then(parse_number);
    let root = field("root").and_then(parse_root);
    if lines.next().is_some() {
        return Err(bad("there are more than four lines"));
    }
    let found: VaultId = found.ok_or(bad("the line of the vault"))?;
    if found != vault {
        return Err(KeyringError::AnotherVault(found));
    }
    let generation = generation.ok_or(bad("the line of the generation"))?;
    Ok((generation, root.ok_or(bad("the line of the root"))?))
}

/// Decimal, as we write it: no sign, no zero in front.
fn parse_number(text: &str) -> Option<Generation> {
    let number: u32 = text.parse().ok()?;
    (number > 0 && number.to_string() == text).then_some(Generation(number))
}

fn parse_root(text: &str) -> Option<Secret<32>> {
    if text.len() != 64 {
        return None;
    }
    let mut decoded = Ok(0);
    let root = Secret::fill_with(|out| {
        decoded = HEXLOWER.decode_mut(text.as_bytes(), out).map_err(|_| ());
    });
    decoded.ok().map(|_| root)
}

/// Seals a root for one node: `0x01 ‖ u32 g ‖ nonce 24 ‖ XAES-256-GCM(soft key, nonce, R_g, AAD)`.
pub(crate) fn seal_soft(
    vault: VaultId,
    generation: Generation,
    slot: SlotId,
    soft_key: &SoftKey,
    nonce: &Nonce,
    root: &[u8; 32],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(SOFT_BYTES);
    out.push(SOFT_FORMAT);
    out.extend_from_slice(&generation.0.to_be_bytes());
    out.extend_from_slice(nonce);
    let aad = soft_aad(vault, generation, slot);
    xaes256gcm::seal_into(soft_key.expose_secret(), nonce, &aad, root, &mut out);
    out
}

/// Opens what [`seal_soft`] made. What has its format and length and is not exactly that is "the soft key is wrong":
/// which part is, cannot be told apart.
pub(crate) fn open_soft(
    vault: VaultId,
    generation: Generation,
    slot: SlotId,
    soft_key: &SoftKey,
    sealed: &[u8],
) -> Result<Secret<32>, KeyringError> {
    check_format(sealed, SOFT_FORMAT, || format!("soft slot {slot}"))?;
    if sealed.len() != SOFT_BYTES {
        return Err(KeyringError::WrappedDamaged(format!("soft slot {slot}")));
    }
    let (header, body) = sealed.split_at(5);
    if header[1..] != generation.0.to_be_bytes() {
        return Err(KeyringError::SoftKeyWrong);
    }
    let (nonce, sealed) = body.split_at(NONCE_BYTES);
    let nonce = nonce.try_into().expect("split off at its length");
    let aad = soft_aad(vault, generation, slot);
    xaes256gcm::open(soft_key.expose_secret(), nonce, &aad, sealed)
        .ok()
        .and_then(|root| Secret::from_slice(root.expose_secret()))
        .ok_or(KeyringError::SoftKeyWrong)
}

fn soft_aad(vault: VaultId, generation: Generation, slot: SlotId) -> Vec<u8> {
    [SOFT_LABEL, &vault.0, &slot.0, &generation.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: VaultId = VaultId([0xab; 16]);

    fn parse(text: &str) -> Result<(Generation, Secret<32>), KeyringError> {
        parse_payload(VAULT, text.as_bytes())
    }

    #[test]
    fn four_lines_and_nothing_else() {
        let text = payload(VAULT, Generation(7), &[0x5c; 32]);
        let text = std::str::from_utf8(text.expose_secret()).expect("text");
        let (vault, root) = ("ab".repeat(16), "5c".repeat(32));
        assert_eq!(text, format!("holdfast-root-v1\nvault {vault}\ngeneration 7\nroot {root}\n"));
        let good = Ok((Generation(7), Secret::copy_from(&[0x5c; 32])));
        assert_eq!(parse(text), good);
        assert_eq!(parse(text.trim_end()), good);
        let refused = |text: String| {
            assert!(matches!(parse(&text), Err(KeyringError::SlotPayload(_))), "{text:?}");
        };
        refused(String::new());
        refused(text.replace("v1", "v2"));
        refused(text.replace("generation 7", "generation 07"));
        refused(text.replace("generation 7", "generation 0"));
        refused(text.replace("generation 7", "generation +7"));
        refused(text.replace("5c", "5C"));
        refused(text.replace("\nroot 5c", "\nroot "));
        refused(text.replace("root 5c5c", "root  5c5c"));
        refused(format!("{text}\n"));
        refused(format!("{text}more"));
        refused(text.replace('\n', "\r\n"));
        let other = VaultId([0xcd; 16]);
        assert_eq!(parse(&text.replace("ab", "cd")), Err(KeyringError::AnotherVault(other)));
    }

    #[test]
    fn soft_slots_bind_their_place() {
        let key = SoftKey::read(&[3; 32]).expect("32 bytes");
        let (generation, slot) = (Generation(1), SlotId([4; 16]));
        let sealed = seal_soft(VAULT, generation, slot, &key, &[5; 24], &[6; 32]);
        let root = Secret::copy_from(&[6; 32]);
        assert_eq!(open_soft(VAULT, generation, slot, &key, &sealed), Ok(root));
        let wrong = Err(KeyringError::SoftKeyWrong);
        assert_eq!(open_soft(VAULT, generation, SlotId([9; 16]), &key, &sealed), wrong);
        assert_eq!(open_soft(VAULT, Generation(2), slot, &key, &sealed), wrong);
        assert_eq!(open_soft(VaultId([9; 16]), generation, slot, &key, &sealed), wrong);
        assert_eq!(open_soft(VAULT, generation, slot, &SoftKey::generate(), &sealed), wrong);
        assert_eq!(SoftKey::read(&[3; 31]), Err(KeyringError::SoftKeyLength(31)));
    }
}
