//! Requests that fit nothing: each gets a failure in JSON, each is recorded, and the vault goes on.

use crate::raw::{Raw, Reply};
use crate::vault::Vault;

const KEYS: &str = "/api/v1/enclaves/default/keys";
const MIB: usize = 1 << 20;

/// A vault with the key `orders`, and a connection of its administrator's.
fn vault() -> (Vault, Raw) {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    let raw = Raw::connect(&vault.context());
    (vault, raw)
}

#[track_caller]
fn failed(reply: &Reply, status: u16, code: &str, message: &str) {
    let failure = reply.failure();
    assert_eq!((reply.status, failure.code.as_str()), (status, code), "{}", failure.message);
    assert!(failure.message.contains(message), "{message:?} is not in {:?}", failure.message);
    assert!(failure.message.len() < 1000 && !failure.message.chars().any(char::is_control));
}

#[test]
fn paths_methods_and_queries_that_fit_nothing_are_refused_and_recorded() {
    let (vault, mut raw) = vault();
    let long = "n".repeat(5000);
    let recorded = |line: &str, resource: &str, result: &str| {
        let start: String = resource.chars().take(900).collect();
        let found = vault.audited(|entry| {
            entry["resource"].as_str().is_some_and(|text| text.starts_with(&start))
                && entry["action"] != "key.create"
        });
        assert_eq!(found["result"], result, "{line}");
        assert!(found["identity"].as_str().unwrap().starts_with("h1:"), "{found}");
        assert!(found.to_string().len() < 8192, "{line}");
    };
    for (line, status, code, message) in [
        ("GET /", 404, "not_found", "no such resource: /"),
        ("GET /api/v1/nothing", 404, "not_found", "/api/v1/nothing"),
        ("GET /api/v1//enclaves", 404, "not_found", "no such resource"),
        ("GET /api/v1/../v1/enclaves", 404, "not_found", "no such resource"),
        ("POST /api/v2/decrypt", 404, "not_found", "/api/v2/decrypt"),
        (&format!("GET {KEYS}/a/b"), 404, "not_found", "no such resource"),
        (&format!("GET {KEYS}/"), 404, "not_found", "no such resource"),
        (&format!("GET /{long}"), 404, "not_found", "no such resource: /nnn"),
        (&format!("GET {KEYS}/%ff"), 400, "bad_input", "path cannot be read"),
        ("PATCH /api/v1/enclaves", 405, "bad_input", "does not take PATCH"),
        ("GET /api/v1/decrypt", 405, "bad_input", "does not take GET"),
        ("PURGE /api/v1/status", 405, "bad_input", "does not take PURGE"),
        ("POST /health/live", 405, "bad_input", "does not take POST"),
        ("GET /api/v1/status?verbose=1", 400, "bad_input", "takes no query"),
        ("GET /health/ready?now", 400, "bad_input", "takes no query"),
        ("GET /health/live?now", 400, "bad_input", "takes no query"),
        ("GET /metrics?level=info", 400, "bad_input", "takes no query"),
        (&format!("POST {KEYS}?name=a"), 400, "bad_input", "takes no query"),
        (&format!("GET {KEYS}?limit=x"), 400, "bad_input", "query cannot be read"),
        (&format!("GET {KEYS}?limit=-1"), 400, "bad_input", "query cannot be read"),
        (&format!("GET {KEYS}?limit=4294967296"), 400, "bad_input", "query cannot be read"),
        (&format!("GET {KEYS}?limit=1&limit=2"), 400, "bad_input", "query cannot be read"),
        (&format!("GET {KEYS}?what=ever"), 400, "bad_input", "query cannot be read"),
    ] {
        failed(&raw.ask(line, b""), status, code, message);
        recorded(line, line, code);
    }
    // What reads as a path and is no name is recorded under what was asked for.
    for (line, resource, message) in [
        (format!("GET {KEYS}/a%2Fb"), "a/b", "cannot contain '/'"),
        (format!("GET {KEYS}/a%00b"), "a\0b", "cannot contain '\\0'"),
        (format!("GET {KEYS}/%1b%5B2J"), "\u{1b}[2J", "cannot contain '\\u{1b}'"),
        (format!("GET {KEYS}/%C2%9B2J"), "\u{9b}2J", "cannot contain '\\u{9b}'"),
        (format!("GET {KEYS}/na%C3%AFve"), "naïve", "cannot contain 'ï'"),
        (format!("GET {KEYS}/%2E%2E"), "..", "cannot begin with '.'"),
        (format!("GET {KEYS}/-rf"), "-rf", "cannot begin with '-'"),
        (format!("GET {KEYS}/{long}"), &long, "5000 bytes is too long"),
        (format!("GET {KEYS}?after=a%2Fb%20c"), "a/b c", "the key's name cannot contain '/'"),
        ("GET /api/v1/enclaves/%20/keys".to_owned(), " ", "the enclave's name cannot contain ' '"),
        (format!("GET {KEYS}?limit=0"), "default", "1 to 1000"),
        (format!("GET {KEYS}?limit=1001"), "default", "1 to 1000"),
        ("GET /api/v1/identities/h1:x".to_owned(), "h1:x", "identity"),
        ("GET /api/v1/custodians/a%2Fc".to_owned(), "a/c", "custodian"),
        ("GET /api/v1/backups/zz".to_owned(), "zz", "id"),
        ("GET /api/v1/backups/zz9/tar".to_owned(), "zz9", "id"),
    ] {
        failed(&raw.ask(&line, b""), 400, "bad_input", message);
        recorded(&line, resource, "bad_input");
    }
    let text = std::fs::read_dir(vault.path().join("demo/data/audit")).unwrap();
    let printable = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
    for file in text {
        assert!(std::fs::read(file.unwrap().path()).unwrap().iter().all(printable));
    }
    vault.run(&["key", "show", "orders"], b"").expect(0);
}

