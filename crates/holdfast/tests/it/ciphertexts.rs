//! Keys that are not there, and ciphertexts that do not open, through the command line and the API.

use crate::raw::Raw;
use crate::vault::Vault;

const KEYS: &str = "/api/v1/enclaves/default/keys";

#[test]
fn ciphertexts_that_do_not_open_say_what_they_may() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    vault.run(&["key", "create", "other"], b"").expect(0);
    vault.run(&["key", "create", "gone"], b"").expect(0);
    let note = vault.run(&["key", "encrypt", "orders", "--aad", "a"], b"attack").expect(0).out;
    let mine = vault.run(&["key", "encrypt", "gone"], b"attack").expect(0).out;
    vault.run(&["key", "delete", "gone"], b"").expect(0);
    let decrypt = |args: &[&str], input: &[u8]| {
        let refused = vault.run(&[&["key", "decrypt"], args].concat(), input);
        assert!(refused.code == 0 || refused.out.is_empty(), "{args:?} gave plaintext");
        refused
    };
    assert_eq!(decrypt(&["--aad", "a"], &note).expect(0).out, b"attack");
    // Another context, another key, every bit: 14 where it is not authentic, and all alike.
    let other = decrypt(&["--aad", "b"], &note).expect(14);
    assert!(other.err.contains("not authentic") && other.err.contains("next: "), "{}", other.err);
    assert_eq!(decrypt(&[], &note).expect(14).err, other.err);
    let named = decrypt(&["other", "--aad", "a"], &note).expect(14);
    assert!(named.err.contains("orders"), "{}", named.err);
    // So with an enclave, though it has a key of that name, too.
    let asked = |marker: &str| {
        // Audited in the order of the calls.
        vault.run(&["enclave", "create", marker], b"").expect(0);
        vault.audited(|line| line["resource"].as_str().is_some_and(|it| it.contains(marker)));
        vault.audit().iter().filter(|line| line["action"] == "key.decrypt").count()
    };
    let before = asked("before");
    assert_eq!(decrypt(&["-e", "default", "--aad", "a"], &note).expect(0).out, b"attack");
    assert_eq!(asked("after"), before + 1, "the server is asked once");
    vault.run(&["enclave", "create", "billing"], b"").expect(0);
    vault.run(&["key", "create", "orders", "-e", "billing"], b"").expect(0);
    let refused = decrypt(&["--enclave", "billing", "--aad", "a"], &note).expect(14);
    assert!(refused.err.contains("default/orders"), "{}", refused.err);
    let nowhere = decrypt(&["--enclave", "nowhere", "--aad", "a"], &note).expect(14);
    assert!(nowhere.err.contains("not of a key of enclave nowhere"), "{}", nowhere.err);
    // A key that is named and is not there is not another one.
    let nothing = decrypt(&["nothing", "--aad", "a"], &note).expect(10);
    assert!(nothing.err.contains("no key default/nothing"), "{}", nothing.err);
    let mut raw = Raw::connect(&vault.context());
    let mut ask = |path: &str, ciphertext: &[u8], context: &str| {
        let ciphertext = data_encoding::BASE64.encode(ciphertext);
        let context = data_encoding::BASE64.encode(context.as_bytes());
        let body = format!("{{\"ciphertext\":\"{ciphertext}\",\"context\":\"{context}\"}}");
        raw.ask(&format!("POST {path}"), body.as_bytes())
    };
    assert_eq!(ask("/api/v1/decrypt", &note, "a").status, 200);
    for bit in 0..note.len() * 8 {
        let mut flipped = note.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let reply = ask("/api/v1/decrypt", &flipped, "a");
        let failure = reply.failure();
        let want = match bit / 8 {
            // The format, the key's id, the version; then only what is authenticated.
            0 => [13, 24],
            1..21 => [10, 14],
            _ => [14, 14],
        };
        assert!(want.contains(&failure.exit), "bit {bit}: {} {}", failure.exit, failure.message);
        assert!(failure.next.is_some(), "bit {bit}: {}", failure.message);
    }
    for len in 0..note.len() {
        let failure = ask("/api/v1/decrypt", &note[..len], "a").failure();
        let want = if len < 61 { 13 } else { 14 };
        assert_eq!(failure.exit, want, "cut at {len}: {}", failure.message);
    }
    let failure = ask("/api/v1/decrypt", &[&note[..], b"x"].concat(), "a").failure();
    assert_eq!(failure.exit, 14);
    let reply = ask(&format!("{KEYS}/other/decrypt"), &note, "a");
    assert_eq!((reply.status, reply.failure().exit), (422, 14));
    let reply = ask("/api/v1/decrypt", &note, &"c".repeat(65537));
    assert_eq!((reply.status, reply.failure().exit), (413, 13));

    // Deleted, and unknown.
    let deleted = decrypt(&[], &mine).expect(11);
    assert!(deleted.err.contains("deleted") && deleted.err.contains("undelete"), "{}", deleted.err);
    decrypt(&["gone"], &mine).expect(11);
    for command in ["show", "rotate", "encrypt", "generate", "delete"] {
        for name in ["gone", "never"] {
            let refused = vault.run(&["key", command, name], b"x").expect(10);
            assert!(
                refused.err.contains(name) && refused.err.contains("next: "),
                "{command}: {}",
                refused.err
            );
        }
        vault.run(&["key", command, "orders", "-e", "nowhere"], b"x").expect(10);
    }
    vault.run(&["key", "undelete", "never"], b"").expect(10);
    let nobodys = [&[1][..], &[7; 16], &[0, 0, 0, 1], &[0; 50]].concat();
    decrypt(&[], &nobodys).expect(10);
    for (path, body) in [("encrypt", "{\"plaintext\":\"\"}"), ("generate", "{}"), ("rotate", "{}")]
    {
        let reply = raw.ask(&format!("POST {KEYS}/gone/{path}"), body.as_bytes());
        assert_eq!((reply.status, reply.failure().exit), (404, 10), "{path}");
    }
    for result in ["not_authentic", "not_found", "bad_input", "refused", "too_large"] {
        vault.audited(|line| line["action"] == "key.decrypt" && line["result"] == result);
    }
}

