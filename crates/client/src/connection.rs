//! One connection: TCP, TLS 1.3 with the vault's CA and the API key's certificate, HTTP/1.1.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_types::Kind;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{ApiKey, ClientError, Context};

/// How long a refused connection is tried again: a server may be starting.
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_millis(100);
/// How long a server may be silent while a connection is made, for TCP and for TLS each.
const SILENCE: Duration = Duration::from_secs(10);
/// After which whoever waits is told so.
const NOTED_AFTER: Duration = Duration::from_secs(1);

pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

/// Hears, as a line for people, that a connection takes its time.
pub(crate) type Waiting = Arc<dyn Fn(&str) + Send + Sync>;

/// Connects to the context's server.
pub(crate) async fn connect(
    context: &Context,
    waiting: Option<&Waiting>,
) -> Result<Sender, ClientError> {
    let mut connected = std::pin::pin!(connected(context));
    if let Some(waiting) = waiting {
        tokio::select! {
            done = connected.as_mut() => return done,
            () = tokio::time::sleep(NOTED_AFTER) => {}
        }
        let (server, seconds) = (&context.server, RETRY_FOR.as_secs());
        waiting(&format!("no answer from {server} yet; trying for {seconds} s"));
    }
    connected.await
}

async fn connected(context: &Context) -> Result<Sender, ClientError> {
    let (host, port) = address(&context.server)?;
    let config = tls(context)?;
    let name = ServerName::try_from(host.clone())
        .map_err(|_| ClientError::new(Kind::BadInput, format!("not a host name: {host}")))?;
    let unreachable = |error: String| {
        let message = format!("no answer from {}: {error}", context.server);
        ClientError::new(Kind::Unavailable, message)
            .next("start it with holdfast server --data DIR, or check HOLDFAST_SERVER")
    };
    let tcp = dial(&host, port).await.map_err(|error| unreachable(error.to_string()))?;
    tcp.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let tls = patiently(tls).await.map_err(|error| handshake(&context.server, &error))?;
    let shaken = http1::handshake(TokioIo::new(tls)).await;
    let (sender, connection) = shaken.map_err(|error| unreachable(error.to_string()))?;
    // Its failures reach the request that is under way.
    tokio::spawn(connection);
    Ok(sender)
}

async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let give_up = Instant::now() + RETRY_FOR;
    loop {
        match patiently(TcpStream::connect((host, port))).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::ConnectionRefused
                    && Instant::now() < give_up =>
            {
                tokio::time::sleep(RETRY_EVERY).await;
            }
            done => return done,
        }
    }
}

async fn patiently<T>(step: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let silent = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "silent for 10 s");
    tokio::time::timeout(SILENCE, step).await.map_err(silent)?
}

/// `https://host:port` → host and port; 7373 where no port is said.
fn address(server: &str) -> Result<(String, u16), ClientError> {
    let bad = || {
        let message = format!("not a server address: {server:?}");
        ClientError::new(Kind::BadInput, message).next("write it as https://host:7373")
    };
    let uri: http::Uri = server.parse().map_err(|_| bad())?;
    // The Host header is the address as written: nothing else may stand in it.
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !server.contains('@');
    if uri.scheme_str() != Some("https") || !bare {
        return Err(bad());
    }
    let host = uri.host().ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(7373)))
}

fn tls(context: &Context) -> Result<rustls::ClientConfig, ClientError> {
    let bad = |message: String| ClientError::new(Kind::BadInput, message);
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(context.ca.as_bytes()) {
        let certificate = certificate.map_err(|_| bad("the CA is not PEM".to_owned()))?;
        roots.add(certificate).map_err(|error| bad(format!("the CA is unusable: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("the context names no CA".to_owned()).next("set HOLDFAST_CA to its file"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| bad(error.to_string()))?
        .with_root_certificates(roots);
    let mut config = if context.api_key.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key: ApiKey = context.api_key.parse().map_err(|error: crate::ApiKeyError| {
            bad(error.to_string()).next("check api_key in the context, or HOLDFAST_API_KEY")
        })?;
        let (certificate, key) = key.certificate().map_err(|error| bad(error.to_string()))?;
        let built = builder.with_client_auth_cert(vec![certificate], key);
        built.map_err(|error| bad(error.to_string()))?
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn handshake(server: &str, error: &std::io::Error) -> ClientError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(why)) = inner {
        if let rustls::CertificateError::NotValidForNameContext { expected, presented } = why {
            return misnamed(server, expected, presented);
        }
        let message = format!("{server} does not prove to be this vault: {why:?}");
        return ClientError::new(Kind::AnotherVault, message)
            .next("this context belongs to another vault, or the address to another server");
    }
    ClientError::new(Kind::Unavailable, format!("no TLS with {server}: {error}"))
        .next("see whether a vault listens there: server in the context, or HOLDFAST_SERVER")
}

/// The certificate is of the vault's CA, but for other names: it is the vault, called by a name that it was not
/// told of.
fn misnamed(server: &str, expected: &ServerName<'_>, presented: &[String]) -> ClientError {
    let expected = &*expected.to_str();
    let names: Vec<_> = presented.iter().map(|name| plain(name)).collect();
    let names = names.join(", ");
    let message = format!(
        "{server} is the vault, but its certificate has no name {expected}; it has: {names}"
    );
    if expected.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
        // Where a server listens on all addresses: none that a client could call.
        return ClientError::new(Kind::BadInput, message)
            .next("use one of those in HOLDFAST_SERVER or the context");
    }
    // With its port, as `--listen` takes it, too.
    let listen = server.trim_start_matches("https://").trim_end_matches('/');
    ClientError::new(Kind::BadInput, message).next(format!(
        "use one of those in HOLDFAST_SERVER or the context, or start the server with --listen {listen}"
    ))
}

/// A name out of the library's notation for it: `DnsName("a.example")`, `IpAddress(192.0.2.1)`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner = inner.trim_matches('"');
    inner.parse::<std::net::IpAddr>().map_or_else(|_| inner.to_owned(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, want: Option<(&str, u16)>| {
            let want = want.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(address(text).ok(), want, "{text}");
        };
        check("https://127.0.0.1:7373", Some(("127.0.0.1", 7373)));
        check("https://vault.example", Some(("vault.example", 7373)));
        check("https://[::1]:1", Some(("::1", 1)));
        check("http://127.0.0.1:7373", None);
        check("127.0.0.1:7373", None);
        check("https://host:1/", Some(("host", 1)));
        check("https://host/path", None);
        check("https://host?query", None);
        check("https://user@host", None);
        check("", None);
    }
}
