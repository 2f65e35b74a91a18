//! What the vault says about itself: status, readiness, metrics.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use holdfast_machine::View;
use holdfast_records::{AuditHead, Identity, Privilege, Record as _};
use holdfast_store::{ChangesError, changes_since};
use holdfast_types::{Revision, Table, TableClass};

use super::Service;
use super::read::{each, get};
use super::weak::{self, Facts};
use crate::audit::Resource;
use crate::{Action, Caller, Error, Metrics, NodeStatus, Ready, Status};

/// How many archives a status shows.
const ARCHIVES_SHOWN: usize = 10;
/// How long a node serves without its majority.
const STALE_MAX: Duration = Duration::from_secs(60 * 60);

/// What is counted, and under which name.
const COUNTED: [(&str, Table); 6] = [
    ("enclaves", Table::ENCLAVES),
    ("keys", Table::KEYS),
    ("key_versions", Table::KEY_VERSIONS),
    ("policies", Table::POLICIES),
    ("identities", Table::IDENTITIES),
    ("custodians", Table::CUSTODIANS),
];

impl Service {
    /// The vault's state and its weak points.
    pub async fn status(&self, caller: &Caller) -> Result<Status, Error> {
        let call = self.enter(caller, Action::StatusRead, Resource::Text("status")).await?;
        let result = self.read(|view| self.status_of(view)).await;
        call.end(result)
    }

    /// Whether this node can serve; never "no" because a backup is late. Records nothing.
    pub fn ready(&self) -> Ready {
        let cluster = self.cluster.status();
        let why = if !cluster.running {
            Some("the storage of this node failed: look at its log".to_owned())
        } else if !self.keyring.is_open() {
            Some("the root key is not open".to_owned())
        } else if self.cluster.majority_age() > STALE_MAX {
            Some("no majority of the cluster was heard for an hour".to_owned())
        } else {
            None
        };
        Ready { ready: why.is_none(), why }
    }

    /// Numbers for monitoring: a local caller needs no identity.
    pub async fn metrics(&self, caller: &Caller) -> Result<Metrics, Error> {
        if caller.local && caller.identity.is_none() {
            let system = Caller { remote: caller.remote.clone(), ..Caller::system() };
            return Box::pin(self.metrics(&system)).await;
        }
        let call = self.enter(caller, Action::MetricsRead, Resource::Text("metrics")).await?;
        let result = self.read(|view| self.status_of(view)).await;
        call.end(result.map(|status| Metrics { text: exposition(&status, &self.ready()) }))
    }

    fn status_of(&self, view: &dyn View) -> Result<Status, Error> {
        let head = view.head();
        let custodians = super::custodians::all(view)?;
        let archives = super::archives::all(view)?;
        let audit_head = self.audit.head();
        let recorded = get::<AuditHead>(view, &self.audit_key())?.map(|found| found.record.count);
        let now = self.clock.now();
        let stored = || archives.iter().filter(|archive| archive.stored.is_some());
        let elsewhere = stored()
            .take(ARCHIVES_SHOWN)
            .find(|archive| !self.on_data_disk(archive))
            .and_then(|archive| archive.stored);
        let keys_changed = match stored().next() {
            Some(newest) => self.keys_changed_since(newest.to)?,
            None => 0,
        };
        let facts = Facts {
            now,
            clock_drift_ms: self.clock_drift_ms(),
            state_at: head.at,
            custodians,
            archives,
            elsewhere,
            keys_changed,
            epoch_base: head.epoch.base,
            soft_key_on_data_disk: self
                .soft_key_on_data_disk()
                .map(|path| path.display().to_string()),
            administrators: administrators(view)?,
            audit_dropped: self.audit.dropped(),
            audit_fault: self.audit.fault(),
            audit_short: recorded
                .filter(|recorded| *recorded > audit_head.count)
                .map(|recorded| (audit_head.count, recorded)),
            free: self.fs.free_bytes(&self.data),
            storage_fault: self.cluster.fault().map(|fault| fault.why),
            node: self.warnings.clone(),
        };
        let warnings = weak::points(&facts);
        let cluster = self.cluster.status();
        let live = |table| head.tables.get(&table).map_or(0, |table| table.live);
        let mut archives = facts.archives;
        archives.truncate(ARCHIVES_SHOWN);
        Ok(Status {
            vault_id: self.vault_id,
            epoch: head.epoch.n,
            incarnation: head.epoch.id,
            revision: head.revision,
            at: head.at,
            digest: head.digest(TableClass::Archived).to_string(),
            counts: COUNTED.iter().map(|(name, table)| (*name, live(*table))).collect(),
            archives,
            node: NodeStatus {
                node: self.node,
                leader: cluster.leader == Some(self.node),
                term: cluster.term,
                majority_age_ms: u64::try_from(self.cluster.majority_age().as_millis())
                    .unwrap_or(u64::MAX),
                audit_records: audit_head.count,
                audit_dropped: facts.audit_dropped,
            },
            warnings,
        })
    }

    fn audit_key(&self) -> Vec<u8> {
        AuditHead { node: self.node, count: 0, hash: [0; 32] }.key()
    }

    /// How far the clock moved beyond, or stayed behind, what this process measured since it opened.
    fn clock_drift_ms(&self) -> u64 {
        let (started, at) = self.opened;
        let measured = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.now().0.abs_diff(at.0.saturating_add(measured))
    }

    /// Keys that were made, rotated, deleted or undeleted after a revision; none where this is not known.
    fn keys_changed_since(&self, after: Revision) -> Result<u64, Error> {
        let mut changed = 0;
        let counted = changes_since(&self.cluster.view(), after, &mut |_, table, _| {
            changed += u64::from(table == Table::KEYS);
            ControlFlow::Continue(())
        });
        match counted {
            Ok(()) | Err(ChangesError::BelowFloor { .. }) => Ok(changed),
            Err(ChangesError::Read(error)) => Err(error.into()),
        }
    }
}

fn administrators(view: &dyn View) -> Result<usize, Error> {
    let mut count = 0;
    each::<Identity>(view, &[], &[], |found| {
        count += usize::from(found.record.privilege == Privilege::Admin);
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// The Prometheus text format, version 0.0.4.
fn exposition(status: &Status, ready: &Ready) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        // Writing to a String does not fail.
        _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    let level =
        |level| status.warnings.iter().filter(|warning| warning.level == level).count() as u64;
    gauge("holdfast_ready", "Whether this node can serve.", u64::from(ready.ready));
    gauge("holdfast_leader", "Whether this node leads.", u64::from(status.node.leader));
    gauge("holdfast_revision", "Revision of the state.", status.revision.0);
    gauge("holdfast_epoch", "Epoch of the vault.", u64::from(status.epoch));
    for (name, count) in &status.counts {
        gauge(&format!("holdfast_{name}"), &format!("Live {name}."), *count);
    }
    gauge("holdfast_warnings", "Weak points.", level(crate::Level::Warning));
    gauge(
        "holdfast_critical",
        "Weak points by which keys could be lost.",
        level(crate::Level::Critical),
    );
    gauge("holdfast_audit_records", "Lines of the audit log.", status.node.audit_records);
    gauge(
        "holdfast_audit_dropped",
        "Audit records dropped since the start.",
        status.node.audit_dropped,
    );
    let stored = status.archives.iter().filter_map(|archive| archive.stored).max();
    if let Some(stored) = stored {
        gauge(
            "holdfast_archive_stored_seconds",
            "When the newest archive was stored.",
            stored.0 / 1000,
        );
    }
    text
}
