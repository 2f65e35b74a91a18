//! What handlers take: the caller, and a body that is bounded before anything looks into it.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use holdfast_service::{Action, Caller, Error, Service};
use holdfast_types::limits::REQUEST_BODY_BYTES_MAX;
use holdfast_types::{Kind, Name};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::error::Failed;

/// One call: who, and to which service.
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Arc<Caller>,
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned().unwrap_or_else(|| {
            // Nobody vouches for this request: a stranger from far away.
            Arc::new(Caller { identity: None, local: false, remote: "unknown".to_owned() })
        });
        Ok(Self { service: Arc::clone(service), caller })
    }
}

impl Call {
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
        text.parse().map_err(|error: T::Err| {
            // Only the first bytes: what is no name may be long.
            let shown: String = text.chars().take(80).collect();
            self.reject(action, &shown, Error::new(Kind::BadInput, error.to_string()))
        })
    }

    /// A name from the path or a body field.
    pub(crate) fn name(&self, action: Action, text: &str) -> Result<Name, Failed> {
        self.parse(action, text)
    }

    /// A JSON body. An empty one counts as `{}`.
    pub(crate) fn body<T: DeserializeOwned>(
        &self,
        action: Action,
        resource: &str,
        body: Body,
    ) -> Result<T, Failed> {
        let bytes = body.0.map_err(|error| self.reject(action, resource, error))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = serde_json::from_slice(text);
        value.map_err(|error| self.reject(action, resource, bad_json(&error)))
    }
}

/// The message names what serde found and where, never the content.
fn bad_json(error: &serde_json::Error) -> Error {
    let message = match error.classify() {
        serde_json::error::Category::Data => format!("the request does not fit: {error}"),
        _ => format!("the request is not JSON: {error}"),
    };
    Error::new(Kind::BadInput, message)
}

/// A request body of at most [`REQUEST_BODY_BYTES_MAX`], or why it is none.
pub(crate) struct Body(pub(crate) Result<Bytes, Error>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let body = Limited::new(request.into_body(), REQUEST_BODY_BYTES_MAX);
        let collected = body.collect().await.map(http_body_util::Collected::to_bytes);
        Ok(Self(collected.map_err(|error| {
            match error.downcast_ref::<LengthLimitError>() {
                Some(_) => Error::new(
                    Kind::TooLarge,
                    format!("the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes"),
                )
                .next("for large data, encrypt it yourself with a data key: holdfast key generate"),
                None => Error::new(Kind::BadInput, "the request body broke off"),
            }
        })))
    }
}
