//! The sheet and the status.

use holdfast_service::{Action, Status, Warning};

use crate::error::{Answer, Reply};
use crate::extract::{Body, Call, On};
use crate::native::keys::Nothing;
use crate::wire;

pub(crate) async fn sheet(call: Call) -> Answer<wire::Sheet> {
    let sheet = call.service.sheet(&call.caller).await?;
    Ok(Reply(wire::Sheet {
        vault_id: sheet.vault_id.to_string(),
        signer: sheet.fingerprint,
        custodians: sheet.custodians.into_iter().map(Into::into).collect(),
        text: sheet.text,
    }))
}

pub(crate) async fn status(call: Call) -> Answer<wire::Status> {
    Ok(Reply(call.service.status(&call.caller).await?.into()))
}

pub(crate) async fn acknowledge(call: Call, body: Body) -> Answer<wire::AuditAcknowledged> {
    let on = On::Other("audit log");
    let Nothing {} = call.body_or_nothing(Action::AuditAcknowledge, on, body).await?;
    let gaps = call.service.acknowledge_audit_gaps(&call.caller).await?;
    Ok(Reply(wire::AuditAcknowledged { gaps }))
}

impl From<Status> for wire::Status {
    fn from(status: Status) -> Self {
        let node = status.node;
        let counts = status.counts.into_iter().map(|(what, n)| (what.to_owned(), n));
        Self {
            vault_id: status.vault_id.to_string(),
            epoch: status.epoch,
            incarnation: status.incarnation.to_string(),
            revision: status.revision.0,
            at: status.at.0,
            digest: status.digest,
            counts: counts.collect(),
            archives: status.archives.into_iter().map(Into::into).collect(),
            node: wire::NodeStatus {
                node_id: node.node.to_string(),
                leader: node.leader,
                term: node.term,
                majority_age_ms: node.majority_age_ms,
                audit_records: node.audit_records,
                audit_dropped: node.audit_dropped,
                audit_counted: node.audit_counted,
            },
            warnings: status.warnings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Warning> for wire::Warning {
    fn from(warning: Warning) -> Self {
        let Warning { level, what, next } = warning;
        Self { level: level.as_str().to_owned(), what, next }
    }
}
