//! Which use the states of a key and of its version allow.

use holdfast_records::{Key, KeyState, KeyVersion, VersionState};

use crate::RuleError;

/// What a key version is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Protect something new: encrypt, or make a data key. SP 800-57: originator usage.
    Protect,
    /// Process what was protected before: decrypt. SP 800-57: recipient usage.
    Process,
}

/// Whether `version` of `key` may do this.
///
/// Errors: [`RuleError::Refused`] with the state that forbids it.
pub fn check_use(key: &Key, version: &KeyVersion, wanted: Use) -> Result<(), RuleError> {
    if let KeyState::Deleted { .. } = key.state {
        return Err(RuleError::refused(
            format!("key {} ({}) is deleted", key.name, key.key_id),
            format!("if that was a mistake: holdfast key undelete {}", key.name),
        ));
    }
    let allowed = match version.state {
        VersionState::Active => true,
        VersionState::Deactivated | VersionState::Compromised => wanted == Use::Process,
        VersionState::PreActivation | VersionState::Suspended | VersionState::Destroyed => false,
    };
    if allowed {
        return Ok(());
    }
    let (number, state) = (version.version, version.state.as_str());
    let next = match wanted {
        Use::Protect => "rotate the key: its newest version encrypts",
        Use::Process => "an administrator can change the state of a version",
    };
    Err(RuleError::refused(format!("version {number} of key {} is {state}", key.name), next))
}

#[cfg(test)]
mod tests {
    use holdfast_records::KeyKind;
    use holdfast_types::{EnclaveId, KeyId, Millis, Version};

    use super::*;

    fn key(state: KeyState) -> Key {
        Key {
            key_id: KeyId([1; 16]),
            enclave_id: EnclaveId([2; 16]),
            name: "orders".parse().unwrap(),
            kind: KeyKind::Aes256,
            state,
            primary: Version::FIRST,
            created: Millis(0),
        }
    }

    fn version(state: VersionState) -> KeyVersion {
        KeyVersion {
            key_id: KeyId([1; 16]),
            version: Version::FIRST,
            enclave_id: EnclaveId([2; 16]),
            kind: KeyKind::Aes256,
            state,
            kcv: [0; 8],
            wrapped: Vec::new(),
        }
    }

    #[test]
    fn states_allow_what_sp_800_57_says() {
        use VersionState as S;
        let table = [
            (S::PreActivation, false, false),
            (S::Active, true, true),
            (S::Suspended, false, false),
            (S::Deactivated, false, true),
            (S::Compromised, false, true),
            (S::Destroyed, false, false),
        ];
        for (state, protect, process) in table {
            let asked = |wanted| check_use(&key(KeyState::Active), &version(state), wanted).is_ok();
            assert_eq!((asked(Use::Protect), asked(Use::Process)), (protect, process), "{state:?}");
            for wanted in [Use::Protect, Use::Process] {
                let deleted = key(KeyState::Deleted { at: Millis(1) });
                assert!(check_use(&deleted, &version(state), wanted).is_err());
            }
        }
    }
}
