//! What would be restored, and the question whether it should be.

use std::path::Path;

use holdfast_node::{DeletedKey, Foretold};
use holdfast_recovery::Signed;
use holdfast_types::Kind;

use super::newer::Newer;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure, revision, when};
use crate::terminal;

/// Keys that are named in a text; JSON names more.
const KEYS_SHOWN: usize = 20;

/// What would be restored.
pub(super) struct Plan<'a> {
    pub(super) signed: &'a Signed,
    pub(super) newer: &'a Newer,
    pub(super) foretold: Option<&'a Foretold>,
    pub(super) data: &'a Path,
}

impl Plan<'_> {
    /// Shows the plan; answering it, or `yes`, is the confirmation.
    pub(super) fn confirmed(&self, global: &Global, yes: bool, asks: bool) -> Done {
        let quiet = yes && (global.quiet || global.json);
        if asks {
            output::show_notes();
        }
        self.lines(quiet).iter().for_each(output::note);
        if yes {
            return Ok(());
        }
        if !asks {
            return Err(cannot_ask());
        }
        let answer = terminal::line("Restore? [y/N] ")?;
        let answer = answer.as_ref().map_or("", |answer| answer.trim()).to_ascii_lowercase();
        if ["y", "yes"].contains(&answer.as_str()) { Ok(()) } else { Err(declined()) }
    }

    fn lines(&self, quiet: bool) -> Vec<String> {
        let public = &self.signed.public;
        let mut lines = Vec::new();
        if !quiet {
            lines.push(format!(
                "restore vault {} to revision {} of {} into {}, as epoch {}",
                public.vault_id,
                revision(public.to.0),
                when(public.created.0),
                self.data.display(),
                holdfast_node::next_epoch(public, &self.newer.archives)
            ));
        }
        lines.extend(self.newer.lines(public, quiet));
        if let Some(foretold) = self.foretold {
            let passed_over = foretold.passed_over.iter();
            lines.extend(passed_over.map(|(path, why)| {
                format!("nothing will be carried from {}: {why}", path.display())
            }));
            if foretold.keys > 0 && !quiet {
                lines.push(format!("{} keys will be deleted again:", foretold.keys));
                lines.extend(named(&foretold.deleted, foretold.keys));
                lines.push("  to have one back: --revive KEY_ID".to_owned());
            }
        }
        lines
    }
}

/// A line for each of these keys, of which there are `count`, or for the first of them.
pub(super) fn named(keys: &[DeletedKey], count: u64) -> Vec<String> {
    let shown = keys.iter().take(KEYS_SHOWN);
    let mut lines: Vec<_> =
        shown.map(|key| format!("  {}  {}/{}", key.key_id, key.enclave, key.name)).collect();
    let more = count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("  and {more} more, which --json names"));
    }
    lines
}

pub(super) fn cannot_ask() -> Failure {
    Failure::new(Kind::Refused, "restore asks first, and this is no terminal").next("give --yes")
}

fn declined() -> Failure {
    Failure::new(Kind::Refused, "not restored: nothing was made")
        .next("give the same command again, and answer y; or give it --yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_keys_are_counted_and_the_first_are_named() {
        let key = |n: u8| DeletedKey {
            key_id: holdfast_types::KeyId([n; 16]),
            enclave: "plant".to_owned(),
            name: format!("key-{n}").parse().unwrap(),
        };
        let keys: Vec<_> = (0..30).map(key).collect();
        assert_eq!(named(&keys[..2], 2)[1], format!("  {}  plant/key-1", "01".repeat(16)));
        let lines = named(&keys, 50_000);
        assert_eq!(lines.len(), KEYS_SHOWN + 1);
        assert!(lines.last().unwrap().contains("49980 more"), "{lines:?}");
        assert_eq!(named(&[], 0).len(), 0);
    }
}
