//! A client without manners: TLS as it should be, and whatever bytes a test likes inside it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use holdfast_client::{ApiKey, Context};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};

/// Longer than any timeout of the server's that a test waits for.
const SILENCE: Duration = Duration::from_secs(100);

/// A client certificate and its key.
pub(crate) type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A connection.
pub(crate) struct Raw(StreamOwned<ClientConnection, TcpStream>);

/// An answer in HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    /// As the context's identity, with HTTP/1.1.
    pub(crate) fn connect(context: &Context) -> Self {
        let key: ApiKey = context.api_key.parse().ok().unwrap();
        Self::open(context, Some(key.certificate().unwrap()), b"http/1.1").unwrap()
    }

    /// As whoever the certificate says, speaking `alpn`.
    pub(crate) fn open(context: &Context, pair: Option<Pair>, alpn: &[u8]) -> io::Result<Self> {
        let builder = builder(context);
        let config = match pair {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self::with(context, config, alpn)
    }

    /// With a certificate and a key that need not belong together.
    pub(crate) fn unchecked(
        context: &Context,
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'static>,
    ) -> io::Result<Self> {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).unwrap();
        let pair = Arc::new(CertifiedKey::new(vec![certificate], key));
        let resolver = Arc::new(SingleCertAndKey::from(pair));
        let config = builder(context).with_client_cert_resolver(resolver);
        Self::with(context, config, b"http/1.1")
    }

    fn with(context: &Context, mut config: ClientConfig, alpn: &[u8]) -> io::Result<Self> {
        config.alpn_protocols = vec![alpn.to_vec()];
        let address = context.server.strip_prefix("https://").unwrap();
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(SILENCE))?;
        tcp.set_nodelay(true)?;
        let ip = tcp.peer_addr()?.ip();
        let mut tls = ClientConnection::new(Arc::new(config), ServerName::from(ip))
            .map_err(io::Error::other)?;
        let mut tcp = tcp;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self(StreamOwned::new(tls, tcp)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// Whatever comes, up to so many bytes; none at the end.
    pub(crate) fn receive(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; max];
        let n = match self.0.read(&mut bytes) {
            // A peer that ends without close_notify.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        bytes.truncate(n);
        Ok(bytes)
    }

    /// How long it waits for what it receives.
    pub(crate) fn wait_at_most(&mut self, time: Duration) {
        self.0.sock.set_read_timeout(Some(time)).unwrap();
    }

    /// Sends a request of HTTP/1.1 and reads its answer.
    pub(crate) fn ask(&mut self, head: &str, body: &[u8]) -> Reply {
        let length = format!("Content-Length: {}", body.len());
        let json = "Content-Type: application/json";
        let head = format!("{head} HTTP/1.1\r\nHost: vault\r\n{json}\r\n{length}\r\n\r\n");
        self.send(&[head.as_bytes(), body].concat()).unwrap();
        self.reply().unwrap()
    }

    /// Reads one answer with a `Content-Length`.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            let more = self.receive(16384)?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend(more);
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        let mut body = bytes.split_off(end);
        while body.len() < length {
            let more = self.receive(length - body.len())?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            body.extend(more);
        }
        Ok(Reply { status, head, body })
    }
}

impl Reply {
    /// The failure in it: code, message, next step.
    #[track_caller]
    pub(crate) fn failure(&self) -> holdfast_api::wire::FailureBody {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let failure = serde_json::from_slice::<holdfast_api::wire::Failure>(&self.body);
        failure.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body))).error
    }
}

fn builder(context: &Context) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(context.ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
}
