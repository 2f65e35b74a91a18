//! Changes: read a view, let a rule decide, propose, and decide again where the state moved meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_cluster::{FaultKind, ProposeError};
use holdfast_crypto::random_array;
use holdfast_machine::{Outcome, Txn, View};
use holdfast_records::{Identity, Record as _};
use holdfast_types::{Draft, EpochId, Expect, IdentityId, Kind, Millis, Revision, Table, TxnId};

use super::read::get;
use super::{Boxed, Service};
use crate::Error;

/// How often a rule decides before the caller is told that others were always faster. Whoever met a conflict
/// competes only with who comes new and with other nodes, so that this is hardly ever reached.
const DECISIONS_MAX: u32 = 32;
/// How often the same bytes are proposed while the outcome is unknown.
const PROPOSALS_MAX: u32 = 5;
/// How long to wait between two of them.
const PROPOSE_AGAIN: Duration = Duration::from_millis(200);

impl Service {
    /// What a caller asked for: as [`Service::carry_out`], as long as there still is such an identity. It was
    /// let in a while ago; once somebody was told that it is removed, nothing more of it may be done.
    pub(crate) async fn decide<T: Send>(
        &self,
        actor: IdentityId,
        verb: u16,
        mut rule: impl FnMut(&dyn View) -> Result<(Draft, T), Error> + Send,
    ) -> Result<(Revision, T), Error> {
        let rule = |view: &dyn View| {
            if actor == IdentityId::SYSTEM {
                return rule(view);
            }
            let own = get::<Identity>(view, actor.as_bytes())?.ok_or_else(|| {
                let message = format!("identity {actor} was removed meanwhile");
                Error::new(Kind::Refused, message)
            })?;
            let (mut draft, answer) = rule(view)?;
            draft.require(Table::IDENTITIES, own.record.key(), Expect::At(own.rev));
            Ok((draft, answer))
        };
        self.carry_out(actor, verb, rule).await
    }

    /// Lets `rule` decide over a view until its draft is accepted. Returns the revision it got and what the
    /// rule answered. A draft that writes nothing gets the view's revision.
    ///
    /// The first decision is made on what this node has; whatever it refuses is decided once more on a
    /// fresh view before anyone is told. Those who met a conflict decide again one after the other, in the
    /// order they came: together they would be in each other's way for ever.
    pub(crate) async fn carry_out<T: Send>(
        &self,
        actor: IdentityId,
        verb: u16,
        mut rule: impl FnMut(&dyn View) -> Result<(Draft, T), Error> + Send,
    ) -> Result<(Revision, T), Error> {
        let mut last = None;
        let mut draft_of = |view: &dyn View| {
            let (draft, answer) = rule(view)?;
            last = Some(answer);
            Ok(draft)
        };
        let revision = self.until_accepted(actor, verb, &mut draft_of).await?;
        // What is accepted is the draft of the last decision.
        let answer = last.ok_or_else(|| Error::new(Kind::Internal, "no rule decided"))?;
        Ok((revision, answer))
    }

    fn until_accepted<'a>(
        &'a self,
        actor: IdentityId,
        verb: u16,
        rule: &'a mut (dyn FnMut(&dyn View) -> Result<Draft, Error> + Send),
    ) -> Boxed<'a, Revision> {
        Box::pin(async move {
            let mut view = self.cluster.view();
            let mut turn = None;
            for _ in 0..DECISIONS_MAX {
                let mut decided = rule(&view);
                if decided.is_err() && turn.is_none() {
                    view = self.cluster.fresh().await?;
                    decided = rule(&view);
                }
                let draft = decided?;
                if draft.write.is_empty() {
                    return Ok(view.head().revision);
                }
                let txn = transaction(view.head().epoch.id, actor, verb, draft);
                if let Some(revision) = settle(|| self.cluster.propose(txn.clone())).await? {
                    return Ok(revision);
                }
                if turn.is_none() {
                    turn = Some(self.deciding_again.lock().await);
                }
                view = self.cluster.fresh().await?;
            }
            let message = "others changed the same object all the time";
            Err(Error::new(Kind::Unavailable, message).next("try again"))
        })
    }

    /// Brings this node's own view up to everything acknowledged before this call. One question to the
    /// majority serves all who wait: who came while it was asked waits for the next one.
    pub(crate) fn catch_up(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            let seen = self.asked.load(Ordering::Acquire);
            let _turn = self.asking.lock().await;
            // A question that began after we came, and was answered, answers for us.
            if self.answered.load(Ordering::Acquire) > seen {
                return Ok(());
            }
            let question = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
            self.cluster.fresh().await?;
            self.answered.store(question, Ordering::Release);
            Ok(())
        })
    }
}

