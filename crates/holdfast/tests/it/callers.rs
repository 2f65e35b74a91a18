//! Who calls: API keys and client certificates of all kinds, and what needs none.

use std::net::UdpSocket;

use holdfast_client::{ApiKey, Context};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::raw::{Pair, Raw};
use crate::run::{Server, free_address, holdfast};
use crate::vault::{Vault, dev, soon};

#[test]
fn a_context_that_others_may_read_is_used_with_a_word() {
    use std::os::unix::fs::PermissionsExt as _;
    let vault = Vault::start();
    let path = vault.path().join("demo/context.toml");
    let told = |mode: u32, args: &[&str]| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        vault.run(args, b"").expect(0).err
    };
    assert_eq!(told(0o600, &["key", "ls"]), "");
    for mode in [0o644, 0o640, 0o620] {
        let said = told(mode, &["key", "ls"]);
        assert!(said.contains("API key: chmod 600 demo/context.toml"), "{mode:o}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let said = told(0o644, &["key", "ls", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(said["notes"][0].as_str().unwrap().contains("chmod 600"), "{said}");
    assert_eq!(told(0o644, &["key", "ls", "--quiet"]), "");
}

#[test]
fn api_keys_that_do_not_fit_are_refused() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    let home = vault.path();
    let write = |name: &str, context: &Context| {
        std::fs::write(home.join(name), context.to_text().unwrap().as_bytes()).unwrap();
    };
    // Unknown here: somebody's own, or another vault's.
    let mine = vault.context();
    let stranger = ApiKey::generate().unwrap();
    write("stranger.toml", &Context { api_key: stranger.expose_text(), ..mine.clone() });
    let unknown = vault.with("stranger.toml", &["key", "ls"], b"").expect(11);
    let identity = stranger.identity().unwrap().to_string();
    assert!(unknown.err.contains(&identity) && unknown.err.contains("unknown"), "{}", unknown.err);
    assert!(unknown.err.contains("holdfast identity create"), "{}", unknown.err);
    vault.audited(|line| line["identity"] == identity.as_str() && line["result"] == "refused");

    // Another vault's context here: this server is not whom it knows.
    let listen = free_address();
    let _other = dev(home, "other", &listen);
    let other = Context::read(&home.join("other/context.toml")).unwrap();
    let crossed = Context { server: mine.server.clone(), ..other.clone() };
    write("crossed.toml", &crossed);
    let refused = vault.with("crossed.toml", &["key", "ls"], b"").expect(25);
    assert!(refused.err.contains("another vault"), "{}", refused.err);
    let borrowed = Context { api_key: other.api_key.clone(), ..mine.clone() };
    write("borrowed.toml", &borrowed);
    vault.with("borrowed.toml", &["key", "ls"], b"").expect(11);

    // No API key at all.
    write("bare.toml", &Context { api_key: String::new().into(), ..mine.clone() });
    let bare = vault.with("bare.toml", &["key", "ls"], b"").expect(11);
    assert!(bare.err.contains("client certificate") && bare.err.contains("HOLDFAST_API_KEY"));

    // What is none is refused before anything is sent, and never shown.
    let text = stranger.expose_text();
    for bad in ["k1:", "k2:AAAA", &text[..45], &format!("{}A", &*text), &text[3..], "k1:not base64"]
    {
        write("bad.toml", &Context { api_key: bad.to_owned().into(), ..mine.clone() });
        let refused = vault.with("bad.toml", &["key", "ls"], b"").expect(13);
        assert!(refused.err.contains("not an API key"), "{}", refused.err);
        assert!(bad.len() < 8 || !refused.err.contains(bad), "{}", refused.err);
        std::fs::remove_file(home.join("bad.toml")).unwrap();
    }

    // Without the right.
    vault.run(&["policy", "set", "p", "--allow", "key.encrypt:orders"], b"").expect(0);
    vault.run(&["identity", "create", "app", "--policy", "p", "--save", "app.toml"], b"").expect(0);
    vault.with("app.toml", &["key", "encrypt", "orders"], b"x").expect(0);
    let refused = vault.with("app.toml", &["key", "rotate", "orders"], b"").expect(11);
    assert!(refused.err.contains("app may not key.rotate default/orders"), "{}", refused.err);
    assert!(refused.err.contains("'key.rotate:orders'"), "{}", refused.err);
    let admin = vault.with("app.toml", &["identity", "ls"], b"").expect(11);
    assert!(admin.err.contains("administrator"), "{}", admin.err);
    vault.audited(|line| line["action"] == "identity.list" && line["result"] == "refused");
}

