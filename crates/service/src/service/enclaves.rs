//! Enclaves: make, list, remove.

use std::ops::ControlFlow;
use std::sync::Arc;

use holdfast_crypto::random_array;
use holdfast_keys::{Contents, close_enclave, create_enclave, open_enclave, remove_enclave};
use holdfast_machine::View;
use holdfast_records::{Enclave, EnclaveName, Identity, Key, Policy, Stored};
use holdfast_types::{Draft, EnclaveId, IdentityId, Kind, Name};

use super::Service;
use super::read::{aside, each, enclave, get, list};
use crate::audit::Resource;
use crate::{Action, Caller, EnclaveInfo, Error};

impl Service {
    /// All enclaves, by name.
    pub async fn list_enclaves(&self, caller: &Caller) -> Result<Vec<EnclaveInfo>, Error> {
        let call = self.enter(caller, Action::EnclaveList, Resource::Text("enclaves")).await?;
        let result = self.read(all).await;
        call.end(result)
    }

    /// Makes an enclave.
    pub async fn create_enclave(&self, caller: &Caller, name: &Name) -> Result<EnclaveInfo, Error> {
        let action = Action::EnclaveCreate;
        let call = self.enter(caller, action, Resource::Text(name.as_str())).await?;
        let id = EnclaveId(random_array());
        let rule = |view: &dyn View| {
            let taken = get::<EnclaveName>(view, name.as_str().as_bytes())?;
            Ok(create_enclave(name, taken.as_ref(), id)?)
        };
        let result = self.decide(call.actor.identity, action.verb(), rule).await;
        call.end(result.map(|(_, record)| info(record)))
    }

    /// Removes an enclave that holds nothing. Two steps: closed, so that nothing gets in, then removed if
    /// it is still empty, else opened again. Where the server died between them, the next call does the rest.
    pub async fn remove_enclave(
        self: &Arc<Self>,
        caller: &Caller,
        name: &Name,
    ) -> Result<EnclaveInfo, Error> {
        let action = Action::EnclaveRemove;
        let call = self.enter(caller, action, Resource::Text(name.as_str())).await?;
        let (service, actor, name) = (Arc::clone(self), call.actor.identity, name.clone());
        // A caller who goes away leaves no enclave closed.
        let removal = tokio::spawn(async move { service.remove_or_open(actor, &name).await });
        let broke = |error: tokio::task::JoinError| Error::new(Kind::Internal, error.to_string());
        let result = removal.await.unwrap_or_else(|error| Err(broke(error)));
        call.end(result)
    }

    async fn remove_or_open(&self, actor: IdentityId, name: &Name) -> Result<EnclaveInfo, Error> {
        let removed = self.close_and_remove(actor, name).await;
        if removed.is_err() {
            let verb = Action::EnclaveRemove.verb();
            let open = |view: &dyn View| match enclave(view, name) {
                Ok(found) => Ok((open_enclave(&found)?.0, ())),
                // There was none, or another call removed it.
                Err(error) if error.miss => Ok((Draft::default(), ())),
                Err(error) => Err(error),
            };
            // The vault's own step: whoever called may be removed by now.
            self.decide(IdentityId::SYSTEM, verb, open).await?;
        }
        removed
    }

    async fn close_and_remove(&self, actor: IdentityId, name: &Name) -> Result<EnclaveInfo, Error> {
        let verb = Action::EnclaveRemove.verb();
        let close = |view: &dyn View| {
            let found = enclave(view, name)?;
            Ok(close_enclave(&found, aside(|| contents(view, &found))?)?)
        };
        self.decide(actor, verb, close).await?;
        let remove = |view: &dyn View| {
            let found = enclave(view, name)?;
            let row = get::<EnclaveName>(view, name.as_str().as_bytes())?;
            Ok(remove_enclave(&found, row.as_ref(), aside(|| contents(view, &found))?)?)
        };
        let (_, record) = self.decide(actor, verb, remove).await?;
        Ok(EnclaveInfo { state: "removed", ..info(record) })
    }
}

/// What an enclave holds. Removing one walks all keys and identities: it is rare.
fn contents(view: &dyn View, of: &Stored<Enclave>) -> Result<Contents, Error> {
    let id = of.record.enclave_id;
    let mut found = Contents { keys: 0, policies: 0, identities: 0 };
    each::<Key>(view, &[], &[], |key| {
        found.keys += u64::from(key.record.enclave_id == id);
        ControlFlow::Continue(())
    })?;
    each::<Identity>(view, &[], &[], |identity| {
        found.identities += u64::from(identity.record.enclave == Some(id));
        ControlFlow::Continue(())
    })?;
    found.policies = list::<Policy>(view, id.as_bytes())?.len() as u64;
    Ok(found)
}

fn all(view: &dyn View) -> Result<Vec<EnclaveInfo>, Error> {
    let mut found = Vec::new();
    for entry in list::<EnclaveName>(view, &[])? {
        if let Some(enclave) = get::<Enclave>(view, entry.record.enclave_id.as_bytes())? {
            found.push(info(enclave.record));
        }
    }
    Ok(found)
}

fn info(enclave: Enclave) -> EnclaveInfo {
    let Enclave { enclave_id, name, state } = enclave;
    EnclaveInfo { name, enclave_id, state: state.as_str() }
}
