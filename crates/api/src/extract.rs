//! What handlers take: the caller, and a body that is bounded before anything looks into it.
//!
//! Whatever does not fit is a failure in JSON like any other, and recorded like any other.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::{Bytes, BytesMut};
use holdfast_service::{Action, Caller, CustodianSelector, Error, Service};
use holdfast_types::limits::REQUEST_BODY_BYTES_MAX;
use holdfast_types::{Kind, Name, NameError};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroize as _;

use crate::error::Failed;
use crate::misfit::bad_json;

/// How long a request's body may take.
const BODY: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read and thrown away, so that the refusal arrives: a
/// connection that is closed on unread bytes may lose it.
const DISCARDED_BYTES_MAX: usize = 16 << 20;
/// Largest body that is read before it is known who calls.
const STRANGERS_BODY_BYTES_MAX: u64 = 16 << 10;
/// What all bodies larger than that may take at once: connections alone bound it far too high (4096, each
/// with 128 requests, of 2 MiB). More wait, unread; smaller ones never do. One that waits must not stop the
/// others of its connection: the node gives each stream a window of its own (`listen` there).
const BODIES_BYTES_MAX: usize = 64 << 20;
static ROOM: Semaphore = Semaphore::const_new(BODIES_BYTES_MAX);

/// One call: who, and to which service. It takes no query; one that does is [`Asked`].
pub(crate) struct Call {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Arc<Caller>,
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        if parts.uri.query().is_none_or(str::is_empty) {
            return Ok(Self::of(parts, service));
        }
        let error = Error::new(Kind::BadInput, "this call takes no query");
        Err(unfit(service, parts, error.next("leave away what stands behind the ? in the path")))
    }
}

fn caller(extensions: &http::Extensions) -> Arc<Caller> {
    extensions.get::<Arc<Caller>>().cloned().unwrap_or_else(|| {
        // Nobody vouches for this request: a stranger from far away.
        Arc::new(Caller { identity: None, local: false, remote: "unknown".to_owned() })
    })
}

/// Records a request that fits no use case, by its method and path, and makes it a response.
pub(crate) fn unfit(service: &Arc<Service>, parts: &Parts, error: Error) -> Failed {
    let what = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let line = format!("{} {what}", parts.method);
    Failed(service.reject(&caller(&parts.extensions), Action::Request, &line, error))
}

impl Call {
    fn of(parts: &Parts, service: &Arc<Service>) -> Self {
        Self { service: Arc::clone(service), caller: caller(&parts.extensions) }
    }

    /// Records a refusal and makes it a response.
    pub(crate) fn reject(&self, action: Action, resource: &str, error: Error) -> Failed {
        Failed(self.service.reject(&self.caller, action, resource, error))
    }

    /// A value from the path or a body field.
    pub(crate) fn parse<T>(&self, action: Action, text: &str) -> Result<T, Failed>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| {
            self.reject(action, text, Error::new(Kind::BadInput, error.to_string()))
        })
    }

    /// A name from the path, the query or a body field: that of `whose`, as in "the key".
    pub(crate) fn name(&self, action: Action, whose: &str, text: &str) -> Result<Name, Failed> {
        let bad = |error: NameError| bad_name(whose, &error).next(Name::RULE);
        text.parse().map_err(|error| self.reject(action, text, bad(error)))
    }

    /// A custodian, as people name them.
    pub(crate) fn custodian(
        &self,
        action: Action,
        text: &str,
    ) -> Result<CustodianSelector, Failed> {
        let bad = |error: NameError| {
            bad_name("the custodian", &error)
                .next("give a custodian's name, fingerprint or id: holdfast custodian ls")
        };
        text.parse().map_err(|error| self.reject(action, text, bad(error)))
    }

    /// A JSON body.
    pub(crate) fn body<T: DeserializeOwned>(
        &self,
        action: Action,
        resource: &str,
        body: Body,
    ) -> Result<T, Failed> {
        if matches!(&body.bytes, Ok(bytes) if bytes.is_empty()) {
            let error = Error::new(Kind::BadInput, "the request has no body")
                .next("send one JSON object in UTF-8");
            return Err(self.reject(action, resource, error));
        }
        self.body_or_nothing(action, resource, body)
    }

    /// A JSON body that may be left away, which counts as `{}`.
    pub(crate) fn body_or_nothing<T: DeserializeOwned>(
        &self,
        action: Action,
        resource: &str,
        body: Body,
    ) -> Result<T, Failed> {
        // Until it is wiped its room stays taken: the last of these is dropped first.
        let Body { bytes, _room } = body;
        let bytes = bytes.map_err(|error| self.reject(action, resource, error))?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // A structure would be read from a list of its fields, too.
        if text.trim_ascii_start().first() == Some(&b'[') {
            let message = "the request does not fit: it is a JSON array, not an object";
            let error = Error::new(Kind::BadInput, message).next("send one JSON object in UTF-8");
            return Err(self.reject(action, resource, error));
        }
        let value = serde_json::from_slice(text);
        value.map_err(|error| self.reject(action, resource, bad_json(&error)))
    }
}

