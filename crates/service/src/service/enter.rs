//! Authorising and recording: what every use case begins with, and how it ends.

use std::borrow::Cow;
use std::sync::Arc;

use holdfast_keys::policy::Compiled;
use holdfast_types::{EnclaveId, IdentityId, Kind, Name};
use tokio::sync::watch;

use super::{Boxed, Service};
use crate::action::Needs;
use crate::audit::{Outcome, Record, Resource, Room};
use crate::{Action, Caller, Error};

/// Who calls, as the state knows them.
pub(crate) struct Actor {
    /// The identity.
    pub identity: IdentityId,
    /// Its name.
    pub name: Name,
    /// An administrator may do everything.
    pub admin: bool,
    /// A user's enclave, while there is one.
    pub enclave: Option<(EnclaveId, Name)>,
    /// A user's policy, while there is one.
    pub policy: Option<Compiled>,
    /// Its name, whether there is one or not.
    pub policy_name: Option<Name>,
}

impl Actor {
    /// Whether its policy lets it do `action` on `name` in `enclave`.
    pub(crate) fn may(&self, action: Action, enclave: &str, name: &str) -> bool {
        if self.admin {
            return true;
        }
        let at_home = self.enclave.as_ref().is_some_and(|(_, own)| own.as_str() == enclave);
        at_home && self.policy.as_ref().is_some_and(|policy| policy.allows(action.as_str(), name))
    }

    /// Whether its policy lets it do `action` on what belongs to no enclave.
    fn may_of_the_vault(&self, action: Action, name: &str) -> bool {
        let allows = |policy: &Compiled| policy.allows(action.as_str(), name);
        self.admin || self.policy.as_ref().is_some_and(allows)
    }

    /// Whether it may do `action` on anything at all.
    pub(crate) fn may_any(&self, action: Action) -> bool {
        let at_home = |(_, own): &(EnclaveId, Name)| self.may_some(action, own.as_str());
        self.admin || self.enclave.as_ref().is_some_and(at_home)
    }

    /// Whether it may do `action` on something in `enclave`: for listings, which show only what each
    /// name allows.
    pub(crate) fn may_some(&self, action: Action, enclave: &str) -> bool {
        if self.admin {
            return true;
        }
        let at_home = self.enclave.as_ref().is_some_and(|(_, own)| own.as_str() == enclave);
        at_home && self.policy.as_ref().is_some_and(|policy| policy.mentions(action.as_str()))
    }
}

/// A call that was let in. Ends with [`Call::end`]; when it is dropped before (the caller went away) the
/// log says so.
pub(crate) struct Call<'a> {
    service: &'a Service,
    caller: &'a Caller,
    action: Action,
    resource: Resource<'a>,
    /// Whose room in the log its last line takes.
    room: Room,
    /// What its last line says besides, where it was done.
    detail: String,
    ended: bool,
    /// Who calls.
    pub actor: Arc<Actor>,
}

impl<'a> Call<'a> {
    /// Begins administration: when this returns its first line is on disk, with `detail`, which says what is
    /// to be done. Made of what was read already: nothing of it is a secret.
    pub(crate) fn begin(mut self, detail: String) -> Boxed<'a, Self> {
        self.detail = detail;
        self.room = Room::Ends;
        Box::pin(async move {
            let Self { service, caller, action, resource, .. } = self;
            let record = service.line(caller, action, resource, Outcome::Begun, &self.detail);
            let Err(error) = service.audit.record_durable(&record).await else { return Ok(self) };
            let next = match error.kind() {
                Kind::NoSpace => {
                    "make room on the disk of the data directory, then repeat the command"
                }
                _ => {
                    "look at the server's log and the disk of its data directory, then repeat the command"
                }
            };
            let told = Error::new(error.kind(), format!("{error}; nothing was changed"));
            self.end(Err(told.next(next)))
        })
    }

    /// Records how it ended, and gives that back.
    pub(crate) fn end<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        let resource = self.resource;
        self.end_as(resource, "", result)
    }

    /// As [`Call::end`], saying better what it was about, now that this is known. `detail` stands in the line
    /// for what it began with, or before why it failed.
    pub(crate) fn end_as<T>(
        mut self,
        resource: Resource<'_>,
        detail: &str,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        self.ended = true;
        self.record_end(resource, detail, result.as_ref().err());
        result
    }

    fn record_end(&self, resource: Resource<'_>, detail: &str, failed: Option<&Error>) {
        let Self { service, room, caller, action, .. } = *self;
        let Some(error) = failed else {
            let detail = if detail.is_empty() { self.detail.as_str() } else { detail };
            return service.record(room, caller, action, resource, Outcome::Ok, detail);
        };
        let outcome = Outcome::Failed(error.kind);
        let why = without_api_key(error.for_log());
        let why = if detail.is_empty() { why } else { format!("{detail}: {why}").into() };
        service.record(room, caller, action, resource, outcome, &why);
    }

    /// As [`Call::end`] of what gives something, with `detail` of that.
    pub(crate) fn end_with<T>(
        self,
        result: Result<T, Error>,
        detail: impl FnOnce(&T) -> String,
    ) -> Result<T, Error> {
        let resource = self.resource;
        let detail = result.as_ref().map(detail).unwrap_or_default();
        self.end_as(resource, &detail, result)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let outcome = Outcome::Failed(Kind::Other);
            let detail = "the caller went away; what was begun may be done";
            let Self { service, caller, action, resource, room, .. } = *self;
            service.record(room, caller, action, resource, outcome, detail);
        }
    }
}

