//! What a custodian revoked stays revoked: whichever copy of the certificate comes later, and in a restore.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::gpg::{Gpg, vault_of};
use crate::run::{Server, free_address, with};
use crate::vault::soon;

/// A vault whose one custodian is `bob` of `gpg`, with two encryption subkeys; `old.asc` is that certificate.
fn of_bob(gpg: &Gpg) -> (TempDir, Server) {
    gpg.run("--quick-gen-key bob ed25519 cert never");
    add_subkey(gpg);
    add_subkey(gpg);
    vault_of(gpg, "bob")
}

fn add_subkey(gpg: &Gpg) {
    gpg.run(&format!("--quick-add-key {} cv25519 encr never", gpg.fingerprint("bob")));
}

fn export(gpg: &Gpg, file: &Path) {
    std::fs::write(file, gpg.run("--armor --export bob")).unwrap();
}

/// Revokes a subkey, by its place.
fn revoke(gpg: &Gpg, number: usize) {
    let answers = gpg.0.path().join("answers");
    // Which subkey; sure; compromised; without a text; sure.
    std::fs::write(&answers, format!("key {number}\nrevkey\ny\n1\n\ny\nsave\n")).unwrap();
    gpg.run(&format!("--no-batch --command-file {} --edit-key bob", answers.display()));
}

/// Key ids of the subkeys, in their order.
fn subkeys(gpg: &Gpg) -> Vec<String> {
    let list = String::from_utf8(gpg.run("--with-colons --list-keys bob")).unwrap();
    let subkeys = list.lines().filter(|line| line.starts_with("sub:"));
    subkeys.map(|line| line.split(':').nth(4).unwrap().to_owned()).collect()
}

/// The key ids that a file is encrypted to.
fn recipients(gpg: &Gpg, file: &Path) -> Vec<String> {
    let packets = gpg.run(&format!("--list-packets --list-only {}", file.display()));
    let packets = String::from_utf8_lossy(&packets).into_owned();
    let ids = packets.lines().filter(|line| line.starts_with(":pubkey enc packet"));
    ids.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// Whom an archive is sealed to; its slot is sealed to the same.
fn sealed_to(gpg: &Gpg, home: &Path, archive: &str) -> Vec<String> {
    let outer = recipients(gpg, &home.join(archive));
    let x = home.join(format!("x-{}", Path::new(archive).file_name().unwrap().display()));
    std::fs::create_dir(&x).unwrap();
    gpg.run(&format!("-d {} | tar -xC {}", home.join(archive).display(), x.display()));
    let slots: Vec<_> = std::fs::read_dir(x.join("slots")).unwrap().map(Result::unwrap).collect();
    assert_eq!(slots.len(), 1);
    assert_eq!(recipients(gpg, &slots[0].path()), outer, "the slot");
    outer
}

#[test]
fn the_newest_subkey_can_be_revoked_and_does_not_come_back() {
    let gpg = Gpg::new();
    let (home, mut server) = of_bob(&gpg);
    let path = home.path();
    let run = |args: &[&str]| with(path, "v.toml", args, b"");
    let backup = || run(&["backup", "--output", "archives", "--quiet"]).expect(0).text();
    let [e1, e2] = subkeys(&gpg).try_into().unwrap();
    let first = backup();
    assert_eq!(sealed_to(&gpg, path, &first), [e1.clone(), e2.clone()]);

    std::thread::sleep(std::time::Duration::from_secs(1));
    revoke(&gpg, 2);
    export(&gpg, &path.join("revoked.asc"));
    run(&["custodian", "add", "revoked.asc"]).expect(0);
    assert_eq!(sealed_to(&gpg, path, &backup()), std::slice::from_ref(&e1));
    let older = run(&["custodian", "add", "old.asc"]).expect(11);
    assert!(older.err.contains("older than the one that bob has"), "{}", older.err);

    // What was added to a copy of before, elsewhere, is taken, and what was revoked stays revoked.
    add_subkey(&gpg);
    let e3 = subkeys(&gpg).pop().unwrap();
    let without = gpg.run(&format!("--armor --export {e1}! {e3}!"));
    std::fs::write(path.join("without.asc"), without).unwrap();
    run(&["custodian", "add", "without.asc"]).expect(0);
    let second = backup();
    assert_eq!(sealed_to(&gpg, path, &second), [e1.clone(), e3.clone()]);
    run(&["custodian", "add", "old.asc"]).expect(11);

    // Nor does a restore of an older archive bring it back.
    let trust = run(&["sheet", "--fingerprint"]).expect(0).text();
    std::fs::write(path.join("secret.asc"), gpg.run("--armor --export-secret-keys bob")).unwrap();
    server.kill();
    let listen = free_address();
    let place = ["--data", "again", "--soft-key", "again.key", "--listen", &listen, "--yes"];
    let key = ["restore", &first, "--identity", "secret.asc", "--trust", &trust, "--json"];
    let restored = with(path, "again.toml", &[&key[..], &place].concat(), b"").expect(0);
    assert!(restored.err.contains("bob"), "{}", restored.err);
    let restored: Value = serde_json::from_str(&restored.text()).unwrap();
    assert_eq!(restored["carried"]["renewed"], serde_json::json!(["bob"]), "{restored}");
    let _server = Server::start(path, &["server", "--data", "again"]);
    let again = |args: &[&str]| with(path, "again.toml", args, b"");
    soon(|| (again(&["status"]).code == 0).then_some(())).unwrap();
    let third = again(&["backup", "--output", "archives", "--quiet"]).expect(0).text();
    assert_eq!(sealed_to(&gpg, path, &third), [e1, e3]);
    again(&["drill", &third, "--identity", "secret.asc"]).expect(0);
}

#[test]
fn whose_only_key_is_revoked_is_to_go() {
    let gpg = Gpg::new();
    let (home, _server) = of_bob(&gpg);
    revoke(&gpg, 1);
    revoke(&gpg, 2);
    export(&gpg, &home.path().join("revoked.asc"));
    let refused = with(home.path(), "v.toml", &["custodian", "add", "revoked.asc"], b"").expect(13);
    assert!(refused.err.contains("holdfast custodian rm bob"), "{}", refused.err);
}
