//! Identities: create, remove. A user's enclave never changes.

use holdfast_records::{Enclave, Identity, Policy, Privilege, Record as _, Stored, Vault, put};
use holdfast_types::{Draft, Expect, IdentityId, Millis, Name, Table};

use crate::{Decision, RuleError, touch};

/// What a user belongs to.
#[derive(Clone, Copy, Debug)]
pub struct UserOf<'a> {
    /// The enclave.
    pub enclave: &'a Stored<Enclave>,
    /// The policy's name, and the policy of that name in the enclave; without one a user may do nothing.
    pub policy: Option<(&'a Name, Option<&'a Stored<Policy>>)>,
}

/// An identity to make.
#[derive(Clone, Copy, Debug)]
pub struct NewIdentity<'a> {
    /// Its name, unique in the vault.
    pub name: &'a Name,
    /// The hash of its public key.
    pub identity: IdentityId,
    /// Administrator or user.
    pub privilege: Privilege,
    /// A user's enclave and policy; none for an administrator.
    pub user_of: Option<UserOf<'a>>,
}

/// Makes an identity. `all` are those that exist.
///
/// Errors: the id or the name is taken; a user without an enclave or an administrator with one; no such
/// policy; the enclave is closing; the id of the vault itself.
pub fn create_identity(
    vault: &Stored<Vault>,
    new: NewIdentity<'_>,
    all: &[Stored<Identity>],
    now: Millis,
) -> Decision<Identity> {
    let NewIdentity { name, identity, privilege, user_of } = new;
    if identity == IdentityId::SYSTEM {
        return Err(RuleError::BadInput("the identity of all zeros is the vault's own".to_owned()));
    }
    if let Some(found) = all.iter().find(|found| found.record.identity == identity) {
        return Err(RuleError::KeyTaken { identity, name: found.record.name.clone() });
    }
    if all.iter().any(|found| found.record.name == *name) {
        return Err(RuleError::Exists(format!("identity {name}")));
    }
    let mut draft = Draft::default();
    let (enclave, policy) = match (privilege, user_of) {
        (Privilege::Admin, None) => (None, None),
        (Privilege::User, Some(user_of)) => belongs(&mut draft, user_of)?,
        (Privilege::Admin, Some(_)) => {
            let text = "an administrator belongs to no enclave and needs no policy";
            return Err(RuleError::BadInput(text.to_owned()));
        }
        (Privilege::User, None) => {
            return Err(RuleError::BadInput("a user belongs to an enclave: say which".to_owned()));
        }
    };
    let record =
        Identity { identity, name: name.clone(), privilege, enclave, policy, created: now };
    put(&mut draft, Expect::Absent, &record);
    touch(&mut draft, vault);
    Ok((draft, record))
}

type Belongs = (Option<holdfast_types::EnclaveId>, Option<Name>);

fn belongs(draft: &mut Draft, user_of: UserOf<'_>) -> Result<Belongs, RuleError> {
    let UserOf { enclave, policy } = user_of;
    crate::key::stays(draft, enclave)?;
    let policy = match policy {
        None => None,
        Some((name, Some(_))) => Some(name.clone()),
        Some((name, None)) => {
            return Err(RuleError::NoPolicy(format!("{}/{name}", enclave.record.name)));
        }
    };
    Ok((Some(enclave.record.enclave_id), policy))
}

/// Removes an identity; at once it may do nothing. `all` are those that exist.
///
/// Errors: it is the last administrator.
pub fn remove_identity(which: &Stored<Identity>, all: &[Stored<Identity>]) -> Decision<Identity> {
    let mut draft = Draft::default();
    if which.record.privilege == Privilege::Admin {
        let other = all.iter().find(|found| {
            found.record.privilege == Privilege::Admin
                && found.record.identity != which.record.identity
        });
        let other = other.ok_or_else(|| {
            RuleError::refused(
                format!("{} is the last administrator", which.record.name),
                "make another one first: holdfast identity create NAME --privilege admin",
            )
        })?;
        // So two administrators who remove each other at once do not both succeed.
        draft.require(Table::IDENTITIES, other.record.key(), Expect::At(other.rev));
    }
    draft.delete(Table::IDENTITIES, which.record.key(), which.rev);
    Ok((draft, which.record.clone()))
}
