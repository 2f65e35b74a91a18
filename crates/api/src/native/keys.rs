//! Enclaves and keys.

use holdfast_service::{
    Action, EnclaveInfo, Error, KeyInfo, KeyPage, KeySelector, UndeleteKey, VersionInfo,
};
use holdfast_types::Kind;
use holdfast_types::limits::KEYS_PER_PAGE_MAX;
use serde::Deserialize;

use crate::error::{Answer, Failed, Reply};
use crate::extract::{Asked, Body, Call, On, Path};
use crate::wire;

pub(crate) async fn create_enclave(call: Call, body: Body) -> Answer<wire::Enclave> {
    let on = On::Other("enclaves");
    let wire::Named { name } = call.body(Action::EnclaveCreate, on, body).await?;
    let name = call.name(Action::EnclaveCreate, "the enclave", &name)?;
    Ok(Reply(call.service.create_enclave(&call.caller, &name).await?.into()))
}

pub(crate) async fn list_enclaves(call: Call) -> Answer<wire::Enclaves> {
    let enclaves = call.service.list_enclaves(&call.caller).await?;
    Ok(Reply(wire::Enclaves { enclaves: enclaves.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn remove_enclave(call: Call, Path(name): Path<String>) -> Answer<wire::Enclave> {
    let name = call.name(Action::EnclaveRemove, "the enclave", &name)?;
    Ok(Reply(call.service.remove_enclave(&call.caller, &name).await?.into()))
}

pub(crate) async fn create(
    call: Call,
    Path(enclave): Path<String>,
    body: Body,
) -> Answer<wire::Key> {
    let on = On::Within(&enclave, "*");
    let wire::Named { name } = call.body(Action::KeyCreate, on, body).await?;
    let key = select(&call, Action::KeyCreate, &(enclave, name))?;
    Ok(Reply(call.service.create_key(&call.caller, &key).await?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    after: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    deleted: bool,
}

pub(crate) async fn list(
    Asked(call, page): Asked<PageQuery>,
    Path(enclave): Path<String>,
) -> Answer<wire::Keys> {
    let action = Action::KeyList;
    let enclave = call.name(action, "the enclave", &enclave)?;
    let after = page.after.map(|name| call.name(action, "the key", &name)).transpose()?;
    if page.limit.is_some_and(|limit| !(1..=KEYS_PER_PAGE_MAX).contains(&limit)) {
        let message = format!("the limit of a page is 1 to {KEYS_PER_PAGE_MAX}");
        let error = Error::new(Kind::BadInput, message)
            .next("leave the limit away, and ask for the next page with ?after=NAME");
        return Err(call.reject(action, enclave.as_str(), error));
    }
    let page = KeyPage { after, limit: page.limit, deleted: page.deleted };
    let list = call.service.list_keys(&call.caller, &enclave, &page).await?;
    let keys = list.keys.into_iter().map(Into::into).collect();
    Ok(Reply(wire::Keys { keys, next: list.next.map(|name| name.to_string()) }))
}

pub(crate) async fn show(call: Call, Path(which): Path<(String, String)>) -> Answer<wire::Key> {
    let key = select(&call, Action::KeyShow, &which)?;
    Ok(Reply(call.service.show_key(&call.caller, &key).await?.into()))
}

/// A body that may be empty, and says nothing.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

pub(crate) async fn rotate(
    call: Call,
    Path(which): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Key> {
    let on = On::Within(&which.0, &which.1);
    let Nothing {} = call.body_or_nothing(Action::KeyRotate, on, body).await?;
    let key = select(&call, Action::KeyRotate, &which)?;
    Ok(Reply(call.service.rotate_key(&call.caller, &key).await?.into()))
}

pub(crate) async fn delete(call: Call, Path(which): Path<(String, String)>) -> Answer<wire::Key> {
    let key = select(&call, Action::KeyDelete, &which)?;
    Ok(Reply(call.service.delete_key(&call.caller, &key).await?.into()))
}

pub(crate) async fn undelete(
    call: Call,
    Path(which): Path<(String, String)>,
    body: Body,
) -> Answer<wire::Key> {
    let action = Action::KeyUndelete;
    let on = On::Within(&which.0, &which.1);
    let wire::Undelete { name, key_id } = call.body(action, on, body).await?;
    let key = select(&call, action, &which)?;
    let name = name.map(|name| call.name(action, "the key", &name)).transpose()?;
    let key_id = key_id.map(|id| call.parse(action, &id)).transpose()?;
    let undelete = UndeleteKey { key, name, key_id };
    Ok(Reply(call.service.undelete_key(&call.caller, &undelete).await?.into()))
}

fn select(
    call: &Call,
    action: Action,
    (enclave, key): &(String, String),
) -> Result<KeySelector, Failed> {
    let enclave = call.name(action, "the enclave", enclave)?;
    Ok(KeySelector { enclave, name: call.name(action, "the key", key)? })
}

impl From<EnclaveInfo> for wire::Enclave {
    fn from(e: EnclaveInfo) -> Self {
        Self {
            name: e.name.to_string(),
            enclave_id: e.enclave_id.to_string(),
            state: e.state.to_owned(),
        }
    }
}

impl From<KeyInfo> for wire::Key {
    fn from(key: KeyInfo) -> Self {
        let version = |v: VersionInfo| wire::VersionOf {
            version: v.version.0,
            state: v.state.to_owned(),
            changed: v.changed.0,
        };
        // Every key has one: without any it is from a listing.
        let versions =
            (!key.versions.is_empty()).then(|| key.versions.into_iter().map(version).collect());
        Self {
            name: key.name.to_string(),
            enclave: key.enclave.to_string(),
            key_id: key.key_id.to_string(),
            kind: key.kind.to_owned(),
            state: key.state.to_owned(),
            version: key.version.0,
            created: key.created.0,
            deleted: key.deleted.map(|at| at.0),
            versions,
        }
    }
}
