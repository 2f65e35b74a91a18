//! Custodians' certificates that cannot serve: refused when added, by `init` and by a running vault.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::run::holdfast;
use crate::vault::Vault;

/// Stock gpg with a home of its own, whose agent is stopped at the end.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Self {
        // A short path: the agent's socket lies in it, and its name may have 107 bytes.
        Self(tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").unwrap())
    }

    /// Runs `gpg` as `sh` would read it.
    #[track_caller]
    fn run(&self, line: &str) -> Vec<u8> {
        let home = self.0.path().display();
        let options =
            "--batch --no-tty --yes --trust-model always --pinentry-mode loopback --passphrase ''";
        let line = format!("gpg --homedir {home} {options} {line}");
        let mut command = Command::new("sh");
        let done = command.args(["-c", &line]).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    fn fingerprint(&self, user: &str) -> String {
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

#[test]
fn certificates_that_cannot_serve_are_refused_when_added() {
    let gpg = Gpg::new();
    gpg.run("--faked-system-time 20200101T000000 --quick-gen-key expired default default 2d");
    gpg.run("--quick-gen-key revoked default default never");
    let revocation =
        gpg.0.path().join(format!("openpgp-revocs.d/{}.rev", gpg.fingerprint("revoked")));
    let text = std::fs::read_to_string(&revocation).unwrap();
    std::fs::write(&revocation, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.run(&format!("--import {}", revocation.display()));
    gpg.run("--quick-gen-key signer ed25519 sign never");
    gpg.run("--quick-gen-key good default default never");

    let vault = Vault::start();
    let home = vault.path();
    let before = vault.run(&["custodian", "ls", "--json"], b"").expect(0).text();
    let slots = vault.run(&["slot", "ls", "--json"], b"").expect(0).text();
    let good = gpg.run("--export good");
    let secret = gpg.run("--export-secret-keys good");
    let both = [good.clone(), gpg.run("--export signer")].concat();
    for (name, bytes, why) in [
        ("expired", gpg.run("--export expired"), "expired"),
        ("revoked", gpg.run("--export revoked"), "revoked"),
        ("signer", gpg.run("--export signer"), "encrypt"),
        ("cut", good[..good.len() / 2].to_vec(), "certificate"),
        ("empty", Vec::new(), "certificate"),
        ("text", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n".to_vec(), "certificate"),
        ("secret", secret, "secret key"),
        ("both", both, "certificate"),
        ("large", vec![0x99; 65 << 10], "larger than 65536 bytes"),
    ] {
        let file = format!("{name}.asc");
        std::fs::write(home.join(&file), &bytes).unwrap();
        let refused = vault.run(&["custodian", "add", &file], b"").expect(13);
        assert!(refused.err.contains(why), "{name}: {}", refused.err);
        if bytes.len() < 65536 {
            vault.audited(|line| {
                line["action"] == "custodian.add"
                    && line["result"] == "bad_input"
                    && line["detail"].as_str().is_some_and(|detail| detail.contains(why))
            });
        }
        let init = ["init", "--data", "made", "--custodian", &file, "--soft-key", "made.key"];
        let refused = holdfast(home, &init, b"").expect(13);
        assert!(
            refused.err.contains(why) && refused.err.contains("next: "),
            "{name}: {}",
            refused.err
        );
        assert!(!home.join("made").exists() && !home.join("made.key").exists());
    }
    assert_eq!(vault.run(&["custodian", "ls", "--json"], b"").expect(0).text(), before);
    assert_eq!(vault.run(&["slot", "ls", "--json"], b"").expect(0).text(), slots);
    std::fs::write(home.join("good.asc"), &good).unwrap();
    vault.run(&["custodian", "add", "good.asc"], b"").expect(0);
    vault.run(&["custodian", "add", "good.asc", "--name", "other"], b"").expect(12);
    vault.run(&["custodian", "show", "nobody"], b"").expect(10);
    vault.run(&["custodian", "rm", "nobody"], b"").expect(10);
    vault.run(&["backup", "--output", "archives", "--custodian", "nobody"], b"").expect(10);
}