impl Service {
    /// Every use case calls this first: authorises `caller` for `action` on `resource` and records a
    /// refusal. For administration the line that it begins is on disk when this returns.
    ///
    /// A resource within an enclave is judged by the policy; `*` as its name asks for a listing.
    pub(crate) async fn enter<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        resource: Resource<'a>,
    ) -> Result<Call<'a>, Error> {
        let call = self.let_in(caller, action, resource).await?;
        if !action.is_administration() {
            return Ok(call);
        }
        call.begin(String::new()).await
    }

    /// As [`Service::enter`], where the first line of administration says more than its resource: the use
    /// case looks at what is asked, and calls [`Call::begin`] before it does anything.
    pub(crate) async fn let_in<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        resource: Resource<'a>,
    ) -> Result<Call<'a>, Error> {
        let call = self.enter_unnamed(caller, action, resource).await?;
        // From here on there is a last line, too, whether the caller stays or not.
        if is_allowed(&call.actor, action, resource) {
            return Ok(call);
        }
        let error = refused(&call.actor, action, resource);
        call.end(Err(error))
    }

    /// As [`Service::enter`] for a caller on this host whom this vault does not know, where that is enough.
    /// Recorded as what it is: nobody, or a stranger.
    pub(crate) fn enter_local<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        resource: Resource<'a>,
    ) -> Call<'a> {
        let (actor, room) = (self.system.clone(), Room::Strangers);
        let (detail, ended) = (String::new(), false);
        Call { service: self, caller, action, resource, room, detail, ended, actor }
    }

    /// As [`Service::enter`] for a resource that is found by its content: only who calls is judged.
    /// The use case asks [`Actor::may`] as soon as it knows the name.
    pub(crate) async fn enter_unnamed<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        resource: Resource<'a>,
    ) -> Result<Call<'a>, Error> {
        match self.actor(caller).await {
            Ok(actor) => {
                let (room, detail, ended) = (Room::Calls, String::new(), false);
                Ok(Call { service: self, caller, action, resource, room, detail, ended, actor })
            }
            Err(error) => {
                let outcome = Outcome::Failed(error.kind);
                let why = without_api_key(error.for_log());
                self.record(Room::Strangers, caller, action, resource, outcome, &why);
                Err(error)
            }
        }
    }

    /// Who calls. Someone unknown here is asked for before the answer.
    async fn actor(&self, caller: &Caller) -> Result<Arc<Actor>, Error> {
        let identity = caller.identity.ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "a client certificate is needed: this vault knows callers by it",
            )
            .next("give an API key with --context, HOLDFAST_CONTEXT or HOLDFAST_API_KEY")
        })?;
        if let Some(actor) = self.actor_here(&identity)? {
            return Ok(actor);
        }
        self.catch_up().await?;
        self.load_actor(&identity)?.ok_or_else(|| {
            Error::new(Kind::Refused, format!("identity {identity} is unknown to this vault")).next(
                format!(
                    "ask an administrator: holdfast identity create NAME --identity {identity}"
                ),
            )
        })
    }

    /// Whether the caller is an identity that this node knows, now.
    pub(super) fn knows_here(&self, caller: &Caller) -> bool {
        let found = caller.identity.as_ref().map(|identity| self.actor_here(identity));
        matches!(found, Some(Ok(Some(_))))
    }

    /// An identity as this node knows it.
    fn actor_here(&self, identity: &IdentityId) -> Result<Option<Arc<Actor>>, Error> {
        if let Some(actor) = self.caches.actors.get(identity) {
            return Ok(Some(actor));
        }
        if *identity == IdentityId::SYSTEM {
            return Ok(Some(self.system.clone()));
        }
        self.load_actor(identity)
    }

    /// Records a call that was refused before it reached a use case (a name that is none, a body too
    /// large, not JSON), and gives the error back. `resource` is what can be said of it.
    pub fn reject(&self, caller: &Caller, action: Action, resource: &str, error: Error) -> Error {
        let outcome = Outcome::Failed(error.kind);
        let room = if self.knows_here(caller) { Room::Calls } else { Room::Strangers };
        let why = without_api_key(&error.message);
        self.record(room, caller, action, Resource::Text(resource), outcome, &why);
        error
    }

    /// Why `caller` may not do `action` on the key or policy `on` (enclave and name; `*` where the path does
    /// not say which), if it is so; without `on` why on none at all. For what must be decided before a call can
    /// be recorded, as to lend memory: the use case judges again. Records nothing.
    pub async fn admit(
        &self,
        caller: &Caller,
        action: Action,
        on: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        let actor = self.actor(caller).await?;
        let home = actor.enclave.as_ref().map_or("", |(_, own)| own.as_str());
        let (enclave, name) = on.unwrap_or((home, "*"));
        let resource = Resource::Within(enclave, name);
        if is_allowed(&actor, action, resource) {
            return Ok(());
        }
        Err(refused(&actor, action, if on.is_some() { resource } else { Resource::Text("*") }))
    }

    /// Whether `identity` is one of this vault's. For listeners; records nothing.
    pub async fn knows(&self, identity: &IdentityId) -> bool {
        let caller =
            Caller { identity: Some(*identity), local: false, known: false, remote: String::new() };
        *identity != IdentityId::SYSTEM && self.actor(&caller).await.is_ok()
    }

    /// Hears of each change of identities, after which [`Service::knows`] may say something else.
    pub fn identities_changed(&self) -> watch::Receiver<()> {
        self.caches.identities.subscribe()
    }

    /// `detail` is our own words, or has gone through [`without_api_key`].
    fn record(
        &self,
        room: Room,
        caller: &Caller,
        action: Action,
        resource: Resource<'_>,
        outcome: Outcome,
        detail: &str,
    ) {
        let text;
        let resource = match resource {
            Resource::Text(what) => {
                text = without_api_key(what);
                Resource::Text(&text)
            }
            // Names: an API key is none.
            within @ Resource::Within(..) => within,
        };
        self.audit.record(room, &self.line(caller, action, resource, outcome, detail));
    }

    fn line<'r>(
        &self,
        caller: &'r Caller,
        action: Action,
        resource: Resource<'r>,
        outcome: Outcome,
        detail: &'r str,
    ) -> Record<'r> {
        let Caller { identity, remote, .. } = caller;
        let at = self.clock.now();
        Record { at, identity: *identity, remote, action, resource, outcome, detail }
    }
}

