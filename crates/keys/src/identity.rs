//! Identities: an administrator may everything; a user what one policy in one enclave allows.

use holdfast_records::{Enclave, Identity, Privilege, Record as _, Stored, put};
use holdfast_types::{Draft, Expect};

use crate::RuleError;
use crate::key::in_open_enclave;

/// A new identity. A user has an enclave for life; an administrator has neither enclave nor policy.
pub fn create_identity(
    new: &Identity,
    enclave: Option<&Stored<Enclave>>,
    taken: Option<&Stored<Identity>>,
) -> Result<Draft, RuleError> {
    if let Some(taken) = taken {
        let name = &taken.record.name;
        return Err(RuleError::Exists(format!(
            "identity {} (named {name})",
            taken.record.identity
        )));
    }
    let fits = match new.privilege {
        Privilege::Admin => new.enclave.is_none() && new.policy.is_none(),
        Privilege::User => {
            enclave.map(|found| found.record.enclave_id) == new.enclave && new.enclave.is_some()
        }
    };
    if !fits {
        return Err(RuleError::refused(
            format!(
                "identity {}: an administrator has no enclave and no policy, a user has an enclave",
                new.name
            ),
            "give --enclave and --policy for a user, neither for an administrator",
        ));
    }
    let mut draft = match enclave {
        Some(enclave) => in_open_enclave(enclave)?,
        None => Draft::default(),
    };
    put(&mut draft, Expect::Absent, new);
    Ok(draft)
}

/// Removes an identity, but never the last administrator. `other` is an administrator who stays.
pub fn remove_identity(
    identity: &Stored<Identity>,
    other: Option<&Stored<Identity>>,
) -> Result<Draft, RuleError> {
    let mut draft = Draft::default();
    if identity.record.privilege == Privilege::Admin {
        let stays = other.filter(|other| {
            other.record.privilege == Privilege::Admin
                && other.record.identity != identity.record.identity
        });
        let Some(stays) = stays else {
            return Err(RuleError::refused(
                format!("{} is the last administrator", identity.record.name),
                "make another one first: holdfast identity create NAME --admin",
            ));
        };
        // Two administrators who remove each other at once: only one of them succeeds.
        draft.require(Identity::TABLE, stays.record.key(), Expect::At(stays.rev));
    }
    draft.delete(Identity::TABLE, identity.record.key(), identity.rev);
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use holdfast_types::{IdentityId, Millis, Revision};

    use super::*;

    fn admin(byte: u8) -> Stored<Identity> {
        let record = Identity {
            identity: IdentityId([byte; 32]),
            name: "root".parse().unwrap(),
            privilege: Privilege::Admin,
            enclave: None,
            policy: None,
            created: Millis(0),
        };
        Stored { rev: Revision(u64::from(byte)), at: Millis(0), record }
    }

    #[test]
    fn the_last_administrator_stays() {
        let (one, two) = (admin(1), admin(2));
        assert!(remove_identity(&one, None).is_err());
        assert!(remove_identity(&one, Some(&one)).is_err());
        let draft = remove_identity(&one, Some(&two)).unwrap();
        assert!(draft.expect.iter().any(|e| e.1 == two.record.key()), "the other one must stay");
        let user = Identity { privilege: Privilege::User, ..two.record };
        let user = Stored { record: user, ..two };
        assert!(remove_identity(&one, Some(&user)).is_err());
        assert!(remove_identity(&user, None).is_ok());
    }

    #[test]
    fn a_user_has_an_enclave_and_an_administrator_none() {
        let one = admin(1);
        assert!(create_identity(&one.record, None, None).is_ok());
        assert!(create_identity(&one.record, None, Some(&one)).is_err());
        let user = Identity { privilege: Privilege::User, ..one.record };
        assert!(create_identity(&user, None, None).is_err());
    }
}
