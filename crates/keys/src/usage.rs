//! Which key versions may be used for what (SP 800-57 part 1 rev. 5, §7).

use holdfast_records::{Key, KeyState, KeyVersion, VersionState};
use holdfast_types::Name;

use crate::RuleError;

/// A use of a key version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Encrypt under it.
    Encrypt,
    /// Decrypt with it.
    Decrypt,
    /// Make a data key and encrypt that under it.
    Generate,
}

impl Operation {
    const fn text(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Generate => "generate data keys",
        }
    }
}

/// Whether `version` of `key` may be used for `operation`. A deleted key may not be used at all; only the
/// active version protects new data; data is still read with deactivated and compromised ones.
///
/// Errors: [`RuleError::Refused`], naming the key, in its `enclave`, and the state that forbids it.
pub fn check_use(
    enclave: &Name,
    key: &Key,
    version: &KeyVersion,
    operation: Operation,
) -> Result<(), RuleError> {
    let name = || format!("{enclave}/{}", key.name);
    if key.state != KeyState::Active {
        // Several deleted keys may have had that name.
        let next = format!(
            "bring it back: holdfast key undelete {} -e {enclave} --key-id {}",
            key.name, key.key_id
        );
        return Err(RuleError::refused(format!("key {} is deleted", name()), next));
    }
    let allowed = match version.state {
        VersionState::Active => true,
        VersionState::Deactivated | VersionState::Compromised => operation == Operation::Decrypt,
        VersionState::PreActivation | VersionState::Suspended | VersionState::Destroyed => false,
    };
    if allowed {
        return Ok(());
    }
    let next = match version.state {
        VersionState::Destroyed => {
            "its secret is gone; nothing in this vault brings it back".to_owned()
        }
        _ if operation == Operation::Decrypt => "ask an administrator to activate it".to_owned(),
        _ => format!("make a new version: holdfast key rotate {} -e {enclave}", key.name),
    };
    let (number, state) = (version.version, version.state);
    let (name, verb) = (name(), operation.text());
    let what = format!("version {number} of key {name} is {state} and cannot {verb}");
    Err(RuleError::refused(what, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deleted, key, version};

    #[test]
    fn every_state_and_operation() {
        use Operation::{Decrypt, Encrypt, Generate};
        let enclave = "billing".parse().unwrap();
        for (state, allowed) in [
            (VersionState::PreActivation, &[][..]),
            (VersionState::Active, &[Encrypt, Decrypt, Generate]),
            (VersionState::Suspended, &[]),
            (VersionState::Deactivated, &[Decrypt]),
            (VersionState::Compromised, &[Decrypt]),
            (VersionState::Destroyed, &[]),
        ] {
            let version = version(1, state).record;
            for operation in [Encrypt, Decrypt, Generate] {
                let found = check_use(&enclave, &key().record, &version, operation);
                assert_eq!(found.is_ok(), allowed.contains(&operation), "{state} {operation:?}");
                let refused =
                    check_use(&enclave, &deleted().record, &version, operation).unwrap_err();
                assert!(refused.to_string().contains("billing/orders is deleted"), "{refused}");
                let id = deleted().record.key_id;
                let next = format!("holdfast key undelete orders -e billing --key-id {id}");
                assert!(refused.next().is_some_and(|said| said.ends_with(&next)), "{refused:?}");
            }
        }
        assert_eq!(VersionState::ALL.len(), 6, "each has a line above");
    }
}
