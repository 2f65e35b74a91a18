//! Identities and policies.

use holdfast_keys::{NewIdentity, UserOf, create_identity, policy, remove_identity};
use holdfast_machine::View;
use holdfast_records::{Enclave, Identity, Policy, Rule, Stored};
use holdfast_types::{Draft, Kind, Millis, Name};

use super::Service;
use super::caches::FullName;
use super::read::{enclave, get, list, vault};
use super::said;
use crate::action::Needs;
use crate::audit::Resource;
use crate::{
    Action, Caller, CreateIdentity, Error, IdentityInfo, IdentitySelector, PolicyInfo, SetPolicy,
};

impl Service {
    /// The policies of an enclave, by name.
    pub async fn list_policies(
        &self,
        caller: &Caller,
        enclave_name: &Name,
    ) -> Result<Vec<PolicyInfo>, Error> {
        let resource = Resource::Within(enclave_name.as_str(), "*");
        let call = self.enter(caller, Action::PolicyList, resource).await?;
        let result = self.read(|view| {
            let id = enclave(view, enclave_name)?.record.enclave_id;
            let found = list::<Policy>(view, id.as_bytes())?;
            Ok(found.into_iter().map(|policy| policy_info(enclave_name, policy.record)).collect())
        });
        let result = result.await;
        call.end(result)
    }

    /// A policy.
    pub async fn show_policy(
        &self,
        caller: &Caller,
        enclave_name: &Name,
        name: &Name,
    ) -> Result<PolicyInfo, Error> {
        let resource = Resource::Within(enclave_name.as_str(), name.as_str());
        let call = self.enter(caller, Action::PolicyShow, resource).await?;
        let result = self.read(|view| {
            let id = enclave(view, enclave_name)?.record.enclave_id;
            let found = get::<Policy>(view, FullName::new(&id, name).as_row())?;
            let found = found.ok_or_else(|| no_policy(enclave_name, name))?;
            Ok(policy_info(enclave_name, found.record))
        });
        let result = result.await;
        call.end(result)
    }

    /// All identities, by name.
    pub async fn list_identities(&self, caller: &Caller) -> Result<Vec<IdentityInfo>, Error> {
        let call = self.enter(caller, Action::IdentityList, Resource::Text("identities")).await?;
        let result = self.read(|view| {
            let found = list::<Identity>(view, &[])?.into_iter();
            let mut found = found
                .map(|found| identity_info(view, found.record))
                .collect::<Result<Vec<_>, _>>()?;
            found.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(found)
        });
        let result = result.await;
        call.end(result)
    }

    /// An identity.
    pub async fn show_identity(
        &self,
        caller: &Caller,
        which: &IdentitySelector,
    ) -> Result<IdentityInfo, Error> {
        let text = selected(which);
        let call = self.enter(caller, Action::IdentityShow, Resource::Text(&text)).await?;
        let result = self.read(|view| identity_info(view, find(view, which)?.record)).await;
        call.end(result)
    }
}

impl Service {
    /// Makes or replaces a policy.
    pub async fn set_policy(
        &self,
        caller: &Caller,
        enclave_name: &Name,
        name: &Name,
        rules: &SetPolicy,
    ) -> Result<PolicyInfo, Error> {
        let action = Action::PolicySet;
        let resource = Resource::Within(enclave_name.as_str(), name.as_str());
        let call = self.let_in(caller, action, resource).await?;
        // A rule that could never count would only look like one.
        let grantable = Action::ALL.iter().filter(|action| action.needs() == Needs::Policy);
        let actions: Vec<&str> = grantable.map(|action| action.as_str()).collect();
        let detail = match said::rules(rules, &actions) {
            Ok(detail) => detail,
            Err(error) => return call.end(Err(error)),
        };
        let call = call.begin(detail).await?;
        let rule = |view: &dyn View| {
            let found = enclave(view, enclave_name)?;
            let row = FullName::new(&found.record.enclave_id, name);
            let old = get::<Policy>(view, row.as_row())?;
            let texts = (rules.allow.as_slice(), rules.deny.as_slice());
            Ok(policy::set(&found, name, old.as_ref(), texts, &actions)?)
        };
        let result = self.decide(call.actor.identity, action.verb(), rule).await;
        call.end(result.map(|(_, record)| policy_info(enclave_name, record)))
    }

    /// Removes a policy; identities that have it may then do nothing.
    pub async fn remove_policy(
        &self,
        caller: &Caller,
        enclave_name: &Name,
        name: &Name,
    ) -> Result<PolicyInfo, Error> {
        let action = Action::PolicyRemove;
        let resource = Resource::Within(enclave_name.as_str(), name.as_str());
        let call = self.enter(caller, action, resource).await?;
        let rule = |view: &dyn View| {
            let id = enclave(view, enclave_name)?.record.enclave_id;
            let found = get::<Policy>(view, FullName::new(&id, name).as_row())?;
            Ok(policy::remove(&found.ok_or_else(|| no_policy(enclave_name, name))?)?)
        };
        let result = self.decide(call.actor.identity, action.verb(), rule).await;
        call.end(result.map(|(_, record)| policy_info(enclave_name, record)))
    }