fn bad_name(whose: &str, error: &NameError) -> Error {
    Error::new(Kind::BadInput, error.said_of(&format!("{whose}'s name")))
}

/// The parameters of the path. What axum would refuse in plain text is a failure like any other.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Service>> for Path<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        let read = axum::extract::Path::from_request_parts(parts, service).await;
        let bad = || Error::new(Kind::BadInput, "the path cannot be read: it is no UTF-8");
        read.map(|path| Self(path.0)).map_err(|_| unfit(service, parts, bad()))
    }
}

/// A call with the parameters of its query.
pub(crate) struct Asked<T>(pub(crate) Call, pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Service>> for Asked<T> {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Failed> {
        let read = axum::extract::Query::from_request_parts(parts, service).await;
        let bad = || {
            Error::new(Kind::BadInput, "the query cannot be read")
                .next("a listing takes ?after=NAME&limit=NUMBER")
        };
        let query = read.map_err(|_| unfit(service, parts, bad()))?;
        Ok(Self(Call::of(parts, service), query.0))
    }
}

/// A request body of at most [`REQUEST_BODY_BYTES_MAX`], or why it is none.
pub(crate) struct Body {
    bytes: Result<Wiped, Error>,
    _room: Option<SemaphorePermit<'static>>,
}

impl FromRequest<Arc<Service>> for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        // Memory is lent to those whom the vault knows.
        if is_large(&body)
            && let Err(error) = service.admit(&caller(&parts.extensions)).await
        {
            return Ok(Self { bytes: Err(error), _room: None });
        }
        Ok(read(&ROOM, &parts.headers, body).await)
    }
}

fn is_large(body: &axum::body::Body) -> bool {
    body.size_hint().upper().is_none_or(|size| size > STRANGERS_BODY_BYTES_MAX)
}

async fn read(room: &'static Semaphore, headers: &HeaderMap, body: axum::body::Body) -> Body {
    let room = if is_large(&body) {
        lend(room, body.size_hint().upper()).await.map(Some)
    } else {
        Ok(None)
    };
    match room {
        Ok(_room) => Body { bytes: collect(headers, body).await, _room },
        Err(error) => Body { bytes: Err(error), _room: None },
    }
}

/// Waits for the room that a large body may need.
async fn lend(
    room: &'static Semaphore,
    size: Option<u64>,
) -> Result<SemaphorePermit<'static>, Error> {
    let most = u32::try_from(REQUEST_BODY_BYTES_MAX).unwrap_or(u32::MAX);
    let size = size.and_then(|size| u32::try_from(size).ok()).map_or(most, |size| size.min(most));
    let lent = tokio::time::timeout(BODY, room.acquire_many(size)).await;
    lent.ok().and_then(Result::ok).ok_or_else(|| {
        Error::new(Kind::Unavailable, "too many large request bodies are under way")
            .next("repeat the command later; what is smaller than 16 KiB goes on")
    })
}

async fn collect(headers: &HeaderMap, body: axum::body::Body) -> Result<Wiped, Error> {
    let late = |_| {
        let seconds = BODY.as_secs();
        Error::new(Kind::BadInput, format!("the request body took longer than {seconds} s"))
    };
    let bytes = tokio::time::timeout(BODY, gather(body)).await.map_err(late)??;
    if !bytes.is_empty() && !is_json(headers) {
        return Err(Error::new(Kind::BadInput, "the request's content type is not JSON")
            .next("send it with Content-Type: application/json"));
    }
    Ok(bytes)
}

