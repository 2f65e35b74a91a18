//! Archives whose JSON or signature is lost: refused, unless whoever asks says that it may be so.

use serde_json::Value;

use crate::run::Server;
use crate::vault::Vault;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_archive_without_its_signature_is_restored_only_on_request_and_says_so() {
    let mut vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    let note = vault.run(&["key", "encrypt", "orders"], b"attack at dawn").expect(0).out;
    let archive = vault.run(&["backup", "--output", "archives", "--quiet"], b"").expect(0).text();
    let trust = vault.run(&["sheet", "--fingerprint"], b"").expect(0).text();
    let path = vault.path().join(&archive);
    let beside = |extension: &str| {
        let text = path.display().to_string();
        std::path::PathBuf::from(text.replace(".tar.gpg", extension))
    };
    let signature = std::fs::read(beside(".json.sig")).unwrap();
    std::fs::remove_file(beside(".json.sig")).unwrap();

    let identity = ["--identity", "demo/custodian.asc"];
    let anyway = [&identity[..], &["--accept-unsigned"]].concat();
    let with = |command: &str, more: &[&str]| {
        let args = [&[command, archive.as_str()], more].concat();
        vault.run(&args, b"")
    };
    // Never without being asked for, and the error names the way.
    let refused = with("verify", &identity).expect(10);
    assert!(refused.err.contains("--accept-unsigned"), "{}", refused.err);
    with("drill", &identity).expect(10);
    with("verify", &["--accept-unsigned"]).expect(2);
    // Nor another vault's than the one that was asked for.
    let nobody = "00".repeat(20);
    let other = [&anyway[..], &["--trust", &nobody]].concat();
    let refused = with("verify", &other).expect(22);
    assert!(refused.err.contains(&trust), "{}", refused.err);
    let opened = with("verify", &anyway).expect(0);
    assert!(opened.text().starts_with("opened and whole, UNSIGNED"), "{}", opened.text());
    assert!(opened.err.contains("UNSIGNED"), "{}", opened.err);
    let report = json(&with("verify", &[&anyway[..], &["--json"]].concat()).expect(0).text());
    assert_eq!(report["unsigned"], true);
    // The vault knows what it sealed: a drill of that copy counts.
    let report = json(&with("drill", &[&anyway[..], &["--json"]].concat()).expect(0).text());
    assert_eq!((&report["unsigned"], &report["recorded"]), (&true.into(), &true.into()));

    // A broken signature is as good as none; a changed tar is refused in any case.
    let mut flipped = signature.clone();
    *flipped.last_mut().unwrap() ^= 1;
    std::fs::write(beside(".json.sig"), flipped).unwrap();
    with("verify", &identity).expect(14);
    with("verify", &anyway).expect(0);
    let tar = std::fs::read(&path).unwrap();
    let mut damaged = tar.clone();
    damaged[tar.len() / 2] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    with("verify", &anyway).expect(21);
    std::fs::write(&path, &tar).unwrap();
    // Where the signature holds, it counts: an unknown signer is not made known by this.
    std::fs::write(beside(".json.sig"), signature).unwrap();
    with("verify", &other).expect(22);
    assert!(with("verify", &anyway).expect(0).text().starts_with("verified"));

    vault.server.kill();
    std::fs::remove_file(beside(".json")).unwrap();
    let place = ["--data", "again", "--soft-key", "again.key", "--yes", "--json"];
    let restore = [&["restore", archive.as_str()], &identity[..], &place].concat();
    vault.with("again.toml", &restore, b"").expect(10);
    let listen = ["--listen", &vault.listen, "--accept-unsigned"];
    let restore = [&restore[..], &listen].concat();
    let restored = vault.with("again.toml", &restore, b"").expect(0);
    assert!(restored.err.contains("UNSIGNED"), "{}", restored.err);
    assert_eq!(json(&restored.text())["unsigned"], true);
    let _server = Server::start(vault.path(), &["server", "--data", "again"]);
    let plain = vault.with("again.toml", &["key", "decrypt"], &note).expect(0);
    assert_eq!(plain.text(), "attack at dawn");
    // What it seals from now on is signed, by a subkey of the same signer.
    let next = vault.with("again.toml", &["backup", "--output", "archives", "--quiet"], b"");
    let next = next.expect(0).text();
    let check = ["verify", &next, "--trust", &trust, "--identity", "demo/custodian.asc"];
    assert!(vault.with("again.toml", &check, b"").expect(0).text().starts_with("verified"));
}
