//! The accept loop: TLS, who calls, HTTP/1.1 and 2; at a stop, requests under way are finished.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use holdfast_service::{Caller, Service};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

/// How long a client may take for the TLS handshake, and between a connection and its request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER: Duration = Duration::from_secs(60);
/// How long requests under way may take after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(10);
/// After an accept that failed for want of file descriptors, so that the loop does not spin.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until `stop` turns true, then drains.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: rustls::ServerConfig,
    service: Arc<Service>,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let router = holdfast_api::router(service);
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER);
    http.http2().timer(TokioTimer::new());
    let http = Arc::new(http);
    // Every connection holds a sender; the channel ends when the last one is done.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = asked(&mut stop) => break,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (acceptor, router, http) = (acceptor.clone(), router.clone(), Arc::clone(&http));
        let (stop, open) = (stop.clone(), open.clone());
        tokio::spawn(async move {
            _ = tcp.set_nodelay(true);
            if let Some((tls, caller)) = shake_hands(&acceptor, tcp, peer).await {
                connection(tls, caller, router, &http, stop).await;
            }
            drop(open);
        });
    }
    drop(listener);
    drop(open);
    if tokio::time::timeout(DRAIN, all_closed.recv()).await.is_err() {
        tracing::warn!("requests still run after 10 s and are broken off");
    }
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
    caller: Arc<Caller>,
    router: holdfast_api::Router,
    http: &Builder<TokioExecutor>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&caller));
        router.clone().call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(tls), service));
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = asked(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "connection ended");
    }
}
