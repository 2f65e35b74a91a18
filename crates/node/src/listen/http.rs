//! HTTP over one connection, until it ends or has to.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use holdfast_api::Session;
use holdfast_service::{Action, Caller, Error, Service};
use holdfast_types::Kind;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::Tls;
use super::activity::{Activity, Answer};
use super::limits::{Bounds, DRAIN, FAREWELL, PING_ANSWER, PING_EVERY};

/// How connections of one class are served.
pub(super) struct Http {
    bounds: Bounds,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// One connection, and who calls over it.
pub(super) struct Connection {
    pub(super) tls: Tls,
    pub(super) caller: Arc<Caller>,
    pub(super) activity: Arc<Activity>,
    pub(super) session: Session,
    pub(super) service: Arc<Service>,
}

impl Http {
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new());
        http1.header_read_timeout(bounds.idle).max_buf_size(bounds.head_bytes_max);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(bounds.header_list_bytes_max)
            .max_concurrent_streams(bounds.streams_max)
            .initial_stream_window_size(bounds.stream_window)
            .initial_connection_window_size(bounds.connection_window())
            .max_pending_accept_reset_streams(Bounds::RESETS_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER);
        Self { bounds, http1, http2 }
    }

    /// Serves until the peer has enough, is silent for too long, or `leave` returns. Then requests under way
    /// have some time.
    pub(super) async fn serve(&self, connection: Connection, leave: impl Future<Output = ()>) {
        let Connection { tls, caller, activity, session, service } = connection;
        // What ALPN chose (RFC 7301): nothing is guessed from first bytes that may never come.
        let speaks_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(tls);
        let (session, requests) = (Arc::new(session), Arc::clone(&activity));
        let serve = service_fn(move |request: Request<Incoming>| {
            let (session, under_way) = (Arc::clone(&session), requests.request());
            // On the heap: HTTP/2 makes a task of each, and copies it several times on the way there.
            Box::pin(async move {
                let answer = session.answer(request).await;
                Ok::<_, Infallible>(answer.map(|body| Answer { body, _request: under_way }))
            })
        });
        let leave = async {
            tokio::select! {
                biased;
                () = activity.idle_for(self.bounds.idle) => {}
                () = leave => {}
            }
        };
        let done = if speaks_http2 {
            let connection = pin!(self.http2.serve_connection(io, serve));
            drive(connection, http2::Connection::graceful_shutdown, &activity, leave).await
        } else {
            let connection = pin!(self.http1.serve_connection(io, serve));
            drive(connection, http1::Connection::graceful_shutdown, &activity, leave).await
        };
        match done {
            Err(error) if error.is_parse_too_large() => {
                let message = format!(
                    "the head of a request is larger than {} bytes",
                    self.bounds.head_bytes_max
                );
                let error = Error::new(Kind::TooLarge, message);
                service.reject(&caller, Action::Request, "a request's head", error);
            }
            Err(error) => tracing::debug!(%error, "connection ended"),
            Ok(()) => {}
        }
    }
}

async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    ask_to_end: impl Fn(Pin<&mut C>),
    activity: &Activity,
    leave: impl Future<Output = ()>,
) -> hyper::Result<()> {
    // Each request wakes this task. `leave` is asked only where itself was woken: so does this set.
    let mut leave = FuturesUnordered::from_iter([leave]);
    // In order, since a random one costs at each wake; `leave` first, or a peer that keeps its connection busy
    // could not be asked to.
    tokio::select! {
        biased;
        _ = leave.next() => {}
        done = connection.as_mut() => return done,
    }
    ask_to_end(connection.as_mut());
    // At a stop the listener's own limit comes first, and is told.
    let time = if activity.is_busy() { DRAIN + FAREWELL } else { FAREWELL };
    tokio::time::timeout(time, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::task::coop::consume_budget;
    use tokio::time::{sleep, timeout};

    use super::super::activity::Calls;
    use super::*;

    /// A connection whose peer sends faster than it is served: each poll takes all of the task's budget.
    struct Busy {
        asked_to_end: bool,
    }

    impl Future for Busy {
        type Output = hyper::Result<()>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
            if self.asked_to_end {
                return Poll::Ready(Ok(()));
            }
            while pin!(consume_budget()).poll(context).is_ready() {}
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_busy_connection_is_asked_to_leave() {
        let activity = Activity::begin(&Calls::default());
        let leave = async {
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(10)) => {}
                () = std::future::pending() => {}
            }
        };
        let busy = pin!(Busy { asked_to_end: false });
        let driven = drive(busy, |mut busy| busy.asked_to_end = true, &activity, leave);
        let driven = timeout(Duration::from_secs(5), driven).await;
        assert!(driven.is_ok_and(|done| done.is_ok()));
    }
}
