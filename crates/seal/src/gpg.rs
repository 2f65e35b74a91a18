//! The caller's own gpg, for keys that lie in its agent or on a card.
//!
//! gpg is asked for the session key only, from the head of the stream: `--show-session-key` prints
//! it on the status channel before the data is decrypted. The stream itself is then read by us, with
//! the same checks as always, and is never handed to another process.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use zeroize::Zeroizing;

use crate::head::HEAD_BYTES;
use crate::open::OpenError;
use crate::session::{CIPHER_NOT_AES, SessionKey};

/// How gpg is called.
#[derive(Debug, Clone)]
pub struct GpgAgent {
    /// The program; `gpg` is looked for in `PATH`.
    pub program: PathBuf,
    /// Its home directory, if not the caller's own.
    pub home: Option<PathBuf>,
}

impl Default for GpgAgent {
    fn default() -> Self {
        Self { program: PathBuf::from("gpg"), home: None }
    }
}

impl GpgAgent {
    /// How much of a stream gpg is shown, in bytes: all that lies before the data packet, and as much
    /// of that as its buffers take (64 KiB in 2.4) before it looks at the packet at all.
    pub(crate) const SHOWN_BYTES: u64 = HEAD_BYTES + 128 * 1024;

    /// The session key of the stream that begins with `head`.
    pub(crate) fn session_key(
        &self,
        head: &[u8],
        recipients: Vec<String>,
    ) -> Result<SessionKey, OpenError> {
        let mut command = Command::new(&self.program);
        if let Some(home) = &self.home {
            command.arg("--homedir").arg(home);
        }
        command
            .args(["--batch", "--no-verbose", "--status-fd", "1"])
            .args(["--show-session-key", "--yes", "--output", null_device(), "--decrypt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| gpg(&error.to_string()))?;
        let stdin = child.stdin.take();
        // Both ways at once: it may say more than a pipe holds before it has read everything.
        let (written, output) = thread::scope(|scope| {
            let writer = scope.spawn(move || stdin.map_or(Ok(()), |mut to| to.write_all(head)));
            let output = child.wait_with_output();
            (writer.join().unwrap_or(Ok(())), output)
        });
        let output = output.map_err(|error| gpg(&error.to_string()))?;
        // It may stop reading once it has failed; what it says then is what counts.
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(gpg(&error.to_string()));
        }
        // The cut head makes gpg fail in the end: its exit code says nothing.
        let status = Zeroizing::new(String::from_utf8_lossy(&output.stdout).into_owned());
        drop(Zeroizing::new(output.stdout));
        let stderr = Zeroizing::new(String::from_utf8_lossy(&output.stderr).into_owned());
        drop(Zeroizing::new(output.stderr));
        let line = |name: &str| {
            let prefix = format!("[GNUPG:] {name} ");
            status.lines().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        };
        if let Some(key) = line("SESSION_KEY").map(Zeroizing::new) {
            return SessionKey::from_gpg(&key)
                .ok_or(OpenError::Unsupported { why: CIPHER_NOT_AES });
        }
        // It has a key that it may not use. For every other recipient it says NO_SECKEY besides, and
        // DECRYPTION_FAILED whatever the reason.
        if let Some(code) = line("ERROR pkdecrypt_failed") {
            return Err(gpg(unused(&code)));
        }
        if line("NO_SECKEY").is_some() {
            return Err(OpenError::NotForThisIdentity { recipients });
        }
        Err(gpg(stderr.lines().last().unwrap_or("it said nothing")))
    }
}

/// Why the agent did not decrypt, and what to do: `code` is libgpg-error's, its source in the upper bits.
fn unused(code: &str) -> &'static str {
    match code.trim().parse::<u32>().unwrap_or_default() & 0xffff {
        // Bad passphrase, bad PIN.
        11 | 87 => "the passphrase or PIN is wrong: try again",
        // Timeout, cancelled, all cancelled.
        62 | 99 | 198 => {
            "the question for the passphrase, the PIN or the card was cancelled: try again, the card in its reader"
        }
        // No pinentry, a broken one, or one that ended; or, above, what the system told it: it has no terminal.
        85 | 86 | 16383 | 0x8000..=0xffff => {
            "the passphrase or PIN could not be asked for: install a pinentry and run this on a terminal with GPG_TTY \
             set, or give the passphrase beforehand with gpg-preset-passphrase"
        }
        // Wrong card, card error, reset, removed, not present; no scdaemon.
        91 | 108..=110 | 112 | 119 => {
            "the card does not answer: put it into its reader, and see that gpg --card-status shows it"
        }
        130 => "the card's PIN is blocked: gpg --card-edit unblocks it (admin, passwd)",
        _ => "its agent does not decrypt with the key: see what gpg --decrypt says",
    }
}

fn gpg(why: &str) -> OpenError {
    OpenError::Gpg { why: why.to_owned() }
}

fn null_device() -> &'static str {
    if cfg!(windows) { "NUL" } else { "/dev/null" }
}
