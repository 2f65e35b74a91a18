//! What the vault says about itself: status, readiness, metrics.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_machine::View;
use holdfast_records::{Identity, Privilege};
use holdfast_store::{ChangesError, changes_since};
use holdfast_types::{Revision, Table, TableClass};

use super::Service;
use super::archives::Told;
use super::disks::Disks;
use super::read::{aside, each};
use super::weak::{self, Changed, Facts};
use crate::audit::Resource;
use crate::{Action, Caller, Error, Level, Metrics, NodeStatus, Ready, Status, Warning};

/// How many archives a status shows.
const ARCHIVES_SHOWN: usize = 10;
/// How long a node serves without its majority.
const STALE_MAX: Duration = Duration::from_secs(60 * 60);

/// How old the numbers of monitoring may be: anybody known may ask for them, as often as they like.
const METRICS_AGE_MAX: Duration = Duration::from_secs(1);

/// What is counted, and under which name.
const COUNTED: [(&str, Table); 6] = [
    ("enclaves", Table::ENCLAVES),
    // A deleted key is kept, and gives its name back.
    ("keys", Table::KEY_NAMES),
    ("key_versions", Table::KEY_VERSIONS),
    ("policies", Table::POLICIES),
    ("identities", Table::IDENTITIES),
    ("custodians", Table::CUSTODIANS),
];

