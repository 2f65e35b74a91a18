//! What `cargo xtask tidy` asks of dependencies: each is used, none is banned. Read from manifests,
//! sources, `deny.toml` and the tree that Cargo resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::tidy::{read, rust_files, show};
use crate::tools::cargo;

/// Tables of a manifest, and the directories whose sources may use what stands there.
const TABLES: &[(&str, &[&str])] = &[
    ("[dependencies]", &["src"]),
    ("[dev-dependencies]", &["src", "tests", "benches", "examples"]),
];

/// Every dependency of a member is named in that member's sources, and every dependency of the
/// workspace is some member's.
pub fn used(root: &Path, members: &[PathBuf], findings: &mut Vec<String>) -> Result<()> {
    let mut unused: BTreeSet<String> =
        keys_of(&read(&root.join("Cargo.toml"))?, "[workspace.dependencies]").into_iter().collect();
    for member in members {
        let manifest = read(&member.join("Cargo.toml"))?;
        for (table, dirs) in TABLES {
            let text = sources(member, dirs)?;
            for dependency in keys_of(&manifest, table) {
                unused.remove(&dependency);
                if !names(&text, &dependency.replace('-', "_")) {
                    let place = show(root, member);
                    findings.push(format!("{place} does not use {dependency} of its {table}"));
                }
            }
        }
    }
    let idle = |name| format!("Cargo.toml offers {name}, which no member uses");
    findings.extend(unused.into_iter().map(idle));
    Ok(())
}

/// No package that `deny.toml` bans is built, on this machine, for any member.
///
/// Asked of Cargo and not of `Cargo.lock`, which also lists what only another feature would build.
pub fn banned(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let bans = bans(&read(&root.join("deny.toml"))?);
    if bans.is_empty() {
        findings.push("deny.toml bans nothing: is its form still the one that tidy reads?".into());
    }
    for name in built()?.keys() {
        if let Some((_, why)) = bans.iter().find(|(banned, _)| banned == name) {
            findings.push(format!("{name} is built: {why}"));
        }
    }
    Ok(())
}

/// Packages of which more than one version is built for what ships: (name, how many).
pub fn duplicates() -> Result<Vec<(String, usize)>> {
    let several = |(name, versions): (String, BTreeSet<String>)| {
        (versions.len() > 1).then_some((name, versions.len()))
    };
    Ok(built()?.into_iter().filter_map(several).collect())
}

/// Name → versions of all packages that are built, tests apart.
fn built() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = cargo()
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree ended with {}", output.status);
    }
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            found.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    Ok(found)
}

/// (package, reason) of the lines `{ crate = "ring", reason = "..." },` of `deny.toml`.
fn bans(deny: &str) -> Vec<(String, String)> {
    let text = |line: &str, key: &str| {
        let (_, after) = line.split_once(&format!("{key} = \""))?;
        Some(after.split_once('"')?.0.to_owned())
    };
    deny.lines().filter_map(|line| Some((text(line, "{ crate")?, text(line, "reason")?))).collect()
}

/// The keys of one table of a manifest, `tokio.workspace = true` being `tokio`.
pub fn keys_of(manifest: &str, table: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == table;
        } else if inside && line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let end = line.find(['.', ' ', '=']).unwrap_or(line.len());
            found.push(line[..end].to_owned());
        }
    }
    found
}

fn sources(member: &Path, dirs: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    for dir in dirs.iter().map(|dir| member.join(dir)).filter(|dir| dir.is_dir()) {
        rust_files(&dir, &mut files)?;
    }
    files.iter().map(|file| read(file)).collect()
}

/// Whether code, comments apart, names the crate: `krate::` or `use krate`, not `std::krate::`.
fn names(text: &str, krate: &str) -> bool {
    let begins = |before: &str| {
        !before.ends_with("::") && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(krate).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + krate.len()..]);
            let used =
                before.ends_with("use ") && !after.starts_with(|c: char| c.is_alphanumeric());
            begins(before) && (after.starts_with("::") || used)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_where_the_next_begins() {
        let manifest = "[dependencies]\n# why\ntokio.workspace = true\nserde = \"1\"\n\
                        api = { path = \"x\" }\n[dev-dependencies]\ntempfile.workspace = true\n";
        assert_eq!(keys_of(manifest, "[dependencies]"), ["tokio", "serde", "api"]);
        assert_eq!(keys_of(manifest, "[dev-dependencies]"), ["tempfile"]);
        assert!(keys_of(manifest, "[features]").is_empty());
    }

    #[test]
    fn a_crate_is_named_by_a_path_only() {
        for used in ["use time::Date;", "use time;", "    time::now()", "a(time::X)", "#[time::x]"]
        {
            assert!(names(used, "time"), "{used}");
        }
        for not in
            ["use std::time::Instant;", "let time = 1;", "uptime::x", "// time::now", "times::x"]
        {
            assert!(!names(not, "time"), "{not}");
        }
    }

    #[test]
    fn bans_are_read_as_they_are_written() {
        let deny = "deny = [\n    { crate = \"ring\", reason = \"no FIPS\" },\n]\n# { crate\n";
        assert_eq!(bans(deny), [("ring".to_owned(), "no FIPS".to_owned())]);
    }
}
