//! A newcomer's first impression: a cold release build of `holdfast` with two jobs, everything
//! downloaded already.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::report::{Table, mebibytes, seconds};
use crate::{Options, root, say};

/// Jobs of the build, and so the cores it uses.
const JOBS: usize = 2;

/// Runs it, in a target directory of its own.
pub fn run(options: &Options) -> Result<Vec<Table>> {
    let dir = options.scratch()?;
    fetch()?;
    say("a cold build: this takes minutes");
    let begun = Instant::now();
    let mut child = cargo()
        .args(["build", "--locked", "--offline", "--release", "--package", "holdfast"])
        .args(["--message-format", "json-render-diagnostics", "--jobs", &JOBS.to_string()])
        .env("CARGO_TARGET_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start cargo")?;
    let stdout = child.stdout.take().context("cargo has no standard output")?;
    let mut packages = BTreeSet::new();
    for line in BufReader::new(stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(&line?)?;
        if message["reason"] == "compiler-artifact" {
            packages.insert(message["package_id"].to_string());
        }
    }
    let status = child.wait()?;
    let took = begun.elapsed();
    ensure!(status.success(), "the build ended with {status}");
    let ours = packages.iter().filter(|id| id.contains("/crates/")).count();
    let size = std::fs::metadata(dir.path().join("release/holdfast"))?.len();
    let mut table = Table::new(
        "A cold release build",
        &["jobs", "seconds", "crates", "of them ours", "binary MiB"],
    );
    table.row(vec![
        JOBS.to_string(),
        seconds(took),
        packages.len().to_string(),
        ours.to_string(),
        mebibytes(size),
    ]);
    table.note("Downloads are not counted. Goal: below 360 s on two cores.".to_owned());
    Ok(vec![table])
}

fn fetch() -> Result<()> {
    let status = cargo().args(["fetch", "--locked"]).status().context("failed to start cargo")?;
    ensure!(status.success(), "cargo fetch ended with {status}");
    Ok(())
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
