//! Golden bytes: with these roots and nonces this program writes `testdata/keys/v1.txt`, byte for
//! byte. That file is never changed: `tests/it/golden.rs` opens it through the public interface,
//! and so must every later version.

use holdfast_crypto::kcv::{root_kcv, version_kcv};
use holdfast_records::{KeyKind, SecretKind, SessionKey};
use holdfast_types::{
    ArchiveId, EnclaveId, Generation, KeyId, SecretId, SlotId, VaultId, Version, hex,
};

use crate::ciphertext::{self, Header};
use crate::slot::{self, SoftKey};
use crate::wrap::{self, Binding, SecretRef};

const VAULT: VaultId = VaultId([0xa0; 16]);
const ENCLAVE: EnclaveId = EnclaveId([0xb0; 16]);
const KEY: KeyId = KeyId([0xc0; 16]);
const SLOT: SlotId = SlotId([0xd0; 16]);
const SECRET: SecretId = SecretId([0xe0; 16]);
const ARCHIVE: ArchiveId = ArchiveId([0xf0; 16]);
const G: Generation = Generation(1);
const ROOT: [u8; 32] = [0x11; 32];
const NONCE: [u8; 24] = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
const PLAINTEXT: &[u8] = b"attack at dawn";

fn lines() -> Vec<String> {
    let wrap = |binding, secret: &[u8]| {
        hex::encode(&wrap::wrap(VAULT, G, &ROOT, &binding, &NONCE, secret))
    };
    let secret = |what| wrap(Binding::secret(what), &[0x33; 32]);
    let cluster = |kind| secret(SecretRef::ClusterSecret { id: SECRET, n: 1, kind });
    let session = |n, id| secret(SecretRef::SessionKey { n, id });
    let version = [0x22; 32];
    let soft_key = SoftKey::read(&[0x44; 32]).expect("32 bytes");
    let soft = slot::seal_soft(VAULT, G, SLOT, &soft_key, &NONCE, &ROOT);
    let header = Header { key_id: KEY, version: Version(1) };
    let message = |context: &[u8], plaintext: &[u8]| {
        hex::encode(&ciphertext::seal(&version, header, &NONCE, context, plaintext).expect("short"))
    };
    let canary = SecretRef::Canary { generation: G };
    let payload = slot::payload(VAULT, G, &ROOT);
    vec![
        format!("vault {VAULT}"),
        format!("slot-payload {}", hex::encode(payload.expose_secret())),
        format!("root-kcv {}", hex::encode(&root_kcv(VAULT, G, &ROOT))),
        format!("version-kcv {}", hex::encode(&version_kcv(VAULT, KEY, Version(1), &version))),
        format!(
            "version {}",
            wrap(Binding::version(ENCLAVE, KEY, Version(1), KeyKind::Aes256), &version)
        ),
        format!("canary {}", wrap(Binding::secret(canary), b"holdfast/v1/canary")),
        format!("ca {}", cluster(SecretKind::Ca)),
        format!("signing-primary {}", cluster(SecretKind::SigningPrimary)),
        format!("signing {}", cluster(SecretKind::Signing)),
        format!("token {}", cluster(SecretKind::Token)),
        format!("session {}", session(2, ARCHIVE.0)),
        format!("session-archive {}", session(SessionKey::ARCHIVE, ARCHIVE.0)),
        format!("session-slot {}", session(SessionKey::SLOT, SLOT.0)),
        format!("soft-slot {}", hex::encode(&soft)),
        format!("message {}", message(b"", PLAINTEXT)),
        format!("message-context {}", message(&[0x55; 300], PLAINTEXT)),
        format!("message-empty {}", message(b"orders", b"")),
    ]
}

#[test]
fn written_bytes_are_golden() {
    let golden = include_str!("../../../testdata/keys/v1.txt");
    let kept: Vec<&str> = golden.lines().filter(|line| !line.starts_with('#')).collect();
    let lines = lines();
    // On the day of a new format: a new file beside this one, which stays and is still read.
    assert_eq!(lines, kept, "\n{}\n", lines.join("\n"));
}
