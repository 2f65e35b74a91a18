//! The peer of the crypto operations: the server's own stack with nothing in it.
//!
//! The same allocator, runtime, accept loop, TLS configuration, hyper builder and axum router as
//! `holdfast server`; the handler reads the body and answers with as many zeros as the path asks for. No
//! JSON, no base64, no audit. It runs in a process of its own, says on one line where it listens, and ends
//! with its standard input.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use data_encoding::BASE64;
use holdfast_client::ApiKey;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::wire::Target;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
static ZEROS: [u8; ANSWER_BYTES_MAX] = [0; ANSWER_BYTES_MAX];

/// Where an echo listens, and what its clients trust.
#[derive(Serialize, Deserialize)]
struct Announced {
    address: SocketAddr,
    /// Its certificate, DER in base64.
    certificate: String,
}

/// A running echo. It ends when this is dropped.
pub struct Echo {
    child: Child,
    /// How to reach it.
    pub target: Target,
}

impl Echo {
    /// Starts `program echo`.
    pub fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        let command = command.arg("echo").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("failed to start the echo")?;
        let stdout = child.stdout.take().context("the echo has no standard output")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        let announced: Announced =
            serde_json::from_str(&line).context("the echo did not say where it listens")?;
        let certificate = BASE64.decode(announced.certificate.as_bytes())?;
        let key = ApiKey::generate()?;
        let target = Target::new(child.id(), announced.address, certificate.into(), &key)?;
        Ok(Self { child, target })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A path as long as `path`, where that allows it, that asks for `answer` bytes.
pub fn path_like(path: &str, answer: usize) -> String {
    let mut echo = format!("/echo/{answer}/p");
    while echo.len() < path.len() {
        echo.push('p');
    }
    echo
}

/// Serves until standard input ends.
pub fn serve() -> Result<()> {
    std::thread::spawn(|| {
        _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (config, certificate) = tls()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let announced = Announced { address, certificate: BASE64.encode(&certificate) };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(&announced)?)?;
        stdout.flush()?;
        accept(listener, config).await
    })
}

async fn accept(listener: TcpListener, config: ServerConfig) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = Router::new().route("/echo/{answer}/{pad}", post(answer));
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60));
    http.http2().timer(TokioTimer::new());
    let http = Arc::new(http);
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, router, http) = (acceptor.clone(), router.clone(), Arc::clone(&http));
        tokio::spawn(async move {
            _ = tcp.set_nodelay(true);
            // What a client breaks off is its own business here.
            _ = connection(&acceptor, tcp, router, &http).await;
        });
    }
}

async fn connection(
    acceptor: &TlsAcceptor,
    tcp: TcpStream,
    router: Router,
    http: &Builder<TokioExecutor>,
) -> Result<()> {
    let tls = acceptor.accept(tcp).await?;
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
    let served = http.serve_connection(TokioIo::new(tls), service).await;
    served.map_err(|error| anyhow::anyhow!(error))
}

async fn answer(
    axum::extract::Path((answer, _)): axum::extract::Path<(usize, String)>,
    body: Bytes,
) -> Response<Body> {
    drop(body);
    let zeros = Bytes::from_static(&ZEROS[..answer.min(ANSWER_BYTES_MAX)]);
    let mut response = Response::new(Body::from(zeros));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn tls() -> Result<(ServerConfig, Vec<u8>)> {
    let pair = rcgen::KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names)?.self_signed(&pair)?;
    let der = certificate.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let config = holdfast_node::listener_config(vec![der.clone()], key)?;
    Ok((config, der.to_vec()))
}
