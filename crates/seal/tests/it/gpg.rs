//! Stock gpg with a home of its own, whose agent is killed at the end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Self {
        // A short path: the agent's socket lies in it, and its name may have 107 bytes.
        Self { home: tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").unwrap() }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file into the home and answers with its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs gpg and answers with whatever came of it.
    pub fn try_run(&self, args: &[&str], stdin: &[u8]) -> Output {
        let mut child = Command::new("gpg")
            .arg("--homedir")
            .arg(self.home())
            .args(["--no-tty", "--yes", "--trust-model", "always", "--pinentry-mode", "loopback"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = stdin.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&bytes));
        let output = child.wait_with_output().unwrap();
        // gpg may have stopped reading.
        let _ = writer.join().unwrap();
        output
    }

    /// Runs gpg, which must succeed, and answers with its output.
    pub fn run(&self, args: &[&str], stdin: &[u8]) -> Vec<u8> {
        let output = self.try_run(args, stdin);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {args:?}: {stderr}");
        output.stdout
    }

    /// Makes a primary that certifies, and a subkey if `subkey` names its algorithm and use.
    pub fn make(&self, user: &str, primary: &str, subkey: Option<(&str, &str)>, expires: &str) {
        self.make_with(&[], user, primary, subkey, expires);
    }

    /// The same with further options.
    pub fn make_with(
        &self,
        options: &[&str],
        user: &str,
        primary: &str,
        subkey: Option<(&str, &str)>,
        expires: &str,
    ) {
        let base = [options, &["--batch", "--passphrase", ""]].concat();
        let args = [&base[..], &["--quick-gen-key", user, primary, "cert,sign", expires]].concat();
        self.run(&args, b"");
        if let Some((algorithm, usage)) = subkey {
            let fingerprint = self.fingerprint(user);
            let add = ["--quick-add-key", &fingerprint, algorithm, usage, expires];
            self.run(&[&base[..], &add].concat(), b"");
        }
    }

    /// Makes a primary that certifies and a subkey that decrypts, both locked.
    pub fn make_locked(&self, user: &str, passphrase: &str) {
        let parameters = format!(
            "Key-Type: EDDSA\nKey-Curve: ed25519\nSubkey-Type: ECDH\nSubkey-Curve: cv25519\n\
             Name-Real: {user}\nExpire-Date: 0\nPassphrase: {passphrase}\n%commit\n"
        );
        self.run(&["--batch", "--gen-key"], parameters.as_bytes());
    }

    pub fn fingerprint(&self, user: &str) -> String {
        let list = self.run(&["--batch", "--with-colons", "--list-keys", user], b"");
        let list = String::from_utf8(list).unwrap();
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub fn export(&self, user: &str) -> Vec<u8> {
        self.run(&["--batch", "--export", user], b"")
    }

    pub fn export_secret(&self, user: &str, passphrase: &str) -> Vec<u8> {
        let args = ["--batch", "--armor", "--passphrase", passphrase, "--export-secret-keys", user];
        self.run(&args, b"")
    }

    /// Deletes the secret part of the subkey for `usage` ("e": encryption), which stays listed.
    pub fn forget_secret(&self, usage: &str) {
        let list = self.run(&["--batch", "--with-colons", "--with-keygrip", "--list-keys"], b"");
        let list = String::from_utf8(list).unwrap();
        let mut lines = list.lines().skip_while(|line| {
            !(line.starts_with("sub:") && line.split(':').nth(11) == Some(usage))
        });
        let grip = lines.find(|line| line.starts_with("grp:")).unwrap().split(':').nth(9).unwrap();
        let output = Command::new("gpg-connect-agent")
            .arg("--homedir")
            .arg(self.home())
            .args([&format!("DELETE_KEY --force {grip}"), "/bye"])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"OK\n");
    }

    /// Stops the agent, which then reads its options anew and knows no passphrase any more.
    pub fn stop_agent(&self) {
        let mut command = Command::new("gpgconf");
        command.arg("--homedir").arg(self.home()).args(["--kill", "gpg-agent"]);
        assert!(command.status().unwrap().success());
    }

    pub fn decrypt(&self, sealed: &[u8]) -> Vec<u8> {
        self.run(&["--batch", "--decrypt"], sealed)
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .output();
    }
}
