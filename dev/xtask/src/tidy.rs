//! `cargo xtask tidy`: the promises that Cargo cannot hold, read from manifests and sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arrows::{ARROWS, IMPURE, KEPT, PURE};
use crate::tools::root;
use crate::{callers, deps};

/// Where the members of the workspace are.
const TOPS: [&str; 3] = ["crates", "dev", "patches"];
/// A longer file is a crowded room: split it.
const FILE_LINES_MAX: usize = 600;

/// Checks everything; prints each finding, and fails if there is one.
pub fn tidy() -> Result<()> {
    let root = root();
    let mut findings = Vec::new();
    arrows(&root, &mut findings)?;
    pure_crates(&root, &mut findings)?;
    kept_words(&root, &mut findings)?;
    callers::named(&root, &mut findings)?;
    deps::used(&root, &members(&root)?, &mut findings)?;
    deps::banned(&root, &mut findings)?;
    let mut sources = Vec::new();
    for top in TOPS {
        rust_files(&root.join(top), &mut sources)?;
    }
    for path in &sources {
        source(&root, path, &mut findings)?;
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    let (files, crates, twice) = (sources.len(), ARROWS.len(), deps::duplicates()?.len());
    println!(
        "tidy: {files} source files, {crates} crates, clean; {twice} packages in two versions"
    );
    Ok(())
}

/// The directories of all members of the workspace.
fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for top in TOPS {
        for entry in fs::read_dir(root.join(top))? {
            let path = entry?.path();
            if path.join("Cargo.toml").is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Every crate's `[dependencies]` on our own crates are those of its row, and of the table of rooms.
fn arrows(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let rooms = read(&root.join("ARCHITECTURE.md"))?;
    for entry in fs::read_dir(root.join("crates"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some((_, arrows)) = ARROWS.iter().find(|(krate, _)| *krate == name) else {
            findings.push(format!("crates/{name} has no row in dev/xtask/src/arrows.rs"));
            continue;
        };
        let row: BTreeSet<&str> = arrows.iter().copied().collect();
        let manifest = read(&root.join("crates").join(&name).join("Cargo.toml"))?;
        let own = own_dependencies(&manifest);
        let found: BTreeSet<&str> = own.iter().map(String::as_str).collect();
        for arrow in found.difference(&row) {
            findings.push(format!("{name} depends on {arrow}: no such arrow"));
        }
        for arrow in row.difference(&found) {
            findings.push(format!("{name} does not depend on {arrow}: take its arrow away"));
        }
        if room(&rooms, &name).is_none_or(|shown| shown != row) {
            findings.push(format!("ARCHITECTURE.md shows other arrows of {name} than its row"));
        }
    }
    Ok(())
}

/// What the table of rooms says a crate depends on, besides `types`; `None` where it has no row.
fn room<'a>(rooms: &'a str, name: &str) -> Option<BTreeSet<&'a str>> {
    let begins = format!("| `{name}` |");
    let line = rooms.lines().find(|line| line.starts_with(&begins))?;
    let last = line.trim_end_matches('|').rsplit('|').next()?;
    Some(last.split(',').map(str::trim).filter(|word| !matches!(*word, "" | "types")).collect())
}

/// Our own crates in the `[dependencies]` table of a manifest, without the prefix; `types` is everybody's.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let keys = deps::keys_of(manifest, "[dependencies]");
    let own = keys.iter().filter_map(|key| key.strip_prefix("holdfast-"));
    own.filter(|name| *name != "types").map(str::to_owned).collect()
}

fn pure_crates(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for krate in PURE {
        let mut sources = Vec::new();
        rust_files(&root.join("crates").join(krate).join("src"), &mut sources)?;
        for path in sources {
            let text = read(&path)?;
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                    let place = show(root, &path);
                    let number = number + 1;
                    findings.push(format!("{place}:{number}: {krate} is pure, yet names {word}"));
                }
            }
        }
    }
    Ok(())
}

/// What belongs to one crate is named in no other's code.
fn kept_words(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for (krate, _) in ARROWS {
        let mut sources = Vec::new();
        rust_files(&root.join("crates").join(krate).join("src"), &mut sources)?;
        for path in sources {
            let text = read(&path)?;
            for (word, keepers, why) in
                KEPT.iter().filter(|(_, keepers, _)| !keepers.contains(krate))
            {
                if text.lines().any(|line| names_word(line, word)) {
                    let (place, who) = (show(root, &path), keepers.join(" and "));
                    findings.push(format!("{place} names {word}, which is for {who}: {why}"));
                }
            }
        }
    }
    Ok(())
}

/// Whether a line's code, its comment apart, has the word at the beginning of a path.
fn names_word(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// A file's length, its opening words, and marks of unfinished work.
fn source(root: &Path, path: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = read(path)?;
    let place = show(root, path);
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{place} has {lines} lines: at most {FILE_LINES_MAX}"));
    }
    if !text.trim_start_matches("#![").contains("//!") {
        findings.push(format!("{place} does not say what it is for (no `//!`)"));
    }
    for mark in [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")] {
        if text.contains(mark) {
            findings.push(format!("{place} holds {mark}"));
        }
    }
    Ok(())
}

pub fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

pub fn show(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_the_dependencies_table() {
        let manifest = "[dependencies]\nholdfast-types.workspace = true\nserde = \"1\"\n\
                        holdfast-fs = { path = \"x\" }\n[dev-dependencies]\nholdfast-store.workspace = true\n";
        assert_eq!(own_dependencies(manifest), ["fs"]);
    }

    #[test]
    fn a_word_is_named_in_code_and_not_in_a_longer_one() {
        assert!(names_word("use pgp::composed::Message;", "pgp::"));
        assert!(names_word("    x(pgp::y())", "pgp::"));
        for not in ["// pgp::x", "rpgp::x", "openpgp::x", "let pgp = 1;"] {
            assert!(!names_word(not, "pgp::"), "{not}");
        }
    }

    #[test]
    fn reads_the_last_column_of_a_room() {
        let rooms = "| crate | what | depends on |\n| `a` | x, y | types |\n| `b` | z | a, c |\n| `d` | | |\n";
        assert_eq!(room(rooms, "a"), Some(BTreeSet::new()));
        assert_eq!(room(rooms, "b"), Some(BTreeSet::from(["a", "c"])));
        assert_eq!(room(rooms, "d"), Some(BTreeSet::new()));
        assert_eq!(room(rooms, "c"), None);
    }
}
