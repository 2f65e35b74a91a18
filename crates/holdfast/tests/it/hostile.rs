//! Peers without manners on the TLS port: the server stays up, and lets them go.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::raw::{Pair, Raw};
use crate::vault::Vault;

/// Longer than the handshake's limit of 10 s, shorter than a test may take.
const PATIENCE: Duration = Duration::from_secs(40);

fn tcp(vault: &Vault) -> TcpStream {
    let tcp = TcpStream::connect(&vault.listen).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// Whatever the server says until it ends the connection, which it must.
fn until_the_end(mut tcp: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    match tcp.read_to_end(&mut said) {
        Ok(_) => said,
        Err(error) => match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => said,
            _ => panic!("the server does not end the connection: {error}"),
        },
    }
}

#[test]
fn what_is_no_tls_is_let_go() {
    let vault = Vault::start();
    let mut peers = Vec::new();
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let greetings: [&[u8]; 8] = [
        b"GET /health/live HTTP/1.1\r\nHost: v\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0; 4096],
        &[255; 70_000],
        // The head of a ClientHello, and no more; a record that says more than a record may.
        &hello,
        &[22, 3, 1, 255, 255, 1],
        b"",
    ];
    for greeting in greetings {
        let mut tcp = tcp(&vault);
        _ = tcp.write_all(greeting);
        peers.push(tcp);
    }
    // A ClientHello, byte by byte, as slowly as it likes: the handshake has one time limit.
    let mut slow = tcp(&vault);
    let drip = std::thread::spawn(move || {
        for byte in hello.iter().chain(&[0; 200]) {
            if slow.write_all(&[*byte]).is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    });
    // Meanwhile everybody else is served.
    vault.run(&["key", "create", "orders"], b"").expect(0);
    for tcp in peers {
        let said = until_the_end(tcp);
        // An alert at most (RFC 8446 §6), never an answer in plain text.
        assert!(said.is_empty() || said[0] == 21, "{said:?}");
    }
    assert!(drip.join().unwrap(), "a handshake that takes its time was not ended");
    vault.run(&["key", "show", "orders"], b"").expect(0);
}

#[test]
fn heads_that_are_no_http_are_answered_or_ended() {
    let vault = Vault::start();
    let context = vault.context();
    let long = "x".repeat(200_000);
    let many = "X-Y: z\r\n".repeat(500);
    for head in [
        "nonsense\r\n\r\n".to_owned(),
        "GET / HTTP/3.0\r\n\r\n".to_owned(),
        "GET /\u{1} HTTP/1.1\r\nHost: v\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: v\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: v\r\nX: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: v\r\n{many}\r\n"),
        "POST /api/v1/decrypt HTTP/1.1\r\nHost: v\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "POST /api/v1/decrypt HTTP/1.1\r\nHost: v\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
            .to_owned(),
        "POST /api/v1/decrypt HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            .to_owned(),
    ] {
        let mut raw = Raw::connect(&context);
        // The server may have had enough before all of it was sent.
        _ = raw.send(head.as_bytes());
        let said = raw.receive(4096).unwrap_or_default();
        let line = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
        let shown: String = head.chars().take(60).collect();
        assert!(line.is_empty() || line.starts_with("HTTP/1.1 4"), "{shown:?}: {line}");
    }
    vault.run(&["status"], b"").expect(0);
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection in HTTP/2 of the administrator's, greeted.
fn h2(vault: &Vault) -> Raw {
    let key: holdfast_client::ApiKey = vault.context().api_key.parse().ok().unwrap();
    h2_of(vault, Some(key.certificate().unwrap()))
}

fn h2_of(vault: &Vault, pair: Option<Pair>) -> Raw {
    let mut raw = Raw::open(&vault.context(), pair, b"h2").unwrap();
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    raw.send(&frame(SETTINGS, 0, 0, &[])).unwrap();
    raw
}

/// A literal header without indexing (RFC 7541 §6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        let len = text.len();
        // A prefix of 7 bits, then groups of 7 (RFC 7541 §5.1).
        if len < 127 {
            out.push(u8::try_from(len).unwrap());
        } else {
            out.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The head of `GET /health/live`: from the static table, and a path.
fn request() -> Vec<u8> {
    let mut head = vec![0x82, 0x87];
    head.extend(literal(":path", "/health/live"));
    head.extend(literal(":authority", "v"));
    head
}

/// What comes on a connection in HTTP/2.
struct Frames<'a> {
    raw: &'a mut Raw,
    bytes: Vec<u8>,
}

impl<'a> Frames<'a> {
    fn of(raw: &'a mut Raw) -> Self {
        Self { raw, bytes: Vec::new() }
    }

    /// The next frame: kind, flags, stream, payload. `None` at the end.
    fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        loop {
            if let Some((head, rest)) = self.bytes.split_first_chunk::<9>() {
                let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if rest.len() >= len {
                    let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
                    let found = (head[3], head[4], stream, rest[..len].to_vec());
                    self.bytes.drain(..9 + len);
                    return Some(found);
                }
            }
            match self.raw.receive(65536) {
                Ok(more) if !more.is_empty() => self.bytes.extend(more),
                _ => return None,
            }
        }
    }
}

