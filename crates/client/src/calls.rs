//! Typed calls over one connection.
//!
//! Bodies may hold plaintext: a request's is wiped once it was sent, a reply's once it was read. What
//! the TLS and HTTP libraries buffer on the way is freed without being wiped.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_api::wire;
use holdfast_types::Kind;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize as _, Zeroizing};

use crate::connection::{Sender, Waiting, connect};
use crate::{ClientError, Context, TarStream};

/// A future behind a pointer: what it does is compiled here, and not once more for each type of reply.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Largest reply that is read whole; a listing's page is far below.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// A client of one vault.
pub struct Client {
    context: Context,
    sender: Option<Sender>,
    waiting: Option<Waiting>,
}

impl Client {
    /// A client that connects at its first call.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context, sender: None, waiting: None }
    }

    /// Says with `say`, once a connection, that the server lets itself be waited for.
    #[must_use]
    pub fn noting(self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { waiting: Some(Arc::new(say)), ..self }
    }

    /// The context it uses.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Connects without asking anything: what fails here was not sent.
    pub async fn connect(&mut self) -> Result<(), ClientError> {
        self.sender = Some(self.ready().await?);
        Ok(())
    }

    /// `GET /api/v1{path}`.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// `POST /api/v1{path}`.
    pub async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `PUT /api/v1{path}`.
    pub async fn put<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// `DELETE /api/v1{path}`.
    pub async fn delete<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, None::<&()>).await
    }

    /// The sealed tar of a backup job.
    pub async fn tar(&mut self, job: &str) -> Result<TarStream, ClientError> {
        let path = format!("/api/v1/backups/{job}/tar");
        let response = self.send(Method::GET, &path, Bytes::new()).await?;
        if response.status() == StatusCode::OK {
            let (context, waiting) = (self.context.clone(), self.waiting.clone());
            let client = Self { context, sender: self.sender.take(), waiting };
            return Ok(TarStream::new(job, response.into_body(), client));
        }
        Err(failure(response.status(), &read(response).await?))
    }

    async fn call<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let body = body.map(encode).transpose().map_err(not_encoded)?.unwrap_or_default();
        let reply = self.exchange(method, path, body).await?;
        serde_json::from_slice(&reply).map_err(not_understood)
    }

    /// The body of a reply that says that it was done, of whatever type it is.
    fn exchange<'a>(
        &'a mut self,
        method: Method,
        path: &'a str,
        body: Zeroizing<Vec<u8>>,
    ) -> Boxed<'a, Result<Zeroizing<Vec<u8>>, ClientError>> {
        Box::pin(async move {
            let path = format!("/api/v1{path}");
            let response = self.send(method, &path, Bytes::from_owner(body)).await?;
            let status = response.status();
            let reply = read(response).await?;
            if !status.is_success() {
                return Err(failure(status, &reply));
            }
            Ok(reply)
        })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        named(path)?;
        let mut sender = self.ready().await?;
        let lost = |error: hyper::Error| {
            let message = format!("{} broke the connection off: {error}", self.context.server);
            ClientError::new(Kind::Unavailable, message)
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host(&self.context.server))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::new(Kind::BadInput, format!("{path}: {error}")))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// The connection at hand where it still works, otherwise a new one. Nothing was sent on one that
    /// is not ready, so no request is ever sent twice.
    async fn ready(&mut self) -> Result<Sender, ClientError> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let mut sender = connect(&self.context, self.waiting.as_ref()).await?;
        sender.ready().await.map_err(|error| {
            let message = format!("{} broke the connection off: {error}", self.context.server);
            ClientError::new(Kind::Unavailable, message)
        })?;
        Ok(sender)
    }
}

fn not_encoded(error: serde_json::Error) -> ClientError {
    ClientError::new(Kind::Internal, format!("a request: {error}"))
}

fn not_understood(error: serde_json::Error) -> ClientError {
    let message = format!("the server's reply is not understood: {error}");
    ClientError::new(Kind::Newer, message).next("use the server's version of holdfast")
}