/// Reads a body of a bounded size.
async fn gather(mut body: axum::body::Body) -> Result<Wiped, Error> {
    let too_large = || {
        let message = format!("the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes");
        Error::new(Kind::TooLarge, message)
            .next("for large data, encrypt it yourself with a data key: holdfast key generate")
    };
    if usize::try_from(body.size_hint().lower()).map_or(true, |size| size > DISCARDED_BYTES_MAX) {
        return Err(too_large());
    }
    let room = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(REQUEST_BODY_BYTES_MAX);
    let (mut whole, mut size) = (Whole::Nothing, 0_usize);
    while let Some(frame) = body.frame().await {
        let broken = |_| Error::new(Kind::BadInput, "the request body broke off");
        // What is no data are trailers, which mean nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let data = Wiped(data);
        size = size.saturating_add(data.len());
        if size > DISCARDED_BYTES_MAX {
            break;
        }
        if size > REQUEST_BODY_BYTES_MAX { whole = Whole::Nothing } else { whole.push(data, room) }
    }
    if size > REQUEST_BODY_BYTES_MAX { Err(too_large()) } else { Ok(whole.take()) }
}

/// A body or a piece of one, which may hold a plaintext: wiped when it is dropped, whatever became of it, where
/// nobody else looks at the same buffer. What HTTP and TLS buffered on the way is theirs.
struct Wiped(Bytes);

impl std::ops::Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        if let Ok(mut bytes) = std::mem::take(&mut self.0).try_into_mut() {
            wipe(&mut bytes);
        }
    }
}

/// A body that still grows: wiped as well.
struct Growing(BytesMut);

impl Drop for Growing {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(bytes: &mut BytesMut) {
    bytes.zeroize();
    #[cfg(test)]
    tests::WIPED.set(tests::WIPED.get() + bytes.len());
}

/// The pieces of a body; a small one comes in one and is not copied. A body that says its length is copied
/// once, into a buffer that never grows: growing leaves pieces of plaintexts in freed memory.
enum Whole {
    Nothing,
    One(Wiped),
    Many(Growing),
}

impl Whole {
    fn push(&mut self, piece: Wiped, room: usize) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(room.max(first.len() + piece.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&piece);
                Self::Many(Growing(all))
            }
            Self::Many(mut all) => {
                all.0.extend_from_slice(&piece);
                Self::Many(all)
            }
        };
    }

    fn take(self) -> Wiped {
        match self {
            Self::Nothing => Wiped(Bytes::new()),
            Self::One(piece) => piece,
            Self::Many(mut all) => Wiped(std::mem::take(&mut all.0).freeze()),
        }
    }
}

