//! The client against a server in the same process: who it says it is, whom it trusts, what it makes
//! of refusals and of connections that break off.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

mod server;

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast_api::wire;
use holdfast_client::{Client, Context};
use holdfast_types::Kind;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use server::{Body, Script, Server};

const KEY: &str = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
const IDENTITY: &str = "h1:oFCDfYUHBYLM9zlLCYiEfMMSy4glm4lImfbyOc8XkaU";
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn whole(status: StatusCode, body: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

fn enclaves(_: &str) -> Response<Body> {
    whole(StatusCode::OK, r#"{"enclaves":[{"name":"a","enclave_id":"00","state":"open"}]}"#)
}

fn client(server: &Server, address: SocketAddr, api_key: &str) -> Client {
    Client::new(Context {
        server: format!("https://{address}"),
        api_key: api_key.to_owned().into(),
        ca: server.ca.clone(),
        ..Context::default()
    })
}

#[tokio::test]
async fn the_server_sees_the_identity_of_the_api_key() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut known = client(&server, address, KEY);
    let list: wire::Enclaves = known.get("/enclaves").await.unwrap();
    assert_eq!(list.enclaves[0].name, "a");
    let _: wire::Enclaves = known.post("/enclaves", &()).await.unwrap();
    let _: wire::Enclaves = client(&server, address, "").delete("/enclaves/a").await.unwrap();
    let seen: Vec<_> = server.seen.lock().unwrap().clone();
    let seen: Vec<_> =
        seen.iter().map(|s| (s.line.as_str(), s.identity.as_deref(), s.connection)).collect();
    let known = Some(IDENTITY);
    assert_eq!(
        seen,
        [
            ("GET /api/v1/enclaves", known, 0),
            ("POST /api/v1/enclaves", known, 0),
            ("DELETE /api/v1/enclaves/a", None, 1),
        ]
    );
}

#[tokio::test]
async fn a_server_of_another_ca_is_another_vault() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let other = Server::new(Script { reply: enclaves, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let call = client(&other, address, KEY).get::<wire::Enclaves>("/enclaves").await;
    assert_eq!(call.unwrap_err().kind, Kind::AnotherVault);
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_vault_by_a_name_it_was_not_told_of_is_the_vault_still() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut context = client(&server, address, KEY).context().clone();
    context.server = format!("https://localhost:{}", address.port());
    let error = Client::new(context).get::<wire::Enclaves>("/enclaves").await.unwrap_err();
    assert_eq!(error.kind, Kind::BadInput, "{error}");
    assert!(error.message.ends_with("has no name localhost; it has: 127.0.0.1"), "{error}");
    let listen = format!("--listen localhost:{}", address.port());
    assert!(error.next.unwrap().ends_with(&listen));
}

#[tokio::test]
async fn an_address_that_is_none_to_call_is_no_name_to_listen_on() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut context = client(&server, address, KEY).context().clone();
    context.server = format!("https://0.0.0.0:{}", address.port());
    let error = Client::new(context).get::<wire::Enclaves>("/enclaves").await.unwrap_err();
    assert_eq!(error.kind, Kind::BadInput, "{error}");
    let next = error.next.unwrap();
    assert!(next.starts_with("use one of those") && !next.contains("--listen"), "{next}");
}

#[tokio::test]
async fn whoever_waits_for_a_server_is_told_once() {
    let address = std::net::TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let (told, notes) = std::sync::mpsc::channel();
    let say = move |note: &str| told.send(note.to_owned()).unwrap();
    let mut early = client(&server, address, KEY).noting(say);
    let (call, _) = tokio::join!(early.get::<wire::Enclaves>("/enclaves"), async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        server.start(address).await
    });
    call.unwrap();
    let note = format!("no answer from https://{address} yet; trying for 10 s");
    assert_eq!(notes.try_iter().collect::<Vec<_>>(), [note]);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    // Ours, and nobody listens: refused until the server does.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind(ANY_PORT).unwrap();
    let address = held.local_addr().unwrap();
    let mut early = client(&server, address, KEY);
    let (call, _) = tokio::join!(early.get::<wire::Enclaves>("/enclaves"), async {
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        server.start(address).await
    });
    assert_eq!(call.unwrap().enclaves.len(), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let server = Server::new(Script { reply: enclaves, hang_up: true });
    let address = server.start(ANY_PORT).await;
    let mut client = client(&server, address, KEY);
    for _ in 0..3 {
        let _: wire::Enclaves = client.get("/enclaves").await.unwrap();
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn failures_keep_their_kind() {
    let refuse: fn(&str) -> _ = |path| match path {
        "/api/v1/html" => whole(StatusCode::BAD_GATEWAY, "<html>"),
        "/api/v1/newer" => whole(StatusCode::OK, r#"{"other":1}"#),
        _ => whole(
            StatusCode::NOT_FOUND,
            r#"{"error":{"code":"not_found","exit":10,"message":"no key x","next":"try y"}}"#,
        ),
    };
    let server = Server::new(Script { reply: refuse, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut client = client(&server, address, KEY);
    let error = client.get::<wire::Key>("/key").await.unwrap_err();
    assert_eq!((error.kind, &*error.message), (Kind::NotFound, "no key x"));
    assert_eq!(error.next.as_deref(), Some("try y"));
    assert_eq!(client.get::<wire::Key>("/html").await.unwrap_err().kind, Kind::Other);
    assert_eq!(client.get::<wire::Key>("/newer").await.unwrap_err().kind, Kind::Newer);
    assert_eq!(client.tar("ab").await.err().unwrap().kind, Kind::NotFound);
}

fn tar(path: &str) -> Response<Body> {
    let mut pieces = vec![Ok(Frame::data(Bytes::from_static(b"one")))];
    pieces.push(match path {
        "/api/v1/backups/whole/tar" => Ok(Frame::data(Bytes::from_static(b"two"))),
        "/api/v1/backups/broken/tar" | "/api/v1/backups/refused/tar" => {
            Err(std::io::Error::other("the disk is gone"))
        }
        "/api/v1/backups/refused" => {
            let state = r#"{"state":"failed","size":0,"verified":false,"code":"refused","message":"so many","next":"name fewer"}"#;
            return whole(StatusCode::OK, state);
        }
        _ => return enclaves(path),
    });
    // The head is on its way before the first piece is there.
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
}

#[tokio::test]
async fn a_part_of_a_backup_is_never_taken_for_the_whole() {
    let server = Server::new(Script { reply: tar, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut client = client(&server, address, KEY);
    let unavailable = (Kind::Unavailable, true);
    for (job, ends) in
        [("whole", None), ("broken", Some(unavailable)), ("refused", Some((Kind::Refused, true)))]
    {
        let mut stream = client.tar(job).await.unwrap();
        // Other calls do not wait for it.
        let _: wire::Enclaves = client.get("/enclaves").await.unwrap();
        let (mut read, mut error) = (Vec::new(), None);
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => read.extend_from_slice(&bytes),
                Err(broken) => {
                    let reason = broken.next.as_deref() == Some("name fewer");
                    assert_eq!(reason, job == "refused", "{broken}");
                    error = Some((broken.kind, broken.next.is_some()));
                    break;
                }
            }
        }
        assert_eq!(error, ends, "{job}");
        assert!(ends.is_some() || read == b"onetwo");
    }
}

#[tokio::test]
async fn a_call_that_names_nothing_is_not_sent() {
    let server = Server::new(Script { reply: enclaves, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let mut client = client(&server, address, KEY);
    for path in ["/enclaves/", "/enclaves//keys"] {
        let error = client.delete::<wire::Enclaves>(path).await.unwrap_err();
        assert_eq!(error.kind, Kind::BadInput, "{path}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reply_without_end_is_given_up() {
    let endless: fn(&str) -> _ = |_| {
        let piece = || Ok(Frame::data(Bytes::from(vec![b' '; 1 << 20])));
        Response::new(BodyExt::boxed(StreamBody::new(stream::repeat_with(piece))))
    };
    let server = Server::new(Script { reply: endless, hang_up: false });
    let address = server.start(ANY_PORT).await;
    let call = client(&server, address, KEY).get::<wire::Enclaves>("/enclaves").await;
    assert_eq!(call.unwrap_err().kind, Kind::TooLarge);
}
