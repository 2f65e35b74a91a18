//! The programs that the tests call, the Debian packages that carry them, and running things.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program or Python module that a test needs, and the Debian package that brings it.
struct Need {
    package: &'static str,
    /// A command that succeeds where it is present.
    probe: &'static [&'static str],
}

/// Stock tools: what a custodian has on a bare host, and a program that calls the API.
const NEEDS: &[Need] = &[
    Need { package: "gnupg", probe: &["gpg", "--version"] },
    Need { package: "gpgv", probe: &["gpgv", "--version"] },
    Need { package: "openssl", probe: &["openssl", "version"] },
    Need { package: "curl", probe: &["curl", "--version"] },
    Need { package: "tar", probe: &["tar", "--version"] },
    Need { package: "faketime", probe: &["faketime", "--version"] },
    Need { package: "util-linux", probe: &["unshare", "--version"] },
    Need { package: "mount", probe: &["mount", "--version"] },
    Need { package: "procps", probe: &["kill", "-l"] },
    Need { package: "python3", probe: &["/usr/bin/python3", "--version"] },
    Need {
        package: "python3-cryptography",
        probe: &["/usr/bin/python3", "-c", "import cryptography"],
    },
];

/// Installs the packages whose probe fails: as root with apt-get, else a message that names them.
pub fn install_missing() -> Result<()> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|need| !succeeds(need.probe)).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() || !succeeds(&["apt-get", "--version"]) {
        bail!("the tests need {list}: as root, `apt-get install {list}`, then run this again");
    }
    eprintln!("xtask: installing {list}");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// An error that says what to do where the toolchain came without what `lint` needs.
pub fn need_components() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !succeeds(&["cargo", subcommand, "--version"]) {
            bail!(
                "the lints need {component}: `rustup component add {component}`, then run this again"
            );
        }
    }
    Ok(())
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs `command` to its end; an error names it where it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("failed to start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// `cargo`, the one that runs this, at the root of the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn succeeds(probe: &[&str]) -> bool {
    let Some((program, arguments)) = probe.split_first() else { return false };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
