//! `cargo xtask bench`: builds the release binaries and measures them.

use std::process::Command;

use anyhow::Result;

use crate::tools::{cargo, root, run};

/// Builds `holdfast` and the measuring program, and gives the rest of the command line to it.
pub fn bench(arguments: &[String]) -> Result<()> {
    let packages = ["--package", "holdfast", "--package", "holdfast-bench"];
    run(cargo().args(["build", "--locked", "--release"]).args(packages))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    run(Command::new(target.join("release/holdfast-bench")).args(arguments))
}
