//! The accept loop: TLS, who calls, HTTP/1.1 and 2; at a stop, requests under way are finished.
//!
//! Anybody may connect, so everything that a connection costs is bounded: their number, the time for
//! the handshake, for a request's head and (in `api`) its body, the sizes of heads, the streams of
//! HTTP/2. Whoever the vault does not know is let go after a minute, which a probe never notices.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use holdfast_service::{Caller, Service};
use hyper::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// How long a client may take for the TLS handshake, and between a connection and its request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER: Duration = Duration::from_secs(60);
/// How long a connection of somebody unknown is kept.
const STRANGER: Duration = Duration::from_secs(60);
/// Most connections at once, where the system lends that many files: more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// Largest head of a request, in bytes: for HTTP/1.1 with its buffer, for HTTP/2 after decompression
/// (RFC 9113 §6.5.2; whatever number of CONTINUATION frames it comes in).
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Most requests at once on one connection (RFC 9113 §5.1.2).
const STREAMS_MAX: u32 = 128;
/// What a client may send on one stream before it is read. A large body may have to wait for room in memory
/// (`api`), and is not read meanwhile.
const STREAM_WINDOW: u32 = 32 << 10;
/// What it may send on a whole connection: so much that streams that wait cannot fill it, or those that are
/// read would stand still behind them, with room that nobody else gets. Besides, a client may have sent
/// so much before it knows of the smaller window (RFC 9113 §6.9.2).
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW + (64 << 10);
/// Most streams that a client has opened and reset before they were served.
const RESETS_MAX: usize = 32;
/// An HTTP/2 connection whose peer does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(20);
/// How long requests under way may take after a stop was asked for.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// After an accept that failed for want of file descriptors, so that the loop does not spin.
const BREATH: Duration = Duration::from_millis(50);

/// The calls under way: from a request's head to the end of its reply.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// How many there are.
    pub(crate) fn under_way(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::Relaxed);
        Call(self.clone())
    }
}

/// One of them, until it is dropped.
struct Call(Calls);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a reply, whose call ends with it.
struct Replying<B> {
    body: B,
    _call: Call,
}

impl<B: Body + Unpin> Body for Replying<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves until `stop` turns true, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
    calls: Calls,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let router = holdfast_api::router(Arc::clone(&service));
    let http = Arc::new(http());
    let places = Arc::new(Semaphore::new(connections_max()));
    // Every connection holds a sender; the channel ends when the last one is done.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = asked(&mut stop) => break,
        };
        let (tcp, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (acceptor, router, http) = (acceptor.clone(), router.clone(), Arc::clone(&http));
        let (stop, open, service) = (stop.clone(), open.clone(), Arc::clone(&service));
        let calls = calls.clone();
        tokio::spawn(async move {
            _ = tcp.set_nodelay(true);
            if let Some((tls, caller)) = shake_hands(&acceptor, tcp, peer).await {
                let known = match &caller.identity {
                    Some(identity) => service.knows(identity).await,
                    None => false,
                };
                connection(tls, (caller, known), (router, calls), &http, stop).await;
            }
            drop((open, place));
        });
    }
    drop(listener);
    drop(open);
    if tokio::time::timeout(DRAIN, all_closed.recv()).await.is_err() {
        tracing::warn!("requests still run after 10 s and are broken off");
    }
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER).max_buf_size(HEAD_BYTES_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    http
}

/// Connections leave half of the files that the system lends to the store, the log and archives.
fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX).clamp(8, CONNECTIONS_MAX)
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(std::io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    Ok((tcp, peer, place))
}

/// Returns once a stop was asked for, or nobody can ask any more.
async fn asked(stop: &mut watch::Receiver<bool>) {
    // The guard of the value must not live across an await of the caller's.
    _ = stop.wait_for(|stop| *stop).await.is_ok();
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn shake_hands(
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
    peer: SocketAddr,
) -> Option<(Tls, Arc<Caller>)> {
    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await;
    let tls = match shaken {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return None;
        }
        Err(_) => return None,
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = certificate.and_then(crate::tls::identity);
    let local = peer.ip().to_canonical().is_loopback();
    let caller = Caller { identity, local, remote: peer.to_string() };
    Some((tls, Arc::new(caller)))
}

async fn connection(
    tls: Tls,
    (caller, known): (Arc<Caller>, bool),
    (router, calls): (holdfast_api::Router, Calls),
    http: &Builder<TokioExecutor>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&caller));
        let (call, answer) = (calls.begin(), router.clone().call(request));
        async move { answer.await.map(|reply| reply.map(|body| Replying { body, _call: call })) }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(tls), service));
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = tokio::time::sleep(STRANGER), if !known => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(done) => done,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "connection ended");
    }
}
