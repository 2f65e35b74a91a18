//! Whatever can be asked of the service names who asks: so no method is public that could not authorise and audit.

use std::path::Path;

use anyhow::Result;

use crate::tidy::{read, rust_files, show};

/// Public methods without a caller, and why nobody needs to be let in for them.
const WITHOUT: &[(&str, &str)] = &[
    ("open", "makes the service"),
    ("vault_id", "is in every answer, and on the sheet"),
    ("ready", "health is told to anybody"),
    ("knows", "tells the listener whose connections stay, and no caller anything"),
    ("identities_changed", "wakes the listener"),
    ("audit_heads", "the node's own chore"),
    ("record_audit_head", "a part of that chore"),
    ("lost_jobs", "the node's own chore"),
    ("kept_sessions", "for a byte drill in the process that seals"),
];

/// Finds public methods of `Service` that name no caller and are not on the list, and what is on it in vain.
pub fn named(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let mut sources = Vec::new();
    rust_files(&root.join("crates/service/src/service"), &mut sources)?;
    let mut seen = Vec::new();
    for path in sources {
        for (name, signature) in methods(&read(&path)?) {
            if signature.contains("caller: &Caller") {
                continue;
            }
            if !WITHOUT.iter().any(|(known, _)| *known == name) {
                let place = show(root, &path);
                findings.push(format!("{place}: Service::{name} names no caller to let in"));
            }
            seen.push(name);
        }
    }
    for (name, _) in WITHOUT.iter().filter(|(name, _)| !seen.iter().any(|found| found == name)) {
        findings.push(format!("Service::{name} is in dev/xtask/src/callers.rs in vain"));
    }
    Ok(())
}

/// The public methods of `Service` in a formatted source, with their signatures.
fn methods(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut ours = false;
    for (at, line) in text.match_indices('\n').map(|(at, _)| at + 1).map(|at| (at, &text[at..])) {
        let line = line.lines().next().unwrap_or_default();
        if line.starts_with("impl") {
            ours = line == "impl Service {";
        }
        let public = ["    pub fn ", "    pub async fn "];
        let Some(rest) = public.iter().find_map(|begins| line.strip_prefix(begins)) else {
            continue;
        };
        if ours {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            let signature = text[at..].split(" {\n").next().unwrap_or_default();
            found.push((name.to_owned(), signature.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_methods_of_the_service_are_found_with_their_signatures() {
        let text = "//! x\nimpl Other {\n    pub fn no(&self) {\n    }\n}\n\nimpl Service {\n    /// y\n    \
                    pub async fn yes(\n        &self,\n        caller: &Caller,\n    ) -> T {\n    }\n    \
                    fn own(&self) {\n    }\n    pub fn bare(&self) -> T {\n    }\n}\n";
        let found = methods(text);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["yes", "bare"]);
        assert!(found[0].1.contains("caller: &Caller"));
        assert!(!found[1].1.contains("caller"), "{}", found[1].1);
    }
}