/// `application/json`, with or without parameters; or nothing, as from a shell.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::{StreamExt as _, stream};
    use http::HeaderValue;

    use super::*;

    thread_local! {
        /// How many bytes this thread has wiped.
        pub(super) static WIPED: Cell<usize> = const { Cell::new(0) };
    }

    async fn read(headers: &HeaderMap, pieces: Vec<Vec<u8>>) -> Result<Vec<u8>, Kind> {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let body = axum::body::Body::from_stream(stream::iter(pieces));
        let read = collect(headers, body).await;
        read.map(|bytes| bytes.to_vec()).map_err(|error| error.kind)
    }

    fn refused(read: Result<Wiped, Error>) -> Error {
        read.err().expect("it is refused")
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_becomes_of_a_body_it_is_wiped() {
        let piece = |size: usize| Ok(Bytes::from(vec![b' '; size]));
        let body = |pieces: Vec<Result<Bytes, std::io::Error>>| {
            axum::body::Body::from_stream(stream::iter(pieces))
        };
        let none = HeaderMap::new();
        let text =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        let torn = || Err(std::io::Error::other("gone"));
        let never = stream::iter([piece(1000)]).chain(stream::pending());
        let max = REQUEST_BODY_BYTES_MAX;

        // One that comes in pieces is wiped twice: the pieces, and what was made of them.
        refused(collect(&text, body(vec![piece(1000)])).await);
        assert_eq!(WIPED.replace(0), 1000, "its type is wrong");
        refused(collect(&text, body(vec![piece(1000), piece(10)])).await);
        assert_eq!(WIPED.replace(0), 2 * 1010, "its type is wrong, in pieces");
        refused(collect(&none, body(vec![piece(1000), torn()])).await);
        assert_eq!(WIPED.replace(0), 1000, "it broke off");
        refused(collect(&none, body(vec![piece(1000), piece(10), torn()])).await);
        assert_eq!(WIPED.replace(0), 2 * 1010, "it broke off, in pieces");
        refused(collect(&none, axum::body::Body::from_stream(never)).await);
        assert_eq!(WIPED.replace(0), 1000, "it came too late");
        refused(collect(&none, body(vec![piece(max), piece(1), piece(9)])).await);
        assert_eq!(WIPED.replace(0), max + 10, "it is too large");
        drop(super::read(&ROOM, &none, body(vec![piece(1000)])).await);
        assert_eq!(WIPED.replace(0), 1000, "nobody looked at it");
    }

    #[tokio::test]
    async fn a_body_of_the_largest_size_passes_and_not_one_byte_more() {
        let none = HeaderMap::new();
        let pieces = |size: usize| vec![vec![1; size / 2], vec![2; size - size / 2]];
        let largest = read(&none, pieces(REQUEST_BODY_BYTES_MAX)).await.unwrap();
        assert_eq!(largest.len(), REQUEST_BODY_BYTES_MAX);
        assert_eq!(read(&none, pieces(REQUEST_BODY_BYTES_MAX + 1)).await, Err(Kind::TooLarge));
        // An endless one is not read to its end.
        let endless =
            stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20])));
        let endless = collect(&none, axum::body::Body::from_stream(endless)).await;
        assert_eq!(refused(endless).kind, Kind::TooLarge);
    }

    #[test]
    fn a_body_that_says_its_length_is_never_moved() {
        let (mut whole, room) = (Whole::Nothing, 3000);
        whole.push(Wiped(Bytes::from(vec![1; 1000])), room);
        whole.push(Wiped(Bytes::from(vec![2; 1000])), room);
        let Whole::Many(all) = &whole else { panic!("two pieces") };
        let at = all.0.as_ptr();
        whole.push(Wiped(Bytes::from(vec![3; 1000])), room);
        let whole = whole.take();
        assert_eq!((whole.as_ptr(), whole.len()), (at, room));
        assert_eq!((whole[0], whole[1000], whole[2999]), (1, 2, 3));
    }

    #[tokio::test]
    async fn pieces_come_together() {
        let none = HeaderMap::new();
        let pieces = vec![b"{\"a\"".to_vec(), b":".to_vec(), b"1}".to_vec()];
        assert_eq!(read(&none, pieces).await.unwrap(), b"{\"a\":1}");
        assert_eq!(read(&none, Vec::new()).await.unwrap(), b"");
        let torn = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
        let torn = collect(&none, axum::body::Body::from_stream(torn)).await;
        assert_eq!(refused(torn).kind, Kind::BadInput);
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_have_room_in_common_and_small_ones_need_none() {
        let room: &Semaphore = Box::leak(Box::new(Semaphore::new(3 << 20)));
        let read = async |size: usize| {
            super::read(room, &HeaderMap::new(), axum::body::Body::from(vec![b' '; size])).await
        };
        let first = read(1 << 20).await;
        assert_eq!(room.available_permits(), 2 << 20);
        let endless = stream::iter([Ok::<_, std::io::Error>(Bytes::from("{}"))]);
        let endless = axum::body::Body::from_stream(endless);
        let second = super::read(room, &HeaderMap::new(), endless).await;
        assert_eq!(room.available_permits(), 0, "it did not say how long it is");
        assert_eq!(read(1 << 10).await.bytes.unwrap().len(), 1 << 10);
        let late = refused(read(20 << 10).await.bytes);
        assert_eq!(late.kind, Kind::Unavailable, "after a minute");

        let mut waits = std::pin::pin!(read(20 << 10));
        tokio::select! {
            biased;
            _ = &mut waits => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        drop((first, second));
        assert_eq!(waits.await.bytes.unwrap().len(), 20 << 10);
        assert_eq!(room.available_permits(), 3 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_given_up() {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let never = collect(&HeaderMap::new(), axum::body::Body::from_stream(never)).await;
        assert!(refused(never).message.contains("longer than 60 s"));
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        let check = async |value: &'static str, fits: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            let got = read(&headers, vec![b"{}".to_vec()]).await;
            assert_eq!(got.is_ok(), fits, "{value}");
            assert!(read(&headers, Vec::new()).await.is_ok(), "nothing has no type: {value}");
        };
        check("application/json", true).await;
        check("Application/JSON; charset=utf-8", true).await;
        check("text/plain", false).await;
        check("application/jsonp", false).await;
        check("application/x-www-form-urlencoded", false).await;
        check("", false).await;
    }
}
