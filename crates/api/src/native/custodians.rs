//! Custodians and seal slots.

use holdfast_service::{Action, AddCustodian, CustodianInfo, SlotInfo};

use crate::error::{Answer, Reply};
use crate::extract::{Body, Call, On, Path};
use crate::wire;

pub(crate) async fn add(call: Call, body: Body) -> Answer<wire::CustodianAdded> {
    let action = Action::CustodianAdd;
    let new: wire::NewCustodian = call.body(action, On::Other("custodians"), body).await?;
    let name = new.name.map(|name| call.name(action, "the custodian", &name)).transpose()?;
    let request = AddCustodian { name, certificate: new.certificate.0 };
    let added = call.service.add_custodian(&call.caller, &request).await?;
    let custodian = added.custodian.into();
    Ok(Reply(wire::CustodianAdded { custodian, renewed: added.renewed }))
}

pub(crate) async fn list(call: Call) -> Answer<wire::Custodians> {
    let custodians = call.service.list_custodians(&call.caller).await?;
    Ok(Reply(wire::Custodians { custodians: custodians.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn show(call: Call, Path(which): Path<String>) -> Answer<wire::Custodian> {
    let which = call.custodian(Action::CustodianShow, &which)?;
    Ok(Reply(call.service.show_custodian(&call.caller, &which).await?.into()))
}

pub(crate) async fn remove(
    call: Call,
    Path(which): Path<String>,
) -> Answer<wire::CustodianRemoved> {
    let which = call.custodian(Action::CustodianRemove, &which)?;
    let removed = call.service.remove_custodian(&call.caller, &which).await?;
    let custodian = removed.custodian.into();
    Ok(Reply(wire::CustodianRemoved { custodian, note: removed.note }))
}

pub(crate) async fn slots(call: Call) -> Answer<wire::Slots> {
    let slots = call.service.list_slots(&call.caller).await?;
    Ok(Reply(wire::Slots { slots: slots.into_iter().map(Into::into).collect() }))
}

impl From<CustodianInfo> for wire::Custodian {
    fn from(custodian: CustodianInfo) -> Self {
        Self {
            name: custodian.name.to_string(),
            custodian_id: custodian.custodian_id.to_string(),
            fingerprint: custodian.fingerprint,
            added: custodian.added.0,
            expires: custodian.expires.map(|at| at.0),
            slot_id: custodian.slot.map(|id| id.to_string()),
        }
    }
}

impl From<SlotInfo> for wire::Slot {
    fn from(slot: SlotInfo) -> Self {
        Self {
            slot_id: slot.slot_id.to_string(),
            generation: slot.generation.0,
            kind: slot.kind.to_owned(),
            custodian: slot.custodian.map(|name| name.to_string()),
            recipient: slot.recipient,
            archived: slot.archived,
        }
    }
}
