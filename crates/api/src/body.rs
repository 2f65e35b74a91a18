//! A request body: bounded in size and pace, read by whoever knows what for, and wiped.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use holdfast_service::{Error, Service};
use holdfast_types::limits::REQUEST_BODY_BYTES_MAX;
use holdfast_types::{IdentityId, Kind};
use http::{HeaderMap, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroize as _;

use crate::escapes;
use crate::room::{Lent, Room, SMALL_BYTES_MAX};

/// How long a request's body may take, however long it is.
const BODY: Duration = Duration::from_secs(60);
/// How long it may stand still at first, and what it must bring per second from then on, on the whole: the
/// memory that it holds is other callers', too.
const GRACE: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND_MIN: usize = 32 << 10;
/// How much of a body that is too large is read and thrown away, so that the refusal arrives: a
/// connection that is closed on unread bytes may lose it.
const DISCARDED_BYTES_MAX: usize = 16 << 20;
/// The same of a stranger's: as much as is small, and for as long as it takes to come after its head.
const STRANGERS: (usize, Duration) = (16 << 10, Duration::from_secs(1));

/// A request body of at most [`REQUEST_BODY_BYTES_MAX`], not read yet.
pub(crate) struct Body<B = axum::body::Body> {
    body: B,
    is_json: bool,
}

impl FromRequest<Arc<Service>> for Body {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &Arc<Service>) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self::new(&parts.headers, body))
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> Body<B> {
    /// The body of a request with these headers.
    pub(crate) fn new(headers: &HeaderMap, body: B) -> Self {
        Self { body, is_json: is_json(headers) }
    }

    pub(crate) fn is_large(&self) -> bool {
        self.body.size_hint().upper().is_none_or(|size| size > SMALL_BYTES_MAX)
    }

    /// Reads it, with the room that it takes as long as it is there; a small one takes none.
    pub(crate) async fn read(
        mut self,
        room: &Room,
        identity: Option<IdentityId>,
    ) -> Result<(Option<Lent<'_>>, Wiped), Error> {
        // What most bodies do not need is on the heap: the futures of calls are copied, and small then.
        let room = if self.is_large() {
            Some(Box::pin(room.lend(identity, self.body.size_hint().upper())).await?)
        } else {
            None
        };
        let bytes = gather(&mut self.body).await?;
        if !bytes.is_empty() && !self.is_json {
            return Err(Error::new(Kind::BadInput, "the request's content type is not JSON")
                .next("send it with Content-Type: application/json"));
        }
        Ok((room, bytes.plain()))
    }
}

/// Throws a body away, so that the refusal of its call arrives: at most 16 MiB of it. A stranger's only as far as it
/// comes with its head; one that says that it is larger not at all.
pub(crate) async fn discard(mut body: impl HttpBody<Data = Bytes> + Unpin, known: bool) {
    let (most, time) = if known { (DISCARDED_BYTES_MAX, BODY) } else { STRANGERS };
    if usize::try_from(body.size_hint().lower()).map_or(true, |size| size > most) {
        return;
    }
    let (begun, mut size) = (Instant::now(), 0_usize);
    while size <= most {
        let due = begun + due(size).min(time);
        let Ok(Some(Ok(frame))) = timeout_at(due, body.frame()).await else { return };
        size = size.saturating_add(frame.into_data().map(Wiped).map_or(0, |data| data.len()));
    }
}

/// Reads a body of a bounded size.
async fn gather(body: &mut (impl HttpBody<Data = Bytes> + Unpin)) -> Result<Wiped, Error> {
    let mut gathered = Gathered::of(body.size_hint().lower())?;
    let mut waits = None;
    loop {
        // Most bodies have come with their heads: nobody sets a clock for those.
        while let Some(frame) = body.frame().now_or_never() {
            if gathered.take(frame)? {
                return gathered.finish();
            }
        }
        let begun = *waits.get_or_insert_with(Instant::now);
        let frame = timeout_at(begun + due(gathered.size), body.frame());
        if gathered.take(Box::pin(frame).await.map_err(|_| too_slow(begun.elapsed()))?)? {
            return gathered.finish();
        }
    }
}

/// What has come of a body so far.
struct Gathered {
    whole: Whole,
    size: usize,
    /// How long it says that it is.
    room: usize,
}

impl Gathered {
    fn of(says: u64) -> Result<Self, Error> {
        let says = usize::try_from(says).unwrap_or(usize::MAX);
        if says > DISCARDED_BYTES_MAX {
            return Err(too_large());
        }
        Ok(Self { whole: Whole::Nothing, size: 0, room: says.min(REQUEST_BODY_BYTES_MAX) })
    }

    /// Whether nothing more is to be read.
    fn take<E>(&mut self, frame: Option<Result<Frame<Bytes>, E>>) -> Result<bool, Error> {
        let Some(frame) = frame else { return Ok(true) };
        let broken = |_| Error::new(Kind::BadInput, "the request body broke off");
        // What is no data are trailers, which mean nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { return Ok(false) };
        let data = Wiped(data);
        self.size = self.size.saturating_add(data.len());
        if self.size > REQUEST_BODY_BYTES_MAX {
            self.whole = Whole::Nothing;
        } else {
            self.whole.push(data, self.room);
        }
        Ok(self.size > DISCARDED_BYTES_MAX)
    }

