//! Health and metrics. Readiness says whether this node can serve; it is never red because a backup
//! is late.

use axum::response::{IntoResponse, Response};
use holdfast_service::Error;
use holdfast_types::Kind;
use http::{HeaderValue, header};

use crate::error::Failed;
use crate::extract::Call;

pub(crate) async fn live(_call: Call) -> &'static str {
    "live\n"
}

pub(crate) async fn ready(call: Call) -> Result<&'static str, Failed> {
    let ready = call.service.ready();
    if ready.ready {
        return Ok("ready\n");
    }
    let message = format!("not ready: {}", ready.why.unwrap_or_default());
    Err(Failed(
        Error::new(Kind::Unavailable, message).next("look at the server's log: it says more"),
    ))
}

pub(crate) async fn metrics(call: Call) -> Result<Response, Failed> {
    let metrics = call.service.metrics(&call.caller).await?;
    let mut response = metrics.text.into_response();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}
