//! Policies: what a user may do in its enclave. Whatever no rule allows is denied; a deny wins.

use holdfast_records::{Enclave, Policy, Record as _, Rule, Stored, put};
use holdfast_types::limits::POLICY_RULES_MAX;
use holdfast_types::{Draft, Expect, Name, Table};

use crate::{Decision, RuleError};

/// A policy, ready to be asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Compiled {
    allow: Box<[Rule]>,
    deny: Box<[Rule]>,
}

/// Makes a policy ready to be asked.
#[must_use]
pub fn compile(policy: &Policy) -> Compiled {
    let sorted = |rules: &[Rule]| {
        let mut rules = rules.to_vec();
        rules.sort();
        rules.dedup();
        rules.into_boxed_slice()
    };
    Compiled { allow: sorted(&policy.allow), deny: sorted(&policy.deny) }
}

impl Compiled {
    /// Whether it lets its users do `action` on the thing called `name`.
    #[must_use]
    pub fn allows(&self, action: &str, name: &str) -> bool {
        let hits = |rule: &Rule| rule.action.matches(action) && rule.resource.matches(name);
        !self.denies(action, name) && self.allow.iter().any(hits)
    }

    /// Whether one of its rules denies that, whatever the others allow.
    #[must_use]
    pub fn denies(&self, action: &str, name: &str) -> bool {
        self.deny.iter().any(|rule| rule.action.matches(action) && rule.resource.matches(name))
    }

    /// Whether it may let its users do `action` on something: for listings, which ask again for each name.
    #[must_use]
    pub fn mentions(&self, action: &str) -> bool {
        let all = |rule: &Rule| rule.action.matches(action) && rule.resource.as_str() == "*";
        !self.deny.iter().any(all) && self.allow.iter().any(|rule| rule.action.matches(action))
    }
}

/// Reads one rule: `key.encrypt:orders-*`. `actions` are all there are; the action of a rule is one of
/// them, the group of some (`key.*`), or `*`. An unknown action is refused: as a deny it would deny nothing.
///
/// Errors: [`RuleError::BadInput`].
pub fn parse_rule(text: &str, actions: &[&str]) -> Result<Rule, RuleError> {
    let rule: Rule = text.parse().map_err(|error| RuleError::BadInput(format!("{error}")))?;
    let action = rule.action.as_str();
    let grouped =
        action.strip_suffix('*').is_none_or(|group| group.is_empty() || group.ends_with('.'));
    if grouped && actions.iter().any(|known| rule.action.matches(known)) {
        return Ok(rule);
    }
    Err(RuleError::BadInput(format!(
        "rule {text:?} names no action: give one of {}, or key.*, or *",
        actions.join(", ")
    )))
}

/// Makes or replaces a policy. `found` is the policy of that name.
///
/// Errors: a text that is no rule; too many rules; the enclave is closing.
pub fn set<T: AsRef<str>>(
    enclave: &Stored<Enclave>,
    name: &Name,
    found: Option<&Stored<Policy>>,
    (allow, deny): (&[T], &[T]),
    actions: &[&str],
) -> Decision<Policy> {
    if allow.len() + deny.len() > POLICY_RULES_MAX {
        let text = format!("policy {name} has more than {POLICY_RULES_MAX} rules");
        return Err(RuleError::BadInput(text));
    }
    let read = |texts: &[T]| {
        texts.iter().map(|text| parse_rule(text.as_ref(), actions)).collect::<Result<Vec<_>, _>>()
    };
    let policy = Policy {
        enclave_id: enclave.record.enclave_id,
        name: name.clone(),
        allow: read(allow)?,
        deny: read(deny)?,
    };
    let mut draft = Draft::default();
    crate::key::stays(&mut draft, enclave)?;
    put(&mut draft, found.map_or(Expect::Absent, |found| Expect::At(found.rev)), &policy);
    Ok((draft, policy))
}

/// Removes a policy; users who have it may then do nothing.
///
/// Errors: none today.
pub fn remove(policy: &Stored<Policy>) -> Decision<Policy> {
    let mut draft = Draft::default();
    draft.delete(Table::POLICIES, policy.record.key(), policy.rev);
    Ok((draft, policy.record.clone()))
}