/// JSON in a buffer of its size: one that grew would leave pieces of plaintexts in freed memory.
fn encode(body: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut size = Size(0);
    serde_json::to_writer(&mut size, body)?;
    let mut text = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *text, body)?;
    Ok(text)
}

/// Counts what is written.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0 += data.len();
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A name as one segment of a path (RFC 3986 §2.1).
#[must_use]
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    // A dot segment would be taken away on the way.
    if matches!(out.as_str(), "." | "..") { out.replace('.', "%2E") } else { out }
}

/// Refuses a path where a name is missing: it would be the path of something else.
fn named(path: &str) -> Result<(), ClientError> {
    let segments = path.split('?').next().unwrap_or_default().split('/').skip(1);
    if segments.into_iter().all(|segment| !segment.is_empty()) {
        return Ok(());
    }
    let empty = holdfast_types::NameError::Empty;
    Err(ClientError::new(Kind::BadInput, empty.to_string()).next("name what is meant"))
}

fn host(server: &str) -> &str {
    server.strip_prefix("https://").unwrap_or(server).trim_end_matches('/')
}

async fn read(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let lost = |error| {
        ClientError::new(Kind::Unavailable, format!("the reply broke off: {error}"))
            .next("ask the vault whether it was done, then repeat the command")
    };
    let mut body = response.into_body();
    // Nothing is left behind by growing: a reply says how long it is.
    let size = body.size_hint().upper().and_then(|size| usize::try_from(size).ok());
    let mut whole = Zeroizing::new(Vec::with_capacity(size.unwrap_or(0).min(REPLY_BYTES_MAX)));
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(lost)?.into_data() else { continue };
        if piece.len() > REPLY_BYTES_MAX - whole.len() {
            let message = format!("the reply is larger than {REPLY_BYTES_MAX} bytes");
            return Err(ClientError::new(Kind::TooLarge, message));
        }
        whole.extend_from_slice(&piece);
        // Where nobody else looks at the same buffer, it is wiped, too.
        if let Ok(mut piece) = piece.try_into_mut() {
            piece.zeroize();
        }
    }
    Ok(whole)
}

fn failure(status: StatusCode, body: &[u8]) -> ClientError {
    match serde_json::from_slice::<wire::Failure>(body) {
        Ok(wire::Failure { error }) => ClientError {
            // A newer server may know kinds that this client does not.
            kind: error.code.parse().unwrap_or(Kind::Other),
            message: error.message,
            next: error.next,
        },
        Err(_) => ClientError::new(Kind::Other, format!("the server answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_written_where_it_stays() {
        let body = wire::Named { name: "n".repeat(1000) };
        let text = encode(&body).unwrap();
        assert_eq!(*text, serde_json::to_vec(&body).unwrap());
        assert_eq!(text.capacity(), text.len());
    }

    #[test]
    fn segments_stay_segments() {
        assert_eq!(segment("orders-1.x"), "orders-1.x");
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("h1:ab_c"), "h1:ab_c");
    }

    #[test]
    fn a_path_names_all_it_speaks_of() {
        for good in ["/api/v1/enclaves/e/keys", "/api/v1/enclaves?after=", "/api/v1/x?a=/"] {
            assert!(named(good).is_ok(), "{good}");
        }
        for bad in ["/api/v1/enclaves/", "/api/v1/enclaves//keys", "/api/v1/keys/?limit=1"] {
            assert_eq!(named(bad).unwrap_err().kind, Kind::BadInput, "{bad}");
        }
    }

    #[test]
    fn failures_keep_kind_and_next_step() {
        let body = br#"{"error":{"code":"not_found","exit":10,"message":"no key x","next":"y"}}"#;
        let error = failure(StatusCode::NOT_FOUND, body);
        assert_eq!((error.kind, error.next.as_deref()), (Kind::NotFound, Some("y")));
        assert_eq!(failure(StatusCode::BAD_GATEWAY, b"<html>").kind, Kind::Other);
    }
}
