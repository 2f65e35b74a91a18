//! `testdata/archives/v1` restores, for ever: an archive of a first incarnation and one of the vault that
//! was restored from it, with the custodian who opens both.
//!
//! They hold `default/orders`, rotated in each incarnation, `payroll/salaries`, a deleted key, a policy and
//! an identity. The notes say `attack at dawn`: 1 and 2 under the first two versions of `orders`, 2 in
//! the context `row 7`, 3 under `salaries`, 4 under the version that only the second archive has.

use std::path::{Path, PathBuf};

use crate::run::{Server, free_address, holdfast};

const TRUST: &str = "7C8329520025B346B42142A2AF9B2C7FEBBEF596";
const FIRST: &str = "e9ed2125-e0001-8c59-0000000000000000-0001099511627792";
const SECOND: &str = "e9ed2125-e0002-7e30-0000000000000000-0002199023255556";

fn golden(name: &str) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/archives/v1").join(name);
    place.to_str().unwrap().to_owned()
}

/// A vault restored from a golden archive, and served.
struct Restored {
    home: tempfile::TempDir,
    _server: Server,
}

impl Restored {
    fn from(archive: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        // By itself, as a newer archive beside it would have its say.
        for suffix in ["tar.gpg", "json", "json.sig"] {
            let name = format!("{archive}.{suffix}");
            std::fs::copy(golden(&name), home.path().join(name)).unwrap();
        }
        let (tar, custodian) = (format!("{archive}.tar.gpg"), golden("custodian.asc"));
        let opens = ["--identity", &custodian, "--trust", TRUST];
        let verified = holdfast(home.path(), &[&["verify", &tar][..], &opens].concat(), b"");
        verified.expect(0);
        let into = ["--data", "data", "--soft-key", "soft.key", "--context", "context.toml"];
        let listen = free_address();
        let rest = ["--listen", &listen, "--yes"];
        let args = [&["restore", &tar][..], &opens, &into, &rest].concat();
        holdfast(home.path(), &args, b"").expect(0);
        let server = Server::start(home.path(), &["server", "--data", "data"]);
        Self { home, _server: server }
    }

    fn decrypt(&self, note: &str, rest: &[&str]) -> (i32, String) {
        let note = std::fs::read(PathBuf::from(golden(note))).unwrap();
        let args = [&["--context", "context.toml", "key", "decrypt"][..], rest].concat();
        let done = holdfast(self.home.path(), &args, &note);
        (done.code, done.text())
    }
}

fn dawn() -> (i32, String) {
    (0, "attack at dawn".to_owned())
}

#[test]
fn an_archive_of_version_1_restores() {
    let vault = Restored::from(FIRST);
    assert_eq!(vault.decrypt("note-1.hf", &[]), dawn());
    assert_eq!(vault.decrypt("note-2.hf", &["--aad", "row 7"]), dawn());
    assert_eq!(vault.decrypt("note-2.hf", &[]).0, 14, "without its context");
    assert_eq!(vault.decrypt("note-3.hf", &[]), dawn());
    assert_eq!(vault.decrypt("note-4.hf", &[]).0, 10, "a version of later");
}

#[test]
fn an_archive_of_a_restored_vault_restores() {
    let vault = Restored::from(SECOND);
    assert_eq!(vault.decrypt("note-1.hf", &[]), dawn());
    assert_eq!(vault.decrypt("note-2.hf", &["--aad", "row 7"]), dawn());
    assert_eq!(vault.decrypt("note-3.hf", &[]), dawn());
    assert_eq!(vault.decrypt("note-4.hf", &[]), dawn());
}