fn is_allowed(actor: &Actor, action: Action, resource: Resource<'_>) -> bool {
    match (action.needs(), resource) {
        (Needs::Identity, _) => true,
        (Needs::Admin, _) => actor.admin,
        (Needs::Policy, Resource::Within(enclave, "*")) => actor.may_some(action, enclave),
        (Needs::Policy, Resource::Within(enclave, name)) => actor.may(action, enclave, name),
        (Needs::Policy, Resource::Text(name)) => actor.may_of_the_vault(action, name),
    }
}

/// Somebody who gave an API key for a name shall not find it in the log, as it is or as in a path.
fn without_api_key(text: &str) -> Cow<'_, str> {
    match ["k1:", "k1%3A", "k1%3a"].iter().filter_map(|begin| text.find(begin)).min() {
        Some(at) => Cow::Owned(format!("{}k1:...", &text[..at])),
        None => Cow::Borrowed(text),
    }
}

/// What an administrator may do about a user whose policy does not allow `action` on `name`.
fn no_rule(actor: &Actor, action: &str, name: &str) -> String {
    match (&actor.policy, &actor.policy_name) {
        (None, None) => "it has no policy: an administrator may make it again with one: \
                         holdfast identity create --policy"
            .to_owned(),
        (None, Some(policy)) => {
            let within = actor.enclave.as_ref().map(|(_, own)| format!(" -e {own}"));
            format!(
                "its policy {policy} was removed: an administrator may make that again: holdfast policy set {policy}{} \
                 --allow RULE",
                within.unwrap_or_default()
            )
        }
        (Some(rules), _) if rules.denies(action, name) => {
            "one of its rules denies it, whatever others allow: an administrator may set them anew: holdfast \
             policy set replaces them all"
                .to_owned()
        }
        (Some(_), _) => format!(
            "an administrator may add '{action}:{name}' to its rules: holdfast policy set replaces them all"
        ),
    }
}

fn refused(actor: &Actor, action: Action, resource: Resource<'_>) -> Error {
    let who = actor.name.as_str();
    let (on, name, home) = match resource {
        Resource::Within(enclave, name) => {
            let home = actor.enclave.as_ref().is_none_or(|(_, own)| own.as_str() == enclave);
            (format!(" {enclave}/{name}"), name, home)
        }
        Resource::Text(name) => (String::new(), name, true),
    };
    let action_text = action.as_str();
    let error = Error::new(Kind::Refused, format!("{who} may not {action_text}{on}"));
    match (action.needs(), &actor.enclave) {
        (Needs::Policy, Some((_, own))) if !home => {
            error.next(format!("{who} belongs to enclave {own} and has no access to others"))
        }
        (Needs::Policy, _) => error.next(no_rule(actor, action_text, name)),
        (Needs::Admin | Needs::Identity, _) => {
            error.next("this is for administrators: no policy can allow it")
        }
    }
}
