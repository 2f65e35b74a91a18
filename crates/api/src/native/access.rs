//! Policies and identities.

use holdfast_service::{
    Action, CreateIdentity, Error, IdentityInfo, IdentitySelector, PolicyInfo, Privilege, SetPolicy,
};
use holdfast_types::{Kind, Name};

use crate::error::{Answer, Failed, Reply};
use crate::extract::{Body, Call, On, Path};
use crate::wire;

pub(crate) async fn list_policies(
    call: Call,
    Path(enclave): Path<String>,
) -> Answer<wire::Policies> {
    let enclave = call.name(Action::PolicyList, "the enclave", &enclave)?;
    let policies = call.service.list_policies(&call.caller, &enclave).await?;
    Ok(Reply(wire::Policies { policies: policies.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn show_policy(
    call: Call,
    Path(which): Path<(String, String)>,
) -> Answer<wire::Policy> {
    let (enclave, name) = names(&call, Action::PolicyShow, &which)?;
    Ok(Reply(call.service.show_policy(&call.caller, &enclave, &name).await?.into()))
}

pub(crate) async fn set_policy(
    call: Call,
    Path(which): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Policy> {
    let action = Action::PolicySet;
    let on = On::Within(&which.0, &which.1);
    let rules: wire::Rules = call.body(action, on, body).await?;
    let (enclave, name) = names(&call, action, &which)?;
    if rules.allow.is_none() && rules.deny.is_none() {
        let error = Error::new(Kind::BadInput, "a policy says what it allows or what it denies")
            .next("give \"allow\" or \"deny\"; a policy without any rule: {\"allow\": []}");
        return Err(call.reject(action, name.as_str(), error));
    }
    let rules =
        SetPolicy { allow: rules.allow.unwrap_or_default(), deny: rules.deny.unwrap_or_default() };
    Ok(Reply(call.service.set_policy(&call.caller, &enclave, &name, &rules).await?.into()))
}

pub(crate) async fn remove_policy(
    call: Call,
    Path(which): Path<(String, String)>,
) -> Answer<wire::Policy> {
    let (enclave, name) = names(&call, Action::PolicyRemove, &which)?;
    Ok(Reply(call.service.remove_policy(&call.caller, &enclave, &name).await?.into()))
}

pub(crate) async fn create_identity(call: Call, body: Body) -> Answer<wire::Identity> {
    let action = Action::IdentityCreate;
    let new: wire::NewIdentity = call.body(action, On::Other("identities"), body).await?;
    let privilege = match new.privilege.as_str() {
        "admin" => Privilege::Admin,
        "user" => Privilege::User,
        _ => {
            let error = Error::new(Kind::BadInput, "a privilege is \"admin\" or \"user\"");
            return Err(call.reject(action, &new.name, error));
        }
    };
    let optional = |whose: &str, name: Option<String>| {
        name.map(|name| call.name(action, whose, &name)).transpose()
    };
    let request = CreateIdentity {
        name: call.name(action, "the identity", &new.name)?,
        identity: call.parse(action, &new.identity)?,
        privilege,
        enclave: optional("the enclave", new.enclave)?,
        policy: optional("the policy", new.policy)?,
    };
    Ok(Reply(call.service.create_identity(&call.caller, &request).await?.into()))
}

pub(crate) async fn list_identities(call: Call) -> Answer<wire::Identities> {
    let identities = call.service.list_identities(&call.caller).await?;
    Ok(Reply(wire::Identities { identities: identities.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn show_identity(call: Call, Path(which): Path<String>) -> Answer<wire::Identity> {
    let which = identity(&call, Action::IdentityShow, &which)?;
    Ok(Reply(call.service.show_identity(&call.caller, &which).await?.into()))
}

pub(crate) async fn remove_identity(
    call: Call,
    Path(which): Path<String>,
) -> Answer<wire::Identity> {
    let which = identity(&call, Action::IdentityRemove, &which)?;
    Ok(Reply(call.service.remove_identity(&call.caller, &which).await?.into()))
}

fn identity(call: &Call, action: Action, text: &str) -> Result<IdentitySelector, Failed> {
    if text.starts_with("h1:") {
        return call.parse(action, text).map(IdentitySelector::Id);
    }
    call.name(action, "the identity", text).map(IdentitySelector::Name)
}

fn names(
    call: &Call,
    action: Action,
    (enclave, name): &(String, String),
) -> Result<(Name, Name), Failed> {
    Ok((call.name(action, "the enclave", enclave)?, call.name(action, "the policy", name)?))
}

impl From<PolicyInfo> for wire::Policy {
    fn from(policy: PolicyInfo) -> Self {
        let PolicyInfo { name, enclave, allow, deny } = policy;
        Self { name: name.to_string(), enclave: enclave.to_string(), allow, deny }
    }
}

impl From<IdentityInfo> for wire::Identity {
    fn from(who: IdentityInfo) -> Self {
        let privilege = match who.privilege {
            Privilege::Admin => "admin",
            Privilege::User => "user",
        };
        Self {
            name: who.name.to_string(),
            identity: who.identity.to_string(),
            privilege: privilege.to_owned(),
            enclave: who.enclave.map(|name| name.to_string()),
            policy: who.policy.map(|name| name.to_string()),
            created: who.created.0,
        }
    }
}
