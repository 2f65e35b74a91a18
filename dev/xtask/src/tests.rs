//! `cargo xtask test` and `cargo xtask lint`.

use anyhow::Result;

use crate::tidy;
use crate::tools::{cargo, install_missing, need_components, run};

/// Installs what is absent, checks the house, and runs every test in one build profile.
pub fn test() -> Result<()> {
    install_missing()?;
    tidy::tidy()?;
    // The end-to-end tests run the binary of the same profile.
    run(cargo().args(["build", "--locked", "--profile", "ci", "--package", "holdfast"]))?;
    run(cargo().args(["test", "--workspace", "--locked", "--profile", "ci", "--no-fail-fast"]))
}

/// Formatting, lints and documentation, all with warnings as errors.
///
/// In the profile of the tests, so that the dependencies' build scripts run once for both.
pub fn lint() -> Result<()> {
    need_components()?;
    let profile = ["--locked", "--profile", "ci"];
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets"])
        .args(profile)
        .args(["--", "-D", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps"])
        .args(profile)
        .env("RUSTDOCFLAGS", "-D warnings"))
}