/// Reads frames until `want` says that it has seen enough; whether it did before the end.
fn frames(raw: &mut Raw, mut want: impl FnMut(u8, u8, u32, &[u8]) -> bool) -> bool {
    let mut frames = Frames::of(raw);
    while let Some((kind, flags, stream, payload)) = frames.next() {
        if want(kind, flags, stream, &payload) {
            return true;
        }
    }
    false
}

/// Settings by their number (RFC 9113 §6.5.1).
fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|setting| {
        let value = u32::from_be_bytes(setting[2..].try_into().unwrap());
        (u16::from_be_bytes([setting[0], setting[1]]), value)
    })
}

/// What the server says of SETTINGS_MAX_CONCURRENT_STREAMS and SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113 §6.5.2).
fn limits(raw: &mut Raw) -> (Option<u32>, Option<u32>) {
    let mut said = std::collections::BTreeMap::new();
    assert!(frames(raw, |kind, flags, _, payload| {
        said.extend(settings(payload).filter(|_| kind == SETTINGS && flags == 0));
        kind == SETTINGS && flags == 0
    }));
    (said.get(&3).copied(), said.get(&6).copied())
}

#[test]
fn http2_has_limits_and_says_them() {
    let vault = Vault::start();
    // A stranger may do what a probe does, and no more.
    let mut stranger = h2_of(&vault, None);
    assert_eq!(limits(&mut stranger), (Some(2), Some(4 << 10)));
    let mut waiting = vec![0x83, 0x87];
    waiting.extend(literal(":path", "/api/v1/decrypt"));
    waiting.extend(literal(":authority", "v"));
    let heads = (0..8).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &waiting));
    stranger.send(&heads.collect::<Vec<u8>>()).unwrap();
    let mut refused = 0;
    assert!(frames(&mut stranger, |kind, _, _, payload| {
        refused += u32::from(kind == RESET && payload == [0, 0, 0, 7]);
        refused == 6
    }));

    let mut raw = h2(&vault);
    assert_eq!(limits(&mut raw), (Some(128), Some(16 << 10)));

    // A good request, so that the frames here are known to be right.
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request())).unwrap();
    let mut body = Vec::new();
    assert!(frames(&mut raw, |kind, flags, stream, payload| {
        if kind == 0 {
            body.extend_from_slice(payload);
        }
        stream == 1 && kind < 2 && flags & END_STREAM != 0
    }));
    assert_eq!(body, b"live\n");

    // A head that is too large, decompressed: refused alone, the connection lives on.
    let mut head = request();
    for n in 0..20 {
        head.extend(literal(&format!("x-{n}"), &"y".repeat(1000)));
    }
    raw.send(&frame(HEADERS, END_STREAM, 3, &head[..16384])).unwrap();
    raw.send(&frame(CONTINUATION, END_HEADERS, 3, &head[16384..])).unwrap();
    let mut live = 0;
    assert!(frames(&mut raw, |kind, _, stream, _| {
        live += usize::from(kind == 0);
        stream == 3 && (kind == HEADERS || kind == RESET) || kind == GOAWAY
    }));
    assert_eq!(live, 0, "a head of 20 KB was served");
    vault.run(&["status"], b"").expect(0);
}

