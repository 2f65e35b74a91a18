//! Many who come at once, and those who hold what they have: strangers, users without rights, removed ones.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdfast_client::Context;

use crate::raw::Raw;
use crate::run::{Server, free_address};
use crate::vault::{Vault, soon};

const ENCRYPT: &str = "/api/v1/enclaves/default/keys/orders/encrypt";

/// The head of a call whose body has `length` bytes.
fn head(path: &str, length: usize) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: v\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn context(vault: &Vault, name: &str) -> Context {
    Context::read(&vault.path().join(name)).unwrap()
}

/// A vault that may have 60 connections, of which 7 are handshakes and 7 strangers.
fn small() -> Vault {
    let home = tempfile::tempdir().unwrap();
    let listen = free_address();
    let limited = format!("ulimit -n 120; exec \"$0\" server --dev --data demo --listen {listen}");
    let server = Server::shell(home.path(), &limited);
    soon(|| home.path().join("demo/server.pid").exists().then_some(())).expect("it serves");
    Vault { home, listen, server }
}

/// Whether the server ends the connection, within as long as it takes on a busy machine.
fn is_ended(raw: &mut Raw) -> bool {
    raw.wait_at_most(Duration::from_secs(30));
    match raw.receive(1) {
        Ok(bytes) => bytes.is_empty(),
        Err(error) => {
            use std::io::ErrorKind::{TimedOut, WouldBlock};
            !matches!(error.kind(), TimedOut | WouldBlock)
        }
    }
}

#[test]
fn a_strangers_body_is_not_waited_for() {
    let vault = Vault::start();
    let begun = Instant::now();
    let mut raw = Raw::open(&vault.context(), None, b"http/1.1").unwrap();
    raw.send(&head("/api/v1/decrypt", 16384)).unwrap();
    let reply = raw.reply().unwrap();
    assert_eq!((reply.status, reply.failure().code.as_str()), (403, "refused"));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    vault.audited(|line| line["action"] == "key.decrypt" && line["result"] == "refused");
    let lines = vault.audit().iter().filter(|line| line["action"] == "key.decrypt").count();
    assert_eq!(lines, 1);
}

#[test]
fn who_may_not_make_a_call_gets_no_memory_for_it() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    vault.run(&["identity", "create", "nothing", "--save", "nothing.toml"], b"").expect(0);
    let nothing = context(&vault, "nothing.toml");
    // As many as there is room for, and more.
    let mut holders: Vec<Raw> = (0..40).map(|_| Raw::connect(&nothing)).collect();
    for raw in &mut holders {
        raw.send(&head(ENCRYPT, 2 << 20)).unwrap();
    }
    vault.audited(|line| line["action"] == "key.encrypt" && line["resource"] == "default/orders");
    let begun = Instant::now();
    vault.run(&["key", "encrypt", "orders"], &[b'x'; 20_000]).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let reply = holders[0].reply().unwrap();
    assert_eq!(reply.status, 403);
    assert!(reply.failure().message.contains("nothing may not key.encrypt default/orders"));
    // What they send all the same is thrown away, and their connection goes on.
    let mut raw = Raw::connect(&nothing);
    for length in [20_000, 2 << 20, 10] {
        raw.send(&[head(ENCRYPT, length), vec![b'x'; length]].concat()).unwrap();
        assert_eq!(raw.reply().unwrap().status, if length == 10 { 400 } else { 403 }, "{length}");
    }
}

#[test]
fn who_holds_its_share_of_memory_keeps_nobody_else_waiting() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    vault.run(&["policy", "set", "p", "--allow", "key.encrypt:orders"], b"").expect(0);
    vault.run(&["identity", "create", "app", "--policy", "p", "--save", "app.toml"], b"").expect(0);
    let app = context(&vault, "app.toml");
    let mut holders: Vec<Raw> = (0..40).map(|_| Raw::connect(&app)).collect();
    for raw in &mut holders {
        raw.send(&head(ENCRYPT, 2 << 20)).unwrap();
    }
    // Those that got room are given up after ten seconds, and the next ones get it.
    for _ in 0..5 {
        let begun = Instant::now();
        vault.run(&["key", "encrypt", "orders"], &[b'x'; 20_000]).expect(0);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    let reply = holders[0].reply().unwrap();
    assert_eq!(reply.status, 400);
    assert!(reply.failure().message.contains("not complete after 10 s"), "{reply:?}");
}

