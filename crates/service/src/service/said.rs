//! What the audit log says in `detail` (`formats/audit.md`): what a name alone does not tell. Nothing of it is a
//! secret, and all of it was read before: what is none of ours is not repeated.

use std::io::Write as _;

use holdfast_crypto::sha256;
use holdfast_keys::policy::parse_rule;
use holdfast_types::{KeyId, Version, hex};

use crate::{CreateIdentity, CustodianInfo, DrillMode, DrillReport, Error, SetPolicy};

/// `key `, 32 digits, ` version `, and a number of at most ten.
const USED_BYTES_MAX: usize = 4 + 32 + 9 + 10;
/// How much is said of rules; the log cuts longer texts without a word.
const RULES_BYTES_MAX: usize = 960;

/// A use of a key: `key ID version N`. On the stack: recording it allocates nothing.
pub(super) struct Used {
    text: [u8; USED_BYTES_MAX],
    len: usize,
}

impl Used {
    pub(super) fn new(key: KeyId, version: Version) -> Self {
        let mut text = [0; USED_BYTES_MAX];
        let mut rest = text.as_mut_slice();
        // It fits: the room is that of the longest one. Not by one format: each use of a key comes here.
        _ = rest.write_all(b"key ");
        _ = rest.write_all(&key.text());
        _ = write!(rest, " version {version}");
        let len = USED_BYTES_MAX - rest.len();
        Self { text, len }
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.text[..self.len]).unwrap_or_default()
    }
}

/// An identity that is to be made.
pub(super) fn identity(new: &CreateIdentity) -> String {
    let CreateIdentity { identity, privilege, enclave, policy, .. } = new;
    let enclave = enclave.as_ref().map(|name| format!(" of {name}")).unwrap_or_default();
    let policy = policy.as_ref().map(|name| format!(" with policy {name}")).unwrap_or_default();
    format!("{identity}, {}{enclave}{policy}", privilege.as_str())
}

/// A custodian, by what opens archives.
pub(super) fn custodian(custodian: &CustodianInfo) -> String {
    let CustodianInfo { fingerprint, custodian_id, name, .. } = custodian;
    format!("fingerprint {fingerprint}, custodian {custodian_id} {name}")
}

/// A drill that is reported.
pub(super) fn drill(report: &DrillReport) -> String {
    let mode = match report.mode {
        DrillMode::Byte => "byte",
        DrillMode::Full => "full",
    };
    let by = report.opened_by().map(|id| format!(" by custodian {id}")).unwrap_or_default();
    format!("{mode} drill{by}")
}

/// Rules that are to be set: how many, a hash of all of them, and as many as there is room for, denials first.
///
/// Errors: a text is no rule.
pub(super) fn rules(rules: &SetPolicy, actions: &[&str]) -> Result<String, Error> {
    let mut all = Vec::new();
    for (effect, texts) in [("deny", &rules.deny), ("allow", &rules.allow)] {
        for text in texts {
            all.push((effect, parse_rule(text, actions)?.to_string()));
        }
    }
    let lines: String = all.iter().map(|(effect, rule)| format!("{effect} {rule}\n")).collect();
    let hash = hex::encode(&sha256(lines.as_bytes()));
    let (allowed, denied) = (rules.allow.len(), rules.deny.len());
    let mut text = format!("{allowed} allowed, {denied} denied, sha256 {hash}");
    let mut last = "";
    for (told, (effect, rule)) in all.iter().enumerate() {
        let before = match last {
            "" => format!(": {effect} "),
            same if same == *effect => ", ".to_owned(),
            _ => format!("; {effect} "),
        };
        if text.len() + before.len() + rule.len() > RULES_BYTES_MAX {
            text.push_str(&format!(", and {} more", all.len() - told));
            break;
        }
        text.push_str(&before);
        text.push_str(rule);
        last = effect;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_use_fits() {
        let id = "ab".repeat(16);
        let used = Used::new(KeyId([0xab; 16]), Version(u32::MAX));
        assert_eq!(used.as_str(), format!("key {id} version 4294967295"));
        assert_eq!(used.as_str().len(), USED_BYTES_MAX);
        let short = Used::new(KeyId([0xab; 16]), Version(1));
        assert_eq!(short.as_str(), format!("key {id} version 1"));
    }
}