#[test]
fn http2_floods_end_their_own_connection() {
    let vault = Vault::start();
    // CONTINUATION without end (CVE-2024-27316).
    let mut raw = h2(&vault);
    raw.send(&frame(HEADERS, 0, 1, &request())).unwrap();
    let piece = frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(8000)));
    let sent = (0..2000).take_while(|_| raw.send(&piece).is_ok()).count();
    assert!(sent < 2000 || !frames(&mut raw, |kind, _, _, _| kind == HEADERS), "16 MB of head");
    vault.run(&["status"], b"").expect(0);

    // Streams that are opened and reset at once (CVE-2023-44487).
    let mut raw = h2(&vault);
    let mut storm = Vec::new();
    for n in 0..20_000 {
        storm.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &request()));
        storm.extend(frame(RESET, 0, 2 * n + 1, &[0, 0, 0, 8]));
    }
    _ = raw.send(&storm);
    drop(raw);
    vault.run(&["status"], b"").expect(0);

    // More streams at once than there may be, each waiting for a body: some are refused.
    let mut raw = h2(&vault);
    let mut head = vec![0x83, 0x87];
    head.extend(literal(":path", "/api/v1/decrypt"));
    head.extend(literal(":authority", "v"));
    let waiting: Vec<u8> =
        (0..200).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &head)).collect();
    raw.send(&waiting).unwrap();
    assert!(frames(&mut raw, |kind, _, stream, _| {
        assert!(kind != HEADERS, "stream {stream} is answered without a body");
        kind == RESET || kind == GOAWAY
    }));
    vault.run(&["status"], b"").expect(0);
}

/// One body on its way on a stream.
#[derive(Clone, Copy)]
struct Upload {
    sent: usize,
    /// What the stream's window has left; less than nothing after a setting that makes it smaller.
    window: i64,
}

/// Sends `body` on `count` streams at once, as far as the windows let it; the last ones, which have to wait for
/// the others, first. Until all are answered with 200.
fn upload(raw: &mut Raw, count: u32, path: &str, body: &[u8]) {
    const WINDOW: i64 = 65535;
    let mut head = vec![0x83, 0x87];
    let length = body.len().to_string();
    for (name, value) in [(":path", path), (":authority", "v"), ("content-length", &length)] {
        head.extend(literal(name, value));
    }
    let heads = (0..count).flat_map(|n| frame(HEADERS, END_HEADERS, 2 * n + 1, &head));
    raw.send(&heads.collect::<Vec<u8>>()).unwrap();

    let mut frames = Frames::of(raw);
    let mut uploads = vec![Upload { sent: 0, window: WINDOW }; count as usize];
    let (mut initial, mut all, mut answered) = (WINDOW, WINDOW, 0);
    while answered < count {
        let mut out = Vec::new();
        for (upload, n) in uploads.iter_mut().zip(0..count).rev() {
            let room = usize::try_from(upload.window.min(all)).unwrap_or(0).min(16384);
            let piece = &body[upload.sent..][..room.min(body.len() - upload.sent)];
            if !piece.is_empty() {
                upload.sent += piece.len();
                upload.window -= piece.len() as i64;
                all -= piece.len() as i64;
                let last = if upload.sent == body.len() { END_STREAM } else { 0 };
                out.extend(frame(DATA, last, 2 * n + 1, piece));
            }
        }
        frames.raw.send(&out).unwrap();
        if !out.is_empty() {
            continue;
        }
        let (kind, flags, stream, payload) = frames.next().expect("the connection lives");
        let upload = || (stream as usize).checked_sub(1).map(|at| at / 2);
        match kind {
            SETTINGS if flags == 0 => {
                for (_, value) in settings(&payload).filter(|(name, _)| *name == 4) {
                    let more = i64::from(value) - initial;
                    initial += more;
                    uploads.iter_mut().for_each(|upload| upload.window += more);
                }
                frames.raw.send(&frame(SETTINGS, 1, 0, &[])).unwrap();
            }
            PING if flags == 0 => frames.raw.send(&frame(PING, 1, 0, &payload)).unwrap(),
            WINDOW_UPDATE => {
                let window = upload().map_or(&mut all, |at| &mut uploads[at].window);
                *window += i64::from(u32::from_be_bytes(payload.try_into().unwrap()));
            }
            // The static table's `:status 200`.
            HEADERS => assert_eq!(payload[0], 0x88, "the answer on stream {stream}"),
            DATA if flags & END_STREAM != 0 => answered += 1,
            RESET | GOAWAY => panic!("frame {kind} on stream {stream}: {payload:?}"),
            _ => {}
        }
    }
}

/// More of them than the server reads at once: those that wait must not stop those that are read.
#[test]
fn large_bodies_on_one_connection_all_get_their_turn() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    // As large as with the largest plaintext, by blanks: the answers are small and need no window.
    let mut body = br#"{"plaintext":"aGk="}"#.to_vec();
    body.resize(3 << 19, b' ');
    let path = "/api/v1/enclaves/default/keys/orders/encrypt";
    upload(&mut h2(&vault), 60, path, &body);
    // Once more, together with as many on another one.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| upload(&mut h2(&vault), 60, path, &body));
        }
    });
}