/// A connection from another address than the vault's clients have here.
fn from_elsewhere(listen: &str) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tcp = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 2], 0).into())?;
        socket.connect(listen.parse().map_err(std::io::Error::other)?).await?.into_std()
    })?;
    tcp.set_nonblocking(false)?;
    Ok(tcp)
}

#[test]
fn no_crowd_of_strangers_keeps_a_known_caller_out() {
    let vault = small();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    let stop = AtomicBool::new(false);
    let silent = || {
        // Whoever is let go comes again, without a pause: it says nothing, and has no certificate.
        while !stop.load(Ordering::Relaxed) {
            let Ok(tcp) = from_elsewhere(&vault.listen) else { continue };
            _ = tcp.set_read_timeout(Some(Duration::from_secs(1)));
            _ = std::io::Read::read(&mut &tcp, &mut [0]);
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..20 {
            threads.spawn(silent);
        }
        std::thread::sleep(Duration::from_secs(1));
        let served = (0..10).filter(|_| vault.run(&["key", "show", "orders"], b"").code == 0);
        let served = served.count();
        stop.store(true, Ordering::Relaxed);
        // Twenty at once for 7 places, from elsewhere.
        assert!(served >= 8, "{served} of 10");
    });
}

#[test]
fn one_user_does_not_take_the_places_of_others() {
    let vault = small();
    vault.run(&["identity", "create", "app", "--save", "app.toml"], b"").expect(0);
    let app = context(&vault, "app.toml");
    let mut many: Vec<Raw> = (0..30).map(|_| Raw::connect(&app)).collect();
    // 46 places for known callers, half of them for one: the first ones have left.
    assert!(is_ended(&mut many[0]));
    let mut raw = Raw::connect(&vault.context());
    assert_eq!(raw.ask("GET /api/v1/status", b"").status, 200);
    assert_eq!(many[29].ask("GET /api/v1/status", b"").status, 403);
}

#[test]
fn a_removed_identity_loses_its_connections() {
    let vault = Vault::start();
    vault.run(&["identity", "create", "gone", "--save", "gone.toml"], b"").expect(0);
    vault.run(&["identity", "create", "stays", "--save", "stays.toml"], b"").expect(0);
    let (gone, stays) = (context(&vault, "gone.toml"), context(&vault, "stays.toml"));
    let (mut silent, mut asked) = (Raw::connect(&gone), Raw::connect(&gone));
    let mut other = Raw::connect(&stays);
    for raw in [&mut asked, &mut other] {
        assert_eq!(raw.ask("GET /metrics", b"").status, 200);
    }
    vault.run(&["identity", "rm", "gone"], b"").expect(0);
    assert!(is_ended(&mut silent) && is_ended(&mut asked));
    assert_eq!(other.ask("GET /metrics", b"").status, 200);
}

#[test]
fn a_head_that_is_too_large_has_its_line() {
    let vault = Vault::start();
    for (raw, most) in [
        (Raw::connect(&vault.context()), 64 << 10),
        (Raw::open(&vault.context(), None, b"http/1.1").unwrap(), 8 << 10),
    ] {
        let mut raw = raw;
        let long = "x".repeat(2 * most);
        _ = raw.send(format!("GET / HTTP/1.1\r\nHost: v\r\nX: {long}\r\n\r\n").as_bytes());
        let detail = format!("the head of a request is larger than {most} bytes");
        let line = vault.audited(|line| line["detail"] == detail.as_str());
        assert_eq!(
            (line["action"].as_str(), line["result"].as_str()),
            (Some("request"), Some("too_large"))
        );
    }
}
