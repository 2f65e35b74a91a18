//! The calls of one caller, and answers that arrive: what is left unread of a request's body is thrown away before
//! its answer is sent.
//!
//! A server may answer early and reset the rest of a stream (RFC 9113 §8.1), but clients take that for a broken
//! stream and lose the answer: curl 7.88 does.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body as AnswerBody, HttpBody};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use holdfast_service::{Caller, Service};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tower_service::Service as _;

use crate::body::{Body, discard};
use crate::extract::Call;
use crate::native::crypto::Operation;
use crate::routes::router;

/// The native API over a service.
pub struct Api {
    service: Arc<Service>,
    routes: Router,
}

/// One caller's way in, for as long as its connection lasts.
pub struct Session {
    call: Call,
    routes: Router,
}

impl Api {
    /// All of it.
    #[must_use]
    pub fn new(service: Arc<Service>) -> Self {
        Self { routes: router(Arc::clone(&service)), service }
    }

    /// For one caller.
    #[must_use]
    pub fn session(&self, caller: Arc<Caller>) -> Session {
        let call = Call { service: Arc::clone(&self.service), caller };
        Session { call, routes: self.routes.clone() }
    }
}

impl Session {
    /// Answers a request. The operations with keys, which are nearly all that is ever called, are found without
    /// the router.
    pub fn answer<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<'_, B>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        // Taken apart before the future begins, which would hold the request and its parts.
        let (parts, mut body) = request.into_parts();
        async move {
            let Some(operation) = Operation::of(&parts.method, &parts.uri) else {
                // On the heap: its future is far larger than that of an operation.
                return Box::pin(self.routed(Request::from_parts(parts, body))).await;
            };
            let lent = Body::new(&parts.headers, &mut body);
            let answer = operation.answer(&self.call, lent).await.into_response();
            if !body.is_end_stream() {
                Box::pin(discard(body, self.call.caller.known)).await;
            }
            answer
        }
    }

    async fn routed<B>(&self, request: Request<B>) -> Response<AnswerBody>
    where
        B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        let caller = &self.call.caller;
        let left = (!request.body().is_end_stream()).then(Left::default);
        let mut request = request.map(|body| Lent { body: Some(body), left: left.clone() });
        request.extensions_mut().insert(Arc::clone(caller));
        let answer = match self.routes.clone().call(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let unread =
            left.and_then(|left| left.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(body) = unread.filter(|body| !body.is_end_stream()) {
            discard(body, caller.known).await;
        }
        answer
    }
}

/// Where a body is left by whoever had it.
type Left<B> = Arc<Mutex<Option<B>>>;

/// A body that comes back when it is dropped.
struct Lent<B> {
    body: Option<B>,
    left: Option<Left<B>>,
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if let Some(left) = &self.left {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
        }
    }
}

impl<B: HttpBody + Unpin> HttpBody for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
