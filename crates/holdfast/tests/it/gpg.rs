//! Stock gpg.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::run::{Server, free_address, with};
use crate::vault::soon;

/// Stock gpg with a home of its own, whose agent is stopped at the end.
pub(crate) struct Gpg(pub(crate) TempDir);

impl Gpg {
    pub(crate) fn new() -> Self {
        // A short path: the agent's socket lies in it, and its name may have 107 bytes.
        Self(tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").unwrap())
    }

    /// Runs `gpg` as `sh` would read it.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> Vec<u8> {
        let home = self.0.path().display();
        let options =
            "--batch --no-tty --yes --trust-model always --pinentry-mode loopback --passphrase ''";
        let line = format!("gpg --homedir {home} {options} {line}");
        let mut command = Command::new("sh");
        let done = command.args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    pub(crate) fn fingerprint(&self, user: &str) -> String {
        let list =
            String::from_utf8(self.run(&format!("--with-colons --list-keys {user}"))).unwrap();
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = self.0.path();
        _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status();
    }
}

/// A vault, with the context `v.toml`, whose one custodian is `user` of `gpg`; `old.asc` is that certificate.
pub(crate) fn vault_of(gpg: &Gpg, user: &str) -> (TempDir, Server) {
    let home = tempfile::tempdir().unwrap();
    let certificate = gpg.run(&format!("--armor --export {user}"));
    std::fs::write(home.path().join("old.asc"), certificate).unwrap();
    let (listen, place) = (free_address(), ["--data", "v", "--soft-key", "v.key", "--listen"]);
    let init = [&["init", "--custodian", "old.asc", "--quiet"], &place[..], &[&listen]].concat();
    with(home.path(), "v.toml", &init, b"").expect(0);
    let server = Server::start(home.path(), &["server", "--data", "v"]);
    soon(|| (with(home.path(), "v.toml", &["status"], b"").code == 0).then_some(())).unwrap();
    (home, server)
}