/// A certificate of its own making for `key`, valid in these years.
fn certificate(key: &rcgen::KeyPair, from: i32, to: i32) -> Pair {
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let certificate = params.self_signed(key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    (certificate.der().clone(), key)
}

fn of_api_key(context: &Context) -> rcgen::KeyPair {
    let key: ApiKey = context.api_key.parse().ok().unwrap();
    let (_, PrivateKeyDer::Pkcs8(der)) = key.certificate().unwrap() else { panic!("PKCS #8") };
    rcgen::KeyPair::try_from(&PrivateKeyDer::Pkcs8(der)).unwrap()
}

/// A client certificate is a wrapping for a key: dates and kind of key do not matter, the proof that the
/// key is there does.
#[test]
fn only_the_key_in_a_client_certificate_counts() {
    let vault = Vault::start();
    let context = vault.context();
    let status = |pair: Option<Pair>| {
        let mut raw = Raw::open(&context, pair, b"http/1.1").unwrap();
        raw.ask("GET /api/v1/status", b"")
    };
    let own = of_api_key(&context);
    for (from, to) in [(2000, 9999), (1970, 1971), (2500, 2501)] {
        assert_eq!(status(Some(certificate(&own, from, to))).status, 200, "{from} to {to}");
    }
    let strangers = [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256];
    for kind in strangers {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let reply = status(Some(certificate(&key, 2000, 9999)));
        let failure = reply.failure();
        assert_eq!((reply.status, failure.exit), (403, 11));
        assert!(failure.message.contains("is unknown to this vault"), "{}", failure.message);
        // Whoever is registered may come with any kind of key.
        let identity = failure.message.split(' ').find(|word| word.starts_with("h1:")).unwrap();
        let name = identity[3..9].replace('-', "x");
        let register =
            ["identity", "create", &name, "--privilege", "admin", "--identity", identity];
        vault.run(&register, b"").expect(0);
        assert_eq!(status(Some(certificate(&key, 2000, 9999))).status, 200);
    }
    let reply = status(None);
    let failure = reply.failure();
    assert_eq!((reply.status, failure.exit), (403, 11));
    assert!(failure.message.contains("client certificate is needed"), "{}", failure.message);
    assert!(failure.next.unwrap().contains("HOLDFAST_API_KEY"));
    vault.audited(|line| line["identity"].is_null() && line["result"] == "refused");

    // Somebody's certificate without their key: the handshake fails.
    let (theirs, _) = certificate(&own, 2000, 9999);
    let (_, mine) =
        certificate(&rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), 2000, 9999);
    assert!(refused(&context, theirs, mine), "a key that is not the certificate's");
    let garbage = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]);
    let (_, mine) = certificate(&own, 2000, 9999);
    assert!(refused(&context, garbage, mine), "a certificate that is none");
    vault.run(&["status"], b"").expect(0);
}