    /// Makes an identity; its API key is made, and stays, with the client.
    pub async fn create_identity(
        &self,
        caller: &Caller,
        request: &CreateIdentity,
    ) -> Result<IdentityInfo, Error> {
        let action = Action::IdentityCreate;
        let call = self.let_in(caller, action, Resource::Text(request.name.as_str())).await?;
        let call = call.begin(said::identity(request)).await?;
        let now = self.clock.now();
        let rule = |view: &dyn View| new_identity(view, request, now.max(view.head().at));
        let result = match self.decide(call.actor.identity, action.verb(), rule).await {
            Ok((_, record)) => self.read(|view| identity_info(view, record.clone())).await,
            Err(error) => Err(error),
        };
        call.end(result)
    }

    /// Removes an identity; never the last administrator.
    pub async fn remove_identity(
        &self,
        caller: &Caller,
        which: &IdentitySelector,
    ) -> Result<IdentityInfo, Error> {
        let action = Action::IdentityRemove;
        let text = selected(which);
        let call = self.enter(caller, action, Resource::Text(&text)).await?;
        let caller = call.actor.identity;
        let rule = |view: &dyn View| {
            let all = list::<Identity>(view, &[])?;
            let found = find(view, which)?;
            let decision = remove_identity(&found, &all)?;
            if found.record.identity == caller {
                let message = format!("{} is who asks for it", found.record.name);
                return Err(Error::new(Kind::Refused, message)
                    .next("remove it with the context of another administrator"));
            }
            Ok(decision)
        };
        let result = match self.decide(call.actor.identity, action.verb(), rule).await {
            Ok((_, record)) => self.read(|view| identity_info(view, record.clone())).await,
            Err(error) => Err(error),
        };
        call.end_with(result, |removed| {
            format!("{}, {} {}", removed.identity, removed.privilege.as_str(), removed.name)
        })
    }
}

fn new_identity(
    view: &dyn View,
    request: &CreateIdentity,
    now: Millis,
) -> Result<(Draft, Identity), Error> {
    let vault = vault(view)?;
    let all = list::<Identity>(view, &[])?;
    let enclave = match &request.enclave {
        Some(name) => Some(enclave(view, name)?),
        None => None,
    };
    let policy = match (&enclave, &request.policy) {
        (Some(enclave), Some(name)) => {
            get::<Policy>(view, FullName::new(&enclave.record.enclave_id, name).as_row())?
        }
        (None, Some(_)) => {
            let message = "an administrator has no policy: it may do everything";
            return Err(Error::new(Kind::BadInput, message)
                .next("leave the policy away, or make a user of an enclave"));
        }
        _ => None,
    };
    let user_of = enclave.as_ref().map(|enclave| UserOf {
        enclave,
        policy: request.policy.as_ref().map(|name| (name, policy.as_ref())),
    });
    let CreateIdentity { name, identity, privilege, .. } = request;
    let new = NewIdentity { name, identity: *identity, privilege: *privilege, user_of };
    Ok(create_identity(&vault, new, &all, now)?)
}

fn no_policy(enclave: &Name, name: &Name) -> Error {
    Error::missing(format!("there is no policy {enclave}/{name}"))
        .next(format!("holdfast policy ls -e {enclave}"))
}

fn selected(which: &IdentitySelector) -> String {
    match which {
        IdentitySelector::Name(name) => name.to_string(),
        IdentitySelector::Id(id) => id.to_string(),
    }
}

/// There are few identities: names are looked up by walking them.
fn find(view: &dyn View, which: &IdentitySelector) -> Result<Stored<Identity>, Error> {
    let found = match which {
        IdentitySelector::Id(id) => get::<Identity>(view, id.as_bytes())?,
        IdentitySelector::Name(name) => {
            list::<Identity>(view, &[])?.into_iter().find(|found| found.record.name == *name)
        }
    };
    found.ok_or_else(|| {
        let message = format!("there is no identity {}", selected(which));
        Error::missing(message).next("holdfast identity ls")
    })
}

fn identity_info(view: &dyn View, record: Identity) -> Result<IdentityInfo, Error> {
    let enclave = match record.enclave {
        Some(id) => get::<Enclave>(view, id.as_bytes())?.map(|found| found.record.name),
        None => None,
    };
    Ok(IdentityInfo {
        name: record.name,
        identity: record.identity,
        privilege: record.privilege,
        enclave,
        policy: record.policy,
        created: record.created,
    })
}

fn policy_info(enclave: &Name, policy: Policy) -> PolicyInfo {
    let texts = |rules: &[Rule]| rules.iter().map(Rule::to_string).collect();
    PolicyInfo {
        name: policy.name.clone(),
        enclave: enclave.clone(),
        allow: texts(&policy.allow),
        deny: texts(&policy.deny),
    }
}
