//! Health and metrics. Readiness says whether this node can serve; it is never red because a backup
//! is late.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::error::Failed;
use crate::extract::Call;

pub(crate) async fn live() -> &'static str {
    "live\n"
}

pub(crate) async fn ready(call: Call) -> Response {
    let ready = call.service.ready();
    if ready.ready {
        return "ready\n".into_response();
    }
    let why = ready.why.unwrap_or_default();
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
}

pub(crate) async fn metrics(call: Call) -> Result<Response, Failed> {
    let metrics = call.service.metrics(&call.caller).await?;
    let mut response = metrics.text.into_response();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}