#[test]
fn a_lost_or_wrong_soft_key_says_who_can_help() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut vault = Vault::start();
    vault.server.kill();
    let home = vault.path();
    let key = home.join("demo/soft.key");
    let right = std::fs::read(&key).unwrap();
    let start = |more: &[&str]| {
        let args =
            [&["server", "--data", "demo/data", "--listen", &vault.listen][..], more].concat();
        crate::run::holdfast(home, &args, b"")
    };
    let cases: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(&[7; 31]), Some(&[7; 33]), Some(&[7; 32]), Some(&[0; 1 << 20])];
    for content in cases {
        match content {
            None => std::fs::remove_file(&key).unwrap(),
            Some(bytes) => std::fs::write(&key, bytes).unwrap(),
        }
        let refused = start(&[]).expect(33);
        for word in ["soft.key", "--soft-key FILE", "a custodian can restore", "holdfast restore"] {
            assert!(refused.err.contains(word), "{word}: {}", refused.err);
        }
    }
    // A directory, and nobody's place.
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    start(&[]).expect(33);
    start(&["--soft-key", "nowhere/soft.key"]).expect(33);
    std::fs::remove_dir(&key).unwrap();
    // One that others can read is hardly a secret: it starts, and says so.
    std::fs::write(home.join("moved.key"), right).unwrap();
    let moved = home.join("moved.key");
    let args =
        ["server", "--data", "demo/data", "--soft-key", "moved.key", "--listen", &vault.listen];
    for (mode, said) in [(0o644, true), (0o440, true), (0o400, false), (0o600, false)] {
        std::fs::set_permissions(&moved, std::fs::Permissions::from_mode(mode)).unwrap();
        let _server = crate::run::Server::start(home, &args);
        let status = vault.run(&["status"], b"").expect(0);
        assert_eq!(status.text().contains("chmod 600"), said, "{mode:o}: {}", status.text());
    }
    // The data remember where it lies now.
    let args = ["server", "--data", "demo/data", "--listen", &vault.listen];
    let _server = crate::run::Server::start(home, &args);
    vault.run(&["key", "ls"], b"").expect(0);
}