    fn finish(self) -> Result<Wiped, Error> {
        if self.size > REQUEST_BODY_BYTES_MAX { Err(too_large()) } else { Ok(self.whole.take()) }
    }
}

fn too_large() -> Error {
    let message = format!("the request body is larger than {REQUEST_BODY_BYTES_MAX} bytes");
    Error::new(Kind::TooLarge, message)
        .next("for large data, encrypt it yourself with a data key: holdfast key generate")
}

/// By when, from its begin, more must have come of a body of which `size` bytes are there.
fn due(size: usize) -> Duration {
    let millis = u64::try_from(size * 1000 / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
    (GRACE + Duration::from_millis(millis)).min(BODY)
}

fn too_slow(after: Duration) -> Error {
    let message = format!("the request body was not complete after {} s", after.as_secs());
    let rate = BYTES_PER_SECOND_MIN >> 10;
    Error::new(Kind::BadInput, message)
        .next(format!("send it as a whole: at least {rate} KiB a second"))
}

/// A body or a piece of one, which may hold a plaintext: wiped when it is dropped, whatever became of it, where
/// nobody else looks at the same buffer. What HTTP and TLS buffered on the way is theirs.
pub(crate) struct Wiped(Bytes);

impl Wiped {
    /// Without escapes that need not be there, in the same buffer where nobody else looks at it.
    fn plain(mut self) -> Self {
        if !self.contains(&b'\\') {
            return self;
        }
        let bytes = std::mem::take(&mut self.0).try_into_mut();
        let mut own = bytes.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        escapes::take_out(&mut own);
        Self(own.freeze())
    }
}

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

    async fn collect(headers: &HeaderMap, body: axum::body::Body) -> Result<Wiped, Error> {
        let room = Room::new(8 << 20, 8 << 20);
        Body::new(headers, body).read(&room, None).await.map(|(_, bytes)| bytes)
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
        discard(body(vec![piece(1000)]), true).await;
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
    async fn large_bodies_take_room_and_small_ones_need_none() {
        let room = Room::new(3 << 20, 3 << 20);
        let none = HeaderMap::new();
        let read = async |size: usize| {
            Body::new(&none, axum::body::Body::from(vec![b' '; size])).read(&room, None).await
        };
        let first = read(1 << 20).await.unwrap();
        assert_eq!(room.free(), 2 << 20);
        let endless = stream::iter([Ok::<_, std::io::Error>(Bytes::from("{}"))]);
        let endless = Body::new(&none, axum::body::Body::from_stream(endless));
        let second = endless.read(&room, None).await.unwrap();
        assert_eq!(room.free(), 0, "it did not say how long it is");
        assert_eq!(read(1 << 10).await.unwrap().1.len(), 1 << 10);
        assert_eq!(read(20 << 10).await.err().unwrap().kind, Kind::Unavailable, "after a minute");
        drop((first, second));
        assert_eq!(room.free(), 3 << 20);
    }

    /// So many bytes at once and a second, until `seconds` are over.
    fn drip(first: usize, rate: usize, seconds: u64) -> axum::body::Body {
        let rest = stream::iter(0..seconds).then(move |_| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Bytes::from(vec![b' '; rate]))
        });
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b' '; first]))]);
        axum::body::Body::from_stream(first.chain(rest))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_is_given_up() {
        let check = async |first, rate, seconds, given_up: Option<u64>| {
            let begun = Instant::now();
            let read = collect(&HeaderMap::new(), drip(first, rate, seconds)).await;
            let took = begun.elapsed().as_secs();
            assert_eq!(read.err().map(|_| took), given_up, "{first} {rate}");
        };
        check(1, 0, 100, Some(10)).await;
        check(1, 100, 100, Some(10)).await;
        check(640 << 10, 0, 100, Some(30)).await;
        check(1, 16 << 10, 100, Some(19)).await;
        check(1, 33 << 10, 50, None).await;
        check(0, 40 << 10, 70, Some(60)).await;
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let never = collect(&HeaderMap::new(), axum::body::Body::from_stream(never)).await;
        assert!(refused(never).message.contains("not complete after 10 s"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_thrown_away_keeps_nobody() {
        let check = async |body, known, seconds: u64| {
            let begun = Instant::now();
            discard(body, known).await;
            assert_eq!(begun.elapsed().as_secs(), seconds);
        };
        check(drip(1000, 1, 100), false, 1).await;
        check(drip(1000, 1, 100), true, 10).await;
        check(drip(17 << 10, 1, 100), false, 0).await;
        check(drip(17 << 20, 1, 100), true, 0).await;
    }

    #[tokio::test]
    async fn escapes_are_taken_out_in_the_same_buffer() {
        let text = br#"{"plaintext":"\/wAB"}"#;
        let none = HeaderMap::new();
        let at = |bytes: &Wiped| bytes.as_ptr();
        let body = Bytes::from(text.to_vec());
        let there = body.as_ptr();
        let plain = collect(&none, axum::body::Body::from(body)).await.unwrap();
        assert_eq!((&plain[..], at(&plain)), (&br#"{"plaintext":"/wAB"} "#[..], there));
        WIPED.set(0);
        drop(plain);
        assert_eq!(WIPED.get(), text.len());
        let shared = Bytes::from(text.to_vec());
        let plain = collect(&none, axum::body::Body::from(shared.clone())).await.unwrap();
        assert_eq!((&plain[..], &shared[..]), (&br#"{"plaintext":"/wAB"} "#[..], &text[..]));
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
