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

/// The parameters of the path. What axum would refuse in plain text is a failure like any other.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        let bad = |_| Failed(Error::new(Kind::BadInput, "the path cannot be read"));
        read.map(|path| Self(path.0)).map_err(bad)
    }
}

/// The parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        let bad = |_| Failed(Error::new(Kind::BadInput, "the query cannot be read"));
        read.map(|query| Self(query.0)).map_err(bad)
    }
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{get, post};
    use http::StatusCode;
    use tower_service::Service as _;

    use super::*;
    use crate::routes::wrong_method;
    use crate::wire::Failure;

    #[derive(serde::Deserialize)]
    struct Page {
        limit: u32,
    }

    fn router() -> Router {
        Router::new()
            .route("/path/{name}", get(|Path(name): Path<String>| async { name }))
            .route("/query", get(|Query(page): Query<Page>| async move { page.limit.to_string() }))
            .route("/body", post(|Body(body): Body| async { body.map_err(Failed) }))
            .method_not_allowed_fallback(wrong_method)
    }

    async fn ask(method: &str, uri: &str, body: Vec<u8>) -> (StatusCode, Bytes) {
        let body = axum::body::Body::from(body);
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        let response = router().call(request).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn every_refusal_is_a_failure_in_json() {
        let check = async |method, uri, body, kind: Kind| {
            let (status, text) = ask(method, uri, body).await;
            let failure: Failure = serde_json::from_slice(&text).unwrap();
            assert_eq!(failure.error.code, kind.code(), "{method} {uri}");
            assert_eq!(status.as_u16(), kind.http_status());
        };
        check("GET", "/path/%ff", vec![], Kind::BadInput).await;
        check("GET", "/query?limit=x", vec![], Kind::BadInput).await;
        check("GET", "/query", vec![], Kind::BadInput).await;
        check("PUT", "/query", vec![], Kind::BadInput).await;
        check("POST", "/body", vec![0; REQUEST_BODY_BYTES_MAX + 1], Kind::TooLarge).await;
    }

    #[tokio::test]
    async fn what_fits_passes() {
        assert_eq!(ask("GET", "/path/a%2Fb", vec![]).await.1, "a/b");
        assert_eq!(ask("GET", "/query?limit=7", vec![]).await.1, "7");
        let (status, body) = ask("POST", "/body", vec![1; REQUEST_BODY_BYTES_MAX]).await;
        assert_eq!((status, body.len()), (StatusCode::OK, REQUEST_BODY_BYTES_MAX));
    }
}
