//! Policies: deny wins, the default is no.

use holdfast_records::{Policy, Rule};
use holdfast_types::limits::POLICY_RULES_MAX;

use crate::RuleError;

/// A policy, ready to be asked on every call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compiled {
    allow: Box<[Rule]>,
    deny: Box<[Rule]>,
}

/// Refuses a policy with more rules than a call should have to walk.
pub fn check(policy: &Policy) -> Result<(), RuleError> {
    let rules = policy.allow.len() + policy.deny.len();
    if rules > POLICY_RULES_MAX {
        return Err(RuleError::refused(
            format!("policy {} has {rules} rules, at most {POLICY_RULES_MAX}", policy.name),
            "use a trailing * to say more with one rule",
        ));
    }
    Ok(())
}

/// Makes a policy ready. Rules that a `*:*`-like one covers stay: there are few.
#[must_use]
pub fn compile(policy: &Policy) -> Compiled {
    Compiled { allow: policy.allow.as_slice().into(), deny: policy.deny.as_slice().into() }
}

impl Compiled {
    /// Whether `action` on `resource` is allowed and not denied.
    #[must_use]
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let hit = |rules: &[Rule]| {
            rules.iter().any(|rule| rule.action.matches(action) && rule.resource.matches(resource))
        };
        hit(&self.allow) && !hit(&self.deny)
    }

    /// Whether any resource could be allowed for `action`: worth looking at a listing for.
    #[must_use]
    pub fn mentions(&self, action: &str) -> bool {
        self.allow.iter().any(|rule| rule.action.matches(action))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_types::EnclaveId;

    use super::*;

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Policy {
            enclave_id: EnclaveId([1; 16]),
            name: "app".parse().unwrap(),
            allow: rules(allow),
            deny: rules(deny),
        }
    }

    #[test]
    fn deny_wins_and_the_default_is_no() {
        let compiled = compile(&policy(
            &["key.encrypt:orders-*", "key.decrypt:*", "key.*:exact"],
            &["key.decrypt:orders-secret"],
        ));
        let table = [
            ("key.encrypt", "orders-1", true),
            ("key.encrypt", "orders", false),
            ("key.decrypt", "anything", true),
            ("key.decrypt", "orders-secret", false),
            ("key.delete", "exact", true),
            ("key.delete", "exactly", false),
            ("enclave.create", "exact", false),
        ];
        for (action, resource, expected) in table {
            assert_eq!(compiled.allows(action, resource), expected, "{action} {resource}");
        }
        assert!(compiled.mentions("key.list") && !compiled.mentions("enclave.list"));
        assert!(!compile(&policy(&[], &[])).allows("key.list", "x"));
    }

    #[test]
    fn too_many_rules_are_refused() {
        let many = vec!["key.list:a"; POLICY_RULES_MAX + 1];
        assert!(check(&policy(&many, &[])).is_err());
        assert!(check(&policy(&many[1..], &[])).is_ok());
    }
}
