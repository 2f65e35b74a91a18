//! A server for one test: a CA of its own, any client certificate, replies as scripted.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::net::TcpListener;

/// A reply's body.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// What the server saw of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Method and path.
    pub line: String,
    /// `h1:...` of the client certificate.
    pub identity: Option<String>,
    /// Which connection it came on.
    pub connection: usize,
}

/// What a server does.
#[derive(Clone)]
pub struct Script {
    /// A reply to a path.
    pub reply: fn(&str) -> Response<Body>,
    /// Whether each connection ends after one request.
    pub hang_up: bool,
}

/// A server's TLS and what it saw.
pub struct Server {
    /// The CA's certificate in PEM.
    pub ca: String,
    /// All requests so far.
    pub seen: Arc<Mutex<Vec<Seen>>>,
    tls: Arc<ServerConfig>,
    script: Script,
}

impl Server {
    /// One with a CA of its own, for 127.0.0.1.
    pub fn new(script: Script) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&pair, &ca).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let any = AnyKey(provider.signature_verification_algorithms);
        let tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(any))
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let base64 = data_encoding::BASE64.encode(ca.der());
        let ca = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        Self { ca, seen: Arc::default(), tls: Arc::new(tls), script }
    }

    /// Listens from now on.
    pub async fn start(&self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.tls));
        let (script, seen) = (self.script.clone(), Arc::clone(&self.seen));
        tokio::spawn(async move {
            for connection in 0.. {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, script, seen) = (acceptor.clone(), script.clone(), seen.clone());
                tokio::spawn(async move {
                    // A client that knows another CA ends the handshake: its affair.
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    serve(tls, connection, script, seen).await;
                });
            }
        });
        address
    }
}

async fn serve(
    tls: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    connection: usize,
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
) {
    let peer = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = peer.map(|certificate| {
        let parsed = ParsedCertificate::try_from(certificate).unwrap();
        let hash = digest(&SHA256, &parsed.subject_public_key_info());
        format!("h1:{}", data_encoding::BASE64URL_NOPAD.encode(hash.as_ref()))
    });
    let (done, hang_up) = tokio::sync::oneshot::channel();
    let done = Mutex::new(Some(done));
    let service = service_fn(move |request: Request<Incoming>| {
        let line = format!("{} {}", request.method(), request.uri());
        seen.lock().unwrap().push(Seen { line, identity: identity.clone(), connection });
        let reply = (script.reply)(request.uri().path());
        if script.hang_up {
            done.lock().unwrap().take().map(|done| done.send(()));
        }
        async move { Ok::<_, Infallible>(reply) }
    });
    let serving =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        asked = hang_up => if asked.is_err() { return },
    }
    // Ends after this reply.
    serving.as_mut().graceful_shutdown();
    _ = serving.await;
}

/// Takes any certificate whose key signed the handshake.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