impl Service {
    /// The vault's state and its weak points.
    pub async fn status(self: &Arc<Self>, caller: &Caller) -> Result<Status, Error> {
        let call = self.enter(caller, Action::StatusRead, Resource::Text("status")).await?;
        let result = self.status_since(Instant::now()).await;
        call.end(result.map(|status| (*status).clone()))
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

    /// Numbers for monitoring: a local caller needs no identity that this vault knows.
    pub async fn metrics(self: &Arc<Self>, caller: &Caller) -> Result<Metrics, Error> {
        let (action, resource) = (Action::MetricsRead, Resource::Text("metrics"));
        let call = if caller.local && !self.knows_here(caller) {
            self.enter_local(caller, action, resource)
        } else {
            self.enter(caller, action, resource).await?
        };
        let now = Instant::now();
        let result = self.status_since(now.checked_sub(METRICS_AGE_MAX).unwrap_or(now)).await;
        let text = |status: Arc<Status>| {
            // What costs nothing is of this moment.
            let status = Status { node: self.node_now(), ..(*status).clone() };
            Metrics { text: exposition(&status, &self.ready()) }
        };
        call.end(result.map(text))
    }

    /// A status that was begun no earlier than `oldest`: what others ask for at the same time is found out once.
    async fn status_since(self: &Arc<Self>, oldest: Instant) -> Result<Arc<Status>, Error> {
        let mut last = self.last_status.lock().await;
        if let Some((_, status)) = last.as_ref().filter(|(begun, _)| *begun >= oldest) {
            return Ok(Arc::clone(status));
        }
        let begun = Instant::now();
        let status = Arc::new(self.status_now().await?);
        *last = Some((begun, Arc::clone(&status)));
        Ok(status)
    }

    /// It walks what changed since the newest archive, and looks at disks: both may take long.
    async fn status_now(self: &Arc<Self>) -> Result<Status, Error> {
        // Before the view: one that is not in the ledger yet is not in between either.
        let gap = self.audit_gap.lock().clone();
        let view = self.cluster.view();
        let mut facts = aside(|| self.facts(&view))?;
        let unrecorded = gap.filter(|gap| !facts.audit_gaps.iter().any(|told| told.is(gap)));
        facts.audit_gaps.extend(unrecorded);
        match self.look_at_disks(weak::recent(&facts.archives).cloned().collect()).await {
            Some(Disks { elsewhere, unseen, gone, soft_key, free }) => {
                (facts.elsewhere, facts.unseen) = (elsewhere, unseen);
                super::archives::mark(&mut facts.archives, &gone);
                facts.soft_key_on_data_disk = soft_key.map(|path| path.display().to_string());
                facts.free = free;
            }
            None => facts.disks_silent = true,
        }
        if let Some((newest, _)) = weak::newest_left(&facts.archives) {
            facts.changed = aside(|| self.changed_since(newest.to))?;
        }
        Ok(self.status_of(&view, facts))
    }

    /// What the state and this process know; nothing of the disks yet.
    fn facts(&self, view: &dyn View) -> Result<Facts, Error> {
        let head = view.head();
        let custodians = super::custodians::all(view)?;
        let Told { archives, drilled_by, gaps } = super::archives::told(view)?;
        let now = self.clock.now();
        Ok(Facts {
            now,
            clock_drift_ms: self.clock_drift_ms(),
            state_at: head.at,
            custodians,
            drilled_by,
            archives,
            elsewhere: None,
            unseen: None,
            changed: Changed::default(),
            epoch_base: head.epoch.base,
            soft_key_on_data_disk: None,
            administrators: administrators(view)?,
            audit_dropped: self.audit.dropped(),
            audit_counted: self.audit.strangers_counted(),
            audit_fault: self.audit.fault(),
            audit_gaps: gaps,
            free: None,
            disks_silent: false,
            storage_fault: self.cluster.fault().map(|fault| fault.why),
            node: self.warnings.clone(),
        })
    }

    fn status_of(&self, view: &dyn View, facts: Facts) -> Status {
        let head = view.head();
        let warnings = weak::points(&facts);
        let live = |table| head.tables.get(&table).map_or(0, |table| table.live);
        let mut archives = facts.archives;
        archives.truncate(ARCHIVES_SHOWN);
        Status {
            vault_id: self.vault_id,
            epoch: head.epoch.n,
            incarnation: head.epoch.id,
            revision: head.revision,
            at: head.at,
            digest: head.digest(TableClass::Archived).to_string(),
            counts: COUNTED.iter().map(|(name, table)| (*name, live(*table))).collect(),
            archives,
            node: NodeStatus {
                audit_dropped: facts.audit_dropped,
                audit_counted: facts.audit_counted,
                ..self.node_now()
            },
            warnings,
        }
    }

    fn node_now(&self) -> NodeStatus {
        let cluster = self.cluster.status();
        NodeStatus {
            node: self.node,
            leader: cluster.leader == Some(self.node),
            term: cluster.term,
            majority_age_ms: u64::try_from(self.cluster.majority_age().as_millis())
                .unwrap_or(u64::MAX),
            audit_records: self.audit.head().count,
            audit_dropped: self.audit.dropped(),
            audit_counted: self.audit.strangers_counted(),
        }
    }

    /// How far the clock moved beyond, or stayed behind, what this process measured since it opened.
    fn clock_drift_ms(&self) -> u64 {
        let (started, at) = self.opened;
        let measured = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.clock.now().0.abs_diff(at.0.saturating_add(measured))
    }

    /// What was made or changed after a revision; nothing where this is not known.
    fn changed_since(&self, after: Revision) -> Result<Changed, Error> {
        let mut changed = Changed::default();
        let counted = changes_since(&self.cluster.view(), after, &mut |_, table, _| {
            match table {
                Table::KEYS => changed.keys += 1,
                Table::IDENTITIES | Table::POLICIES | Table::CUSTODIANS => changed.access += 1,
                _ => {}
            }
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
    gauge("holdfast_ready", "Whether this node can serve.", u64::from(ready.ready));
    gauge("holdfast_leader", "Whether this node leads.", u64::from(status.node.leader));
    gauge("holdfast_revision", "Revision of the state.", status.revision.0);
    gauge("holdfast_epoch", "Epoch of the vault.", u64::from(status.epoch));
    for (name, count) in &status.counts {
        gauge(&format!("holdfast_{name}"), &format!("Live {name}."), *count);
    }
    gauge("holdfast_audit_records", "Lines of the audit log.", status.node.audit_records);
    gauge(
        "holdfast_audit_dropped",
        "Audit records dropped since the start.",
        status.node.audit_dropped,
    );
    gauge(
        "holdfast_audit_counted",
        "Calls of strangers that the audit log only counted since the start.",
        status.node.audit_counted,
    );
    let left = status.archives.iter().filter(|archive| !archive.gone);
    let stored = left.filter_map(|archive| archive.stored).max();
    if let Some(stored) = stored {
        gauge(
            "holdfast_archive_stored_seconds",
            "When the newest archive was stored.",
            stored.0 / 1000,
        );
    }
    warnings(&mut text, &status.warnings);
    text
}

/// How many weak points there are of each level.
fn warnings(text: &mut String, found: &[Warning]) {
    let name = "holdfast_warnings";
    _ = writeln!(text, "# HELP {name} Weak points, by level.\n# TYPE {name} gauge");
    for level in Level::ALL {
        let count = found.iter().filter(|warning| warning.level == level).count();
        _ = writeln!(text, "{name}{{level=\"{}\"}} {count}", level.as_str());
    }
}
