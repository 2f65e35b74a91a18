//! `holdfast restore` as a process: how long, how much memory, how much CPU time.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::{Cpu, memory};

/// A restore that went through: every version was unwrapped, and the digest is the archive's, or it
/// would have failed.
pub struct Restored {
    /// From the process's start to its end.
    pub took: Duration,
    /// Its CPU time.
    pub cpu: Duration,
    /// The most memory it held, in bytes.
    pub peak: u64,
    /// Key versions that were unwrapped.
    pub versions: u64,
}

/// What `restore --json` says, as far as it matters here.
#[derive(Deserialize)]
struct Report {
    versions: u64,
    digest: String,
}

/// Restores `archive` into `dir/data`, with `dir/soft.key` and `dir/context.toml`.
pub fn restore(
    binary: &Path,
    archive: &Path,
    identity: &Path,
    signer: &str,
    dir: &Path,
) -> Result<Restored> {
    std::fs::create_dir(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    let begun = Instant::now();
    let mut child = Command::new(binary)
        .args(["restore", "--json", "--yes", "--trust", signer, "--identity"])
        .arg(identity)
        .arg("--data")
        .arg(dir.join("data"))
        .arg("--soft-key")
        .arg(dir.join("soft.key"))
        .arg("--context")
        .arg(dir.join("context.toml"))
        .arg(archive)
        .env_remove("HOLDFAST_CONTEXT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start the restore")?;
    let (idle, mut peak, mut cpu) = (Cpu::none(), 0, Duration::ZERO);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // The peak only grows, so the last reading misses no more than the last few milliseconds.
        if let Some(now) = memory(child.id()) {
            peak = now.peak;
        }
        if let Ok(now) = Cpu::of(child.id()) {
            cpu = cpu.max(now.since(&idle));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed();
    ensure!(status.success(), "the restore ended with {status}");
    let mut stdout = child.stdout.take().context("the restore has no standard output")?;
    let report: Report = serde_json::from_reader(&mut stdout).context("what the restore said")?;
    ensure!(!report.digest.is_empty(), "the restore gave no digest");
    Ok(Restored { took, cpu, peak, versions: report.versions })
}
