//! What handlers take: the caller, the parameters of path and query, and a body that is read once it is known who
//! may make the call.
//!
//! Whatever does not fit is a failure in JSON like any other, and recorded like any other.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::FromRequestParts;
use bytes::Bytes;
use holdfast_service::{Action, Caller, CustodianSelector, Error, Service};
use holdfast_types::{Kind, Name, NameError};
use http::request::Parts;
use serde::de::DeserializeOwned;

pub(crate) use crate::body::Body;
use crate::body::Wiped;
use crate::error::Failed;
use crate::misfit::bad_json;
use crate::room::{Lent, ROOM};

/// One call: who, and to which service. It takes no query; one that does is [`Asked`].
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Arc<Caller>,
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        if parts.uri.query().is_none_or(str::is_empty) {
            return Ok(Self::of(parts, service));
        }
        let error = Error::new(Kind::BadInput, "this call takes no query");
        Err(unfit(service, parts, error.next("leave away what stands behind the ? in the path")))
    }
}

fn caller(extensions: &http::Extensions) -> Arc<Caller> {
    extensions.get::<Arc<Caller>>().cloned().unwrap_or_else(|| {
        // A session always says who. Were it not so: a stranger from far away.
        Arc::new(Caller {
            identity: None,
            local: false,
            known: false,
            remote: "unknown".to_owned(),
        })
    })
}

/// Records a request that fits no use case, by its method and path, and makes it a response.
pub(crate) fn unfit(service: &Arc<Service>, parts: &Parts, error: Error) -> Failed {
    let what = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let line = format!("{} {what}", parts.method);
    Failed(service.reject(&caller(&parts.extensions), Action::Request, &line, error))
}

impl Call {
    fn of(parts: &Parts, service: &Arc<Service>) -> Self {
        Self { service: Arc::clone(service), caller: caller(&parts.extensions) }
    }

    /// Records a refusal and makes it a response.
    pub(crate) fn reject(&self, action: Action, resource: &str, error: Error) -> Failed {
        Failed(self.service.reject(&self.caller, action, resource, error))
    }

    /// A value from the path or a body field.
    pub(crate) fn parse<T>(&self, action: Action, text: &str) -> Result<T, Failed>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let bad = |error: T::Err| {
            Error::new(Kind::BadInput, error.to_string())
                .next("give it whole, as the vault's answer has it")
        };
        self.parse_or(action, text, bad)
    }

    fn parse_or<T: FromStr>(
        &self,
        action: Action,
        text: &str,
        bad: impl FnOnce(T::Err) -> Error,
    ) -> Result<T, Failed> {
        text.parse().map_err(|error| self.reject(action, text, bad(error)))
    }

    /// A name from the path, the query or a body field: that of `whose`, as in "the key".
    pub(crate) fn name(&self, action: Action, whose: &str, text: &str) -> Result<Name, Failed> {
        self.parse_or(action, text, |error| bad_name(whose, &error).next(Name::RULE))
    }

    /// A custodian, as people name them.
    pub(crate) fn custodian(
        &self,
        action: Action,
        text: &str,
    ) -> Result<CustodianSelector, Failed> {
        self.parse_or(action, text, |error| {
            bad_name("the custodian", &error)
                .next("give a custodian's name, fingerprint or id: holdfast custodian ls")
        })
    }

    /// A JSON body, read now that it is known what for.
    pub(crate) async fn body<T: DeserializeOwned, B: HttpBody<Data = Bytes> + Unpin>(
        &self,
        action: Action,
        on: On<'_>,
        body: Body<B>,
    ) -> Result<T, Failed> {
        // Until it is wiped its room stays taken: the last of these is dropped first.
        let (_room, bytes) = self.read(action, on, body).await?;
        if bytes.is_empty() {
            let error = Error::new(Kind::BadInput, "the request has no body")
                .next("send one JSON object in UTF-8");
            return Err(self.reject(action, &on.text(), error));
        }
        self.json(action, on, &bytes)
    }

    /// A JSON body that may be left away, which counts as `{}`.
    pub(crate) async fn body_or_nothing<T: DeserializeOwned>(
        &self,
        action: Action,
        on: On<'_>,
        body: Body,
    ) -> Result<T, Failed> {
        let (_room, bytes) = self.read(action, on, body).await?;
        self.json(action, on, if bytes.is_empty() { b"{}" } else { &bytes })
    }

    /// Nobody waits for a body, or lends memory for it, whose call would be refused.
    async fn read<B: HttpBody<Data = Bytes> + Unpin>(
        &self,
        action: Action,
        on: On<'_>,
        body: Body<B>,
    ) -> Result<(Option<Lent<'static>>, Wiped), Failed> {
        let reject = |error| self.reject(action, &on.text(), error);
        if !self.caller.known || body.is_large() {
            let admitted =
                Box::pin(self.service.admit(&self.caller, action, on.of_enclave())).await;
            admitted.map_err(reject)?;
        }
        body.read(&ROOM, self.caller.identity).await.map_err(reject)
    }

    fn json<T: DeserializeOwned>(
        &self,
        action: Action,
        on: On<'_>,
        text: &[u8],
    ) -> Result<T, Failed> {
        let reject = |error| self.reject(action, &on.text(), error);
        // A structure would be read from a list of its fields, too.
        if text.trim_ascii_start().first() == Some(&b'[') {
            let message = "the request does not fit: it is a JSON array, not an object";
            let error = Error::new(Kind::BadInput, message).next("send one JSON object in UTF-8");
            return Err(reject(error));
        }
        serde_json::from_slice(text).map_err(|error| reject(bad_json(&error)))
    }
}

/// What a call is about, as far as its path says.
#[derive(Clone, Copy)]
pub(crate) enum On<'a> {
    /// A key or a policy of an enclave; `*` where the body names it.
    Within(&'a str, &'a str),
    /// Something else.
    Other(&'a str),
}

impl<'a> On<'a> {
    fn of_enclave(self) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Within(enclave, name) => Some((enclave, name)),
            Self::Other(_) => None,
        }
    }

    /// As the audit log says it.
    fn text(self) -> Cow<'a, str> {
        match self {
            Self::Within(enclave, "*") => Cow::Borrowed(enclave),
            Self::Within(enclave, name) => Cow::Owned(format!("{enclave}/{name}")),
            Self::Other(what) => Cow::Borrowed(what),
        }
    }
}

fn bad_name(whose: &str, error: &NameError) -> Error {
    Error::new(Kind::BadInput, error.said_of(&format!("{whose}'s name")))
}

/// The parameters of the path. What axum would refuse in plain text is a failure like any other.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Service>> for Path<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        let read = axum::extract::Path::from_request_parts(parts, service).await;
        let bad = || {
            Error::new(Kind::BadInput, "the path cannot be read: it is no UTF-8")
                .next("write names as they are, what is no ASCII in UTF-8, each byte as %XX")
        };
        read.map(|path| Self(path.0)).map_err(|_| unfit(service, parts, bad()))
    }
}

/// A call with the parameters of its query.
pub(crate) struct Asked<T>(pub(crate) Call, pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Service>> for Asked<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        let read = axum::extract::Query::from_request_parts(parts, service).await;
        let bad = || {
            Error::new(Kind::BadInput, "the query cannot be read")
                .next("a listing takes ?after=NAME&limit=NUMBER")
        };
        let query = read.map_err(|_| unfit(service, parts, bad()))?;
        Ok(Self(Call::of(parts, service), query.0))
    }
}
