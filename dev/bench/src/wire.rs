//! Connections as a client makes them: TCP over loopback, TLS 1.3 with a client certificate, HTTP/1.1
//! or HTTP/2 by hyper, without anything above.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use holdfast_client::ApiKey;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request with a whole body.
pub type Post = Request<Full<Bytes>>;

/// A version of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// RFC 9112.
    H1,
    /// RFC 9113.
    H2,
}

impl Protocol {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H1 => "HTTP/1.1",
            Self::H2 => "HTTP/2",
        }
    }

    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }
}

/// A server to call: its process, its address, and what its clients need.
pub struct Target {
    /// Whose CPU time is measured.
    pub pid: u32,
    address: SocketAddr,
    config: ClientConfig,
}

impl Target {
    /// A server on `address` whose certificate `ca` signed; `key` makes the client's certificate.
    pub fn new(
        pid: u32,
        address: SocketAddr,
        ca: CertificateDer<'static>,
        key: &ApiKey,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(ca)?;
        let (certificate, key) = key.certificate()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { pid, address, config })
    }

    /// A `POST` of JSON, whole but for its `Content-Length`.
    pub fn post(&self, protocol: Protocol, path: &str, body: Bytes) -> Result<Post> {
        let request = Request::builder()
            .method(Method::POST)
            .header(header::CONTENT_TYPE, "application/json");
        let request = match protocol {
            Protocol::H1 => request.uri(path).header(header::HOST, self.address.to_string()),
            Protocol::H2 => request.uri(format!("https://{}{path}", self.address)),
        };
        Ok(request.body(Full::new(body))?)
    }

    /// A `GET` on HTTP/1.1.
    pub fn get(&self, path: &str) -> Result<Post> {
        let request = Request::builder().uri(path).header(header::HOST, self.address.to_string());
        Ok(request.body(Full::default())?)
    }

    /// A new connection.
    pub async fn connect(&self, protocol: Protocol) -> Result<Sender> {
        let tcp = TcpStream::connect(self.address).await.context("failed to connect")?;
        tcp.set_nodelay(true)?;
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let name = ServerName::IpAddress(self.address.ip().into());
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let io = TokioIo::new(tls.context("failed to shake hands")?);
        // A connection's failure reaches the request that is under way.
        Ok(match protocol {
            Protocol::H1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Sender::H1(sender)
            }
            Protocol::H2 => {
                let mut builder = http2::Builder::new(TokioExecutor::new());
                let (sender, connection) = builder.timer(TokioTimer::new()).handshake(io).await?;
                tokio::spawn(connection);
                Sender::H2(sender)
            }
        })
    }
}

/// One end of a connection, or of a stream of it.
pub enum Sender {
    /// HTTP/1.1: one request at a time.
    H1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2: clones share the connection.
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    /// Another stream of the same connection.
    ///
    /// Errors: HTTP/1.1 has none.
    pub fn stream(&self) -> Result<Self> {
        match self {
            Self::H1(_) => bail!("HTTP/1.1 has no streams"),
            Self::H2(sender) => Ok(Self::H2(sender.clone())),
        }
    }

    /// Sends a request and reads the whole answer. Gives its length in bytes.
    ///
    /// Errors: a broken connection, and any status but 200, with the body's beginning.
    pub async fn ask(&mut self, request: Post) -> Result<usize> {
        let response = match self {
            Self::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::H2(sender) => sender.send_request(request).await?,
        };
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refused(status, response.into_body()).await);
        }
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}

async fn refused(status: StatusCode, mut body: Incoming) -> anyhow::Error {
    let mut text = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    let shown = String::from_utf8_lossy(&text[..text.len().min(400)]).into_owned();
    anyhow!("the server answered {status}: {shown}")
}