/// The revision that one transaction got; `None` when it met a conflict and the rule must decide again. A
/// conflict with itself, after an outcome that was not known, the cluster recognises by the transaction's id.
async fn settle<F: Future<Output = Result<Outcome, ProposeError>>>(
    mut propose: impl FnMut() -> F,
) -> Result<Option<Revision>, Error> {
    let mut unknown = false;
    for _ in 0..PROPOSALS_MAX {
        match propose().await {
            Ok(Outcome::Done(revision)) => return Ok(Some(revision)),
            Ok(Outcome::Conflict { .. }) => return Ok(None),
            Ok(Outcome::Refused(reason)) => {
                let message = format!("refused by the state: {reason}");
                return Err(Error::new(Kind::Internal, message));
            }
            Err(ProposeError::Unknown) => {
                unknown = true;
                tokio::time::sleep(PROPOSE_AGAIN).await;
            }
            // What it says of this proposal it does not say of the one before.
            Err(error) if unknown && !matches!(error, ProposeError::Storage { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(Kind::Unavailable, "the outcome of the change is not known")
        .next("look whether it was done, then repeat the command"))
}

fn transaction(epoch: EpochId, actor: IdentityId, verb: u16, draft: Draft) -> Txn {
    let Draft { expect, write } = draft;
    let id = TxnId(random_array());
    // The leader stamps the time.
    Txn { id, epoch, at: Millis(0), actor, verb, expect, write }
}

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        let message = error.to_string();
        match error {
            ProposeError::TooLarge(_) => Self::new(Kind::TooLarge, message),
            ProposeError::NoSpace { dir, .. } => Self::new(Kind::NoSpace, message).next(format!(
                "make room on the disk of {}, then repeat the command",
                dir.display()
            )),
            ProposeError::Storage { kind, .. } => storage_failed(kind, message),
            _ => Self::new(Kind::Unavailable, message),
        }
    }
}

fn storage_failed(kind: FaultKind, message: String) -> Error {
    let (kind, next) = match kind {
        FaultKind::Full => (
            Kind::NoSpace,
            "make room on the disk of the data directory, restart the server, look whether it was done",
        ),
        FaultKind::Damaged => (
            Kind::Damaged,
            "restart the server; where it does not start, restore the newest archive: \
             holdfast restore ARCHIVE --data OTHER_DIR",
        ),
        FaultKind::Newer => (Kind::Newer, "run the newer holdfast that wrote it"),
        FaultKind::Other => (
            Kind::Unavailable,
            "look at the server's log and its disk, restart it, look whether it was done",
        ),
    };
    Error::new(kind, message).next(next)
}

impl From<holdfast_cluster::ReadIndexError> for Error {
    fn from(error: holdfast_cluster::ReadIndexError) -> Self {
        Self::new(Kind::Unavailable, error.to_string()).next("try again, or on another node")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_not_known_of_one_proposal_the_next_one_does_not_deny() {
        let no_space = || ProposeError::NoSpace { dir: "/data".into(), free: 0 };
        let settled = async |answers: &[ProposeError]| {
            let mut answers = answers.iter().cloned();
            settle(|| std::future::ready(Err(answers.next().unwrap()))).await.unwrap_err()
        };
        assert_eq!(settled(&[no_space()]).await.kind, Kind::NoSpace);
        for last in [no_space(), ProposeError::Stopped, ProposeError::NotLeader { leader: None }] {
            let error = settled(&[ProposeError::Unknown, last]).await;
            assert!(error.message.contains("not known"), "{error:?}");
        }
    }
}