/// The router and the way around it lead to the same.
#[test]
fn operations_are_the_same_however_their_paths_are_spelt() {
    let (vault, mut raw) = vault();
    let spellings = |path: &str| {
        [path.to_owned(), path.replace("/default/", "/%64efault/"), format!("{path}?")]
    };
    let plain = br#"{"plaintext":"aGVsbG8=","context":"Y3R4"}"#;
    for path in spellings(&format!("POST {KEYS}/orders/encrypt")) {
        let sealed = raw.ask(&path, plain);
        assert_eq!(sealed.status, 200, "{path}");
        let sealed: holdfast_api::wire::Encrypted = serde_json::from_slice(&sealed.body).unwrap();
        let asked = holdfast_api::wire::Decrypt {
            ciphertext: sealed.ciphertext,
            context: holdfast_api::wire::Base64(b"ctx".to_vec()),
        };
        let asked = serde_json::to_vec(&asked).unwrap();
        let by_ciphertext = ["POST /api/v1/decrypt", "POST /api/v1/decrypt?"];
        let by_name = spellings(&format!("POST {KEYS}/orders/decrypt"));
        for path in by_name.iter().map(String::as_str).chain(by_ciphertext) {
            let opened = raw.ask(path, &asked);
            let text = String::from_utf8(opened.body).unwrap();
            assert!(
                opened.status == 200 && text.contains(r#""plaintext":"aGVsbG8=""#),
                "{path}: {text}"
            );
        }
    }
    for path in spellings(&format!("POST {KEYS}/orders/generate")) {
        assert_eq!(raw.ask(&path, b"{}").status, 200, "{path}");
    }
    let long = "n".repeat(5000);
    for (name, operation, body) in [
        ("-rf", "encrypt", &plain[..]),
        ("..", "encrypt", plain),
        (&long, "encrypt", plain),
        ("nothing", "encrypt", plain),
        ("orders", "encrypt", b"{}"),
        ("orders", "encrypt", b""),
        ("orders", "decrypt", plain),
        ("orders", "generate", b"[]"),
        ("nothing", "generate", b"{}"),
    ] {
        let replies: Vec<_> = spellings(&format!("POST {KEYS}/{name}/{operation}"))
            .iter()
            .map(|path| raw.ask(path, body))
            .map(|reply| (reply.status, reply.failure().code, reply.failure().message))
            .collect();
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
        assert!(replies[0].0 >= 400);
    }
    failed(&raw.ask("POST /api/v1/decrypt?a=b", plain), 400, "bad_input", "takes no query");
    vault.run(&["key", "show", "orders"], b"").expect(0);
}

#[test]
fn bodies_that_do_not_fit_are_refused_and_recorded() {
    let (vault, mut raw) = vault();
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let field = format!("{{\"name\":\"a\",\"{}\":1}}", "f".repeat(10_000));
    let named: [(&[u8], &str); 20] = [
        (b"", "the request has no body"),
        (b"{}", "missing field `name`"),
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"{\"name\":\"a\"} {}", "not JSON: trailing characters"),
        (b"\xef\xbb\xbf{\"name\":\"a\"}", "not JSON"),
        (b"{\"name\":\"\xff\"}", "not JSON"),
        (b"{\"name\":\"\\ud800\"}", "not JSON"),
        (b"{\"name\":\"a\x01\"}", "not JSON"),
        (b"{'name':'a'}", "not JSON"),
        (b"null", "does not fit"),
        (b"17", "does not fit"),
        (b" [\"a\"]", "does not fit: it is a JSON array"),
        (b"{\"name\":1}", "does not fit: invalid type"),
        (b"{\"name\":null}", "does not fit: invalid type"),
        (b"{\"name\":[\"a\"]}", "does not fit: invalid type"),
        (b"{\"name\":\"a\",\"name\":\"b\"}", "duplicate field `name`"),
        (b"{\"name\":\"a\",\"nmae\":\"b\"}", "unknown field, expected `name`"),
        (field.as_bytes(), "unknown field, expected `name`"),
        (&deep, "does not fit"),
    ];
    for (body, message) in named {
        failed(&raw.ask(&format!("POST {KEYS}"), body), 400, "bad_input", message);
        let why = message.split(':').next().unwrap();
        vault.audited(|line| {
            line["action"] == "key.create"
                && line["result"] == "bad_input"
                && line["detail"].as_str().is_some_and(|text| text.contains(why))
        });
    }
    // A number where text belongs may be somebody's plaintext.
    let card = raw.ask(&format!("POST {KEYS}/orders/encrypt"), b"{\"plaintext\":4111111111111111}");
    failed(&card, 400, "bad_input", "invalid type: integer, expected base64");
    assert!(!card.failure().message.contains("4111111"), "{}", card.failure().message);
    vault.audited(|line| {
        let why = line["detail"].as_str().unwrap_or_default();
        assert!(!why.contains("4111111"), "{line}");
        line["action"] == "key.encrypt" && why.contains("invalid type: integer")
    });
    let names = |body: &str, message| (body.to_owned(), message);
    for (body, message) in [
        names(r#"{"name":""}"#, "the key's name is empty"),
        names(r#"{"name":"a/b"}"#, "cannot contain '/'"),
        names(r#"{"name":"a\nb"}"#, "cannot contain '\\n'"),
        names(r#"{"name":"\u202e"}"#, "cannot contain '\\u{202e}'"),
        names(r#"{"name":"🔑"}"#, "cannot contain '🔑'"),
        names(r#"{"name":"."}"#, "cannot begin with '.'"),
        names(r#"{"name":"-a"}"#, "cannot begin with '-'"),
        names(&format!("{{\"name\":\"{}\"}}", "n".repeat(81)), "81 bytes is too long"),
    ] {
        failed(&raw.ask(&format!("POST {KEYS}"), body.as_bytes()), 400, "bad_input", message);
    }
    for bad in ["YQ", "YQ=", "Y", "YQ==\\n", " YQ==", "-_8=", "YR==", "YQ==YQ==", "é", "Y\\u0000=="]
    {
        let body = format!("{{\"plaintext\":\"{bad}\"}}");
        let reply = raw.ask(&format!("POST {KEYS}/orders/encrypt"), body.as_bytes());
        failed(&reply, 400, "bad_input", "bad base64");
        assert!(reply.failure().next.unwrap().contains("base64 with padding"));
    }
    for (line, body, message) in [
        ("POST /api/v1/backups", r#"{"to":"moon"}"#, "\"vault\" or \"client\""),
        (
            "POST /api/v1/backups",
            r#"{"to":"vault","custodians":["a/b"]}"#,
            "the custodian's name cannot contain '/'",
        ),
        (
            "POST /api/v1/identities",
            r#"{"name":"a","identity":"h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","privilege":"user","enclave":"default","policy":"a/b"}"#,
            "the policy's name cannot contain '/'",
        ),
        (
            "PUT /api/v1/enclaves/p%20q/policies/p",
            r#"{"allow":[]}"#,
            "the enclave's name cannot contain ' '",
        ),
        ("PUT /api/v1/enclaves/default/policies/p", "{}", "what it allows or what it denies"),
        ("PUT /api/v1/enclaves/default/policies/p", "", "the request has no body"),
        ("POST /api/v1/enclaves/default/keys/orders/generate", "", "the request has no body"),
        ("POST /api/v1/enclaves/default/keys/orders/undelete", "", "the request has no body"),
        ("POST /api/v1/backups", "", "the request has no body"),
        (
            "POST /api/v1/identities",
            r#"{"name":"a","identity":"x","privilege":"root"}"#,
            "privilege",
        ),
        (
            "POST /api/v1/identities",
            r#"{"name":"a","identity":"x","privilege":"user"}"#,
            "identity",
        ),
        ("POST /api/v1/custodians", r#"{"certificate":"AAAA"}"#, "certificate"),
        ("POST /api/v1/custodians", r#"{"name":"a/b","certificate":"AAAA"}"#, "cannot contain '/'"),
        (
            "PUT /api/v1/enclaves/default/policies/p",
            r#"{"allow":["key.encrypt"],"deny":[]}"#,
            "key.encrypt",
        ),
        (
            "PUT /api/v1/enclaves/default/policies/p",
            r#"{"allow":["request:*"],"deny":[]}"#,
            "request",
        ),
        ("PUT /api/v1/enclaves/default/policies/p", r#"{"allow":"*","deny":[]}"#, "invalid type"),
        (
            "PUT /api/v1/enclaves/default/policies/a%2Fb",
            r#"{"allow":[],"deny":[]}"#,
            "cannot contain '/'",
        ),
        ("POST /api/v1/enclaves", r#"{"name":".."}"#, "cannot begin with '.'"),
        ("POST /api/v1/drills", r#"{"archive_id":"x"}"#, "missing field"),
    ] {
        failed(&raw.ask(line, body.as_bytes()), 400, "bad_input", message);
    }
    assert_eq!(vault.run(&["key", "ls", "--quiet"], b"").expect(0).text(), "orders");
    assert_eq!(vault.run(&["policy", "ls", "--quiet"], b"").expect(0).text(), "");
}

/// What callers send by mistake may be a secret; the log and the answers repeat none.
#[test]
fn what_was_a_secret_in_the_wrong_place_is_not_repeated() {
    let (vault, mut raw) = vault();
    let key = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    for (line, body) in [
        (format!("POST {KEYS}/orders/encrypt"), r#""attack at dawn""#),
        (format!("POST {KEYS}/orders/encrypt"), r#"{"plaintext":"attack at dawn"}"#),
        (format!("POST {KEYS}/orders/encrypt"), r#"{"plaintext":["attack at dawn"]}"#),
        ("POST /api/v1/drills".to_owned(), r#"{"versions":"attack at dawn"}"#),
        (format!("GET /api/v1/identities/{key}"), ""),
        (format!("GET {KEYS}/{key}"), ""),
        (format!("GET /{key}"), ""),
    ] {
        let reply = raw.ask(&line, body.as_bytes());
        let failure = reply.failure();
        assert!([400, 404].contains(&reply.status), "{line}");
        assert!(!failure.message.contains("dawn"), "{}", failure.message);
    }
    vault.audited(|line| line["resource"] == "GET /k1:...");
    let log = serde_json::to_string(&vault.audit()).unwrap();
    assert!(!log.contains("dawn") && !log.contains(&key[3..]), "{log}");
}

#[test]
fn a_call_that_takes_nothing_refuses_what_it_would_not_read() {
    let (vault, mut raw) = vault();
    vault.run(&["key", "create", "turned"], b"").expect(0);
    let rotate = format!("POST {KEYS}/turned/rotate");
    for body in [&br#"{"version":7}"#[..], b"garbage{", b"[]"] {
        assert_eq!(raw.ask(&rotate, body).status, 400);
    }
    for body in [&b""[..], b"{}"] {
        assert_eq!(raw.ask(&rotate, body).status, 200);
    }
    let shown = vault.run(&["key", "show", "turned", "--json"], b"").expect(0).text();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["version"], 3);
}

#[test]
fn what_is_sent_as_something_else_is_refused() {
    let (_vault, mut raw) = vault();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "\u{e9}"]
    {
        let body = br#"{"name":"typed"}"#;
        let head = format!(
            "POST {KEYS} HTTP/1.1\r\nHost: v\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        raw.send(&[head.as_bytes(), body].concat()).unwrap();
        let reply = raw.reply().unwrap();
        failed(&reply, 400, "bad_input", "content type is not JSON");
        assert!(reply.failure().next.unwrap().contains("application/json"));
    }
    let head = format!("POST {KEYS} HTTP/1.1\r\nHost: v\r\nContent-Length: 16\r\n\r\n");
    raw.send(&[head.as_bytes(), br#"{"name":"typed"}"#].concat()).unwrap();
    assert_eq!(raw.reply().unwrap().status, 200, "without a type, as from a shell");
}

#[test]
fn bodies_that_are_too_large_are_refused_and_recorded() {
    let (vault, mut raw) = vault();
    let encrypt = format!("POST {KEYS}/orders/encrypt");
    let large = |size: usize| format!("{{\"plaintext\":\"{}\"}}", "A".repeat(size)).into_bytes();
    // The connection lives on where the rest is read and thrown away.
    for body in [large(2 * MIB), large(2 * MIB), large(9 * MIB)] {
        let reply = raw.ask(&encrypt, &body);
        failed(&reply, 413, "too_large", "larger than 2097152 bytes");
        assert!(reply.failure().next.unwrap().contains("key generate"));
    }
    vault.audited(|line| line["action"] == "key.encrypt" && line["result"] == "too_large");
    // Largest plaintext 1 MiB: over it, the body still fits.
    let reply = raw.ask(&encrypt, &large((MIB + 3) / 3 * 4));
    failed(&reply, 413, "too_large", "1048576");
    assert!(reply.failure().next.unwrap().contains("key generate"));

    let chunked = format!("{encrypt} HTTP/1.1\r\nHost: v\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw.send(chunked.as_bytes()).unwrap();
    for _ in 0..48 {
        raw.send(b"10000\r\n").unwrap();
        raw.send(&[b'A'; 65536]).unwrap();
        raw.send(b"\r\n").unwrap();
    }
    raw.send(b"0\r\n\r\n").unwrap();
    failed(&raw.reply().unwrap(), 413, "too_large", "larger than 2097152 bytes");

    // A size that nobody sends is refused before a byte of it.
    let head = format!("{encrypt} HTTP/1.1\r\nHost: v\r\nContent-Length: 1099511627776\r\n\r\n");
    raw.send(head.as_bytes()).unwrap();
    failed(&raw.reply().unwrap(), 413, "too_large", "larger than 2097152 bytes");
    // What breaks off is recorded, and nothing is done.
    let mut raw = Raw::connect(&vault.context());
    let head = format!("POST {KEYS} HTTP/1.1\r\nHost: v\r\nContent-Length: 17\r\n\r\n");
    raw.send(&[head.as_bytes(), br#"{"name":"torn""#].concat()).unwrap();
    drop(raw);
    vault.run(&["key", "show", "torn"], b"").expect(10);
    vault.run(&["key", "encrypt", "orders"], &vec![0; MIB]).expect(0);
}

#[test]
fn to_ask_for_the_head_of_a_tar_does_not_take_it() {
    let (vault, mut raw) = vault();
    let begun = raw.ask("POST /api/v1/backups", br#"{"to":"client"}"#);
    assert_eq!(begun.status, 200);
    let begun: serde_json::Value = serde_json::from_slice(&begun.body).unwrap();
    let job = format!("/api/v1/backups/{}", begun["job_id"].as_str().unwrap());

    let mut head = Raw::connect(&vault.context());
    head.send(format!("HEAD {job}/tar HTTP/1.1\r\nHost: vault\r\n\r\n").as_bytes()).unwrap();
    let answer = String::from_utf8(head.receive(1024).unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nallow: get\r\n"), "{answer}");

    let state = raw.ask(&format!("GET {job}"), b"");
    let state: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    assert_eq!(state["state"], "waiting");
    // Where it is to be had it does not say how long it is: it is made meanwhile.
    raw.send(format!("GET {job}/tar HTTP/1.1\r\nHost: vault\r\n\r\n").as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&raw.receive(1024).unwrap()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let (_vault, mut raw) = vault();
    for (line, allow) in [
        ("PATCH /api/v1/enclaves", "post,get,head"),
        ("GET /api/v1/decrypt", "post"),
        ("PUT /api/v1/status", "get,head"),
        ("POST /api/v1/backups/00ff/tar", "get"),
    ] {
        let reply = raw.ask(line, b"");
        failed(&reply, 405, "bad_input", "does not take");
        assert!(reply.head.contains(&format!("\r\nallow: {allow}\r\n")), "{line}: {}", reply.head);
        assert!(reply.failure().next.unwrap().contains("Allow"), "{line}");
    }
}

#[test]
fn a_page_has_as_many_keys_as_were_asked_for() {
    let (vault, mut raw) = vault();
    vault.run(&["key", "create", "bills"], b"").expect(0);
    let mut page = |query: &str| -> serde_json::Value {
        let reply = raw.ask(&format!("GET {KEYS}{query}"), b"");
        assert_eq!(reply.status, 200, "{query}");
        serde_json::from_slice(&reply.body).unwrap()
    };
    assert_eq!(page("?limit=1")["next"], "bills");
    assert_eq!(page("?limit=1&after=bills")["keys"][0]["name"], "orders");
    for query in ["?limit=1000", "?limit=2", "?", ""] {
        let all = page(query);
        assert_eq!(all["keys"].as_array().unwrap().len(), 2, "{query}");
        assert!(all["next"].is_null(), "{query}");
    }
}

#[test]
fn a_backup_that_was_given_up_says_so_as_often_as_it_is_asked() {
    let (_vault, mut raw) = vault();
    let begun = raw.ask("POST /api/v1/backups", br#"{"to":"client"}"#);
    let begun: serde_json::Value = serde_json::from_slice(&begun.body).unwrap();
    let job = format!("/api/v1/backups/{}", begun["job_id"].as_str().unwrap());
    for line in [format!("DELETE {job}"), format!("DELETE {job}"), format!("GET {job}")] {
        let reply = raw.ask(&line, b"");
        assert_eq!(reply.status, 200, "{line}: {}", String::from_utf8_lossy(&reply.body));
        let state: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let told = (&state["state"], &state["code"]);
        assert_eq!(told, (&"failed".into(), &"refused".into()), "{line}");
    }
    for line in [format!("GET {job}/tar"), format!("GET {job}/sidecars")] {
        let reply = raw.ask(&line, b"");
        failed(&reply, 403, "refused", "was given up before it was read");
        assert!(reply.failure().next.unwrap().contains("holdfast backup"), "{line}");
    }
}

#[test]
fn the_metrics_count_what_the_status_says() {
    let (_vault, mut raw) = vault();
    let status: serde_json::Value =
        serde_json::from_slice(&raw.ask("GET /api/v1/status", b"").body).unwrap();
    let metrics = String::from_utf8(raw.ask("GET /metrics", b"").body).unwrap();
    let warnings = status["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty());
    for level in ["info", "warning", "critical"] {
        let count = warnings.iter().filter(|one| one["level"] == level).count();
        let line = format!("\nholdfast_warnings{{level=\"{level}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line:?} is not in\n{metrics}");
    }
    let counted = &status["node"]["audit_counted"];
    assert!(metrics.contains(&format!("\nholdfast_audit_counted {counted}\n")), "{metrics}");
}