/// Whether the server ends the connection of a client that presents `certificate` and signs with `key`.
fn refused(
    context: &Context,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> bool {
    let Ok(mut raw) = Raw::unchecked(context, certificate, &key) else { return true };
    // In TLS 1.3 the client has finished before the server judges.
    let sent = raw.send(b"GET /health/live HTTP/1.1\r\nHost: v\r\n\r\n");
    sent.is_err() || !matches!(raw.receive(1), Ok(bytes) if !bytes.is_empty())
}

#[test]
fn health_needs_no_identity_and_metrics_only_from_elsewhere() {
    // An address of this host that is not loopback; nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let port = free_address().rsplit_once(':').unwrap().1.to_owned();
    let home = tempfile::tempdir().unwrap();
    let _server = dev(home.path(), "demo", &format!("0.0.0.0:{port}"));
    let mut context = Context::read(&home.path().join("demo/context.toml")).unwrap();
    let get = |context: &Context, pair: Option<Pair>, path: &str| {
        let mut raw = Raw::open(context, pair, b"http/1.1").unwrap();
        raw.ask(&format!("GET {path}"), b"")
    };
    context.server = format!("https://127.0.0.1:{port}");
    assert_eq!(get(&context, None, "/health/live").body, b"live\n");
    assert_eq!(get(&context, None, "/health/ready").body, b"ready\n");
    let metrics = get(&context, None, "/metrics");
    assert_eq!(metrics.status, 200);
    assert!(String::from_utf8(metrics.body).unwrap().contains("holdfast_"));
    let stranger = || Some(ApiKey::generate().unwrap().certificate().unwrap());
    assert_eq!(get(&context, stranger(), "/metrics").status, 200, "whoever it is");

    let Some(outside) = outside.ok().filter(|outside| !outside.ip().is_loopback()) else {
        return holdfast_e2e::not_tested("this host has no other address to be called at");
    };
    // The server's certificate has every address of this host where it listens on all.
    let there = format!("{}:{port}", outside.ip());
    let ls = ["--context", "there.toml", "enclave", "ls", "--quiet"];
    let at = |server: &str| {
        let text = Context { server: server.to_owned(), ..context.clone() }.to_text().unwrap();
        std::fs::write(home.path().join("there.toml"), text.as_bytes()).unwrap();
        holdfast(home.path(), &ls, b"")
    };
    assert_eq!(at(&format!("https://{there}")).expect(0).text(), "default");
    // By an address that is none of its own it is the same vault, under a name that it was not told of.
    let misnamed = at(&format!("https://127.0.0.2:{port}")).expect(13);
    assert!(
        misnamed.err.contains("has no name 127.0.0.2; it has: ")
            && !misnamed.err.contains("another vault")
    );
    assert!(misnamed.err.contains(&outside.ip().to_string()), "{}", misnamed.err);
    let known = ApiKey::generate().unwrap();
    let register =
        ["identity", "create", "prometheus", "--identity", &known.identity().unwrap().to_string()];
    let args = ["--context", "demo/context.toml"].into_iter().chain(register).collect::<Vec<_>>();
    holdfast(home.path(), &args, b"").expect(0);
    drop(_server);
    let _server =
        Server::start(home.path(), &["server", "--dev", "--data", "demo", "--listen", &there]);
    soon(|| std::net::TcpStream::connect(&there).ok()).expect("it serves");
    context.server = format!("https://{there}");
    assert_eq!(get(&context, None, "/health/live").body, b"live\n");
    assert_eq!(get(&context, None, "/health/ready").body, b"ready\n");
    let refused = get(&context, None, "/metrics");
    assert_eq!((refused.status, refused.failure().exit), (403, 11));
    assert_eq!(get(&context, stranger(), "/metrics").status, 403);
    assert_eq!(get(&context, Some(known.certificate().unwrap()), "/metrics").status, 200);
}

#[test]
fn a_client_waits_for_a_server_that_is_starting() {
    let vault = Vault::start();
    let Vault { home, listen, mut server } = vault;
    server.kill();
    let waiting = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            holdfast(
                home.path(),
                &["--context", "demo/context.toml", "enclave", "ls", "--quiet"],
                b"",
            )
        });
        // It asks once and finds nobody. It waits for ten seconds in all, which the start may need.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let start = ["server", "--dev", "--data", "demo", "--listen", &listen];
        let _server = Server::start(home.path(), &start);
        client.join().unwrap()
    });
    assert_eq!(waiting.expect(0).text(), "default");
    // Where nobody starts it, the client says so.
    let nobody =
        holdfast(home.path(), &["--context", "demo/context.toml", "status"], b"").expect(20);
    assert!(nobody.err.contains("no answer from https://127.0.0.1:"), "{}", nobody.err);
    assert!(nobody.err.contains("holdfast server"), "{}", nobody.err);
}

/// Memory is lent to those whom the vault knows: a stranger is answered before the body comes.
#[test]
fn a_strangers_large_body_is_not_waited_for() {
    let vault = Vault::start();
    let context = vault.context();
    let stranger = || ApiKey::generate().unwrap().certificate().unwrap();
    let post = "POST /api/v1/decrypt HTTP/1.1\r\nHost: v";
    for (pair, length) in [
        (Some(stranger()), "Content-Length: 1000000"),
        (Some(stranger()), "Transfer-Encoding: chunked"),
        (None, "Content-Length: 1000000"),
    ] {
        let mut raw = Raw::open(&context, pair, b"http/1.1").unwrap();
        raw.send(format!("{post}\r\n{length}\r\n\r\n").as_bytes()).unwrap();
        let reply = raw.reply().unwrap();
        assert_eq!((reply.status, reply.failure().exit), (403, 11), "{length}");
    }
    vault.audited(|line| line["action"] == "key.decrypt" && line["result"] == "refused");
}

/// `cargo test --profile ci -p holdfast -- --ignored`
#[test]
#[ignore = "it takes the server a minute to let go"]
fn a_silent_stranger_is_let_go_and_a_silent_friend_is_not() {
    let vault = Vault::start();
    let context = vault.context();
    let open = |alpn: &[u8]| Raw::open(&context, None, alpn).unwrap();
    let strangers = [open(b"http/1.1"), open(b"h2")];
    let own = of_api_key(&context);
    let mut friend = Raw::open(&context, Some(certificate(&own, 2000, 9999)), b"http/1.1").unwrap();
    for mut stranger in strangers {
        // HTTP/2 says goodbye first.
        while stranger.receive(4096).is_ok_and(|said| !said.is_empty()) {}
    }
    assert_eq!(friend.ask("GET /health/live", b"").status, 200);
}
