//! Answers that arrive: what the routes leave unread of a request's body is thrown away before they are sent.
//!
//! A server may answer early and reset the rest of a stream (RFC 9113 §8.1), but clients take that for a broken
//! stream and lose the answer: curl 7.88 does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use holdfast_api::{Router, discard};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::{Request, Response};
use parking_lot::Mutex;
use tower_service::Service as _;

/// Calls the routes; `known` as in [`Caller`](holdfast_service::Caller).
///
/// A stranger's body is thrown away as far as it comes with its head, another one within the bounds of all bodies.
pub(super) async fn call(
    mut router: Router,
    request: Request<Incoming>,
    known: bool,
) -> Response<impl Body<Data = Bytes, Error = impl Into<BoxError>>> {
    let left = (!request.body().is_end_stream()).then(Left::default);
    let request = request.map(|body| Lent { body: Some(body), left: left.clone() });
    let response = match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let unread = left.and_then(|left| left.lock().take());
    if let Some(body) = unread.filter(|body| !body.is_end_stream()) {
        discard(body, known).await;
    }
    response
}

/// Where a body is left by whoever had it.
type Left = Arc<Mutex<Option<Incoming>>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes back when it is dropped.
struct Lent {
    body: Option<Incoming>,
    left: Option<Left>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            *left.lock() = self.body.take();
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
