//! Failures as responses: a status, and a JSON body with code, exit code, message and next step.

use axum::response::{IntoResponse, Response};
use holdfast_service::Error;
use http::{HeaderValue, StatusCode, header};

use crate::wire::{Failure, FailureBody};

/// A failure on its way out.
pub(crate) struct Failed(pub(crate) Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Error { kind, message, next, .. } = self.0;
        let code = kind.code().to_owned();
        let error = FailureBody { code, exit: kind.exit_code(), message, next };
        let status = StatusCode::from_u16(kind.http_status());
        json(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &Failure { error })
    }
}

/// A JSON response. What is sent has text keys only, so it always serialises.
pub(crate) fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    respond(status, serde_json::to_vec(value).unwrap_or_default().into())
}

/// A response whose body is JSON.
pub(crate) fn respond(status: StatusCode, body: axum::body::Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A reply that serialises to JSON with status 200.
pub(crate) struct Reply<T>(pub(crate) T);

impl<T: serde::Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

/// What a handler gives.
pub(crate) type Answer<T> = Result<Reply<T>, Failed>;
