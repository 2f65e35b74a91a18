//! `cargo xtask test` and `cargo xtask lint`.

use anyhow::{Result, bail};

use crate::tidy;
use crate::tools::{cargo, install_missing, need_components, run};

/// What `--long` sets: all that the quick run takes a sample of, and no test that was not done.
const LONG: [(&str, &str); 3] = [
    ("HOLDFAST_CRASH_IMAGES", "100000"),
    ("HOLDFAST_EVERY_BIT", "1"),
    ("HOLDFAST_NOT_TESTED_FAILS", "1"),
];

/// Installs what is absent, checks the house, and runs every test in one build profile.
pub fn test(arguments: &[String]) -> Result<()> {
    let long = match arguments {
        [] => &[][..],
        [long] if long == "--long" => &LONG[..],
        [other, ..] => bail!("test takes --long, and no {other:?}"),
    };
    install_missing()?;
    tidy::tidy()?;
    // The end-to-end tests run the binary of the same profile.
    run(cargo().args(["build", "--locked", "--profile", "ci", "--package", "holdfast"]))?;
    run(cargo()
        .args(["test", "--workspace", "--locked", "--profile", "ci", "--no-fail-fast"])
        .envs(long.iter().copied()))
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
