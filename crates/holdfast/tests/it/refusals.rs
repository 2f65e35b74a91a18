//! What goes wrong before a server is there: each with its exit code, and nothing half-done.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use holdfast_client::Context;

use crate::run::{Server, free_address, holdfast, with};
use crate::vault::{Vault, dev, soon};

#[test]
fn an_empty_directory_is_no_vault_and_names_the_restore_command() {
    let home = tempfile::tempdir().unwrap();
    let refused = holdfast(home.path(), &["server", "--data", "nothing"], b"").expect(32);
    assert!(refused.err.contains("holdfast restore"), "{}", refused.err);
    assert!(!home.path().join("nothing/vault.json").exists());
}

#[test]
fn init_needs_a_decision_about_custodians() {
    let home = tempfile::tempdir().unwrap();
    holdfast(home.path(), &["init", "--data", "d"], b"").expect(2);
    let both = ["init", "--data", "d", "--no-custodian", "--custodian", "x.asc"];
    holdfast(home.path(), &both, b"").expect(2);
    std::fs::write(home.path().join("x.asc"), b"no certificate").unwrap();
    let bad = ["init", "--data", "d", "--custodian", "x.asc"];
    holdfast(home.path(), &bad, b"").expect(13);
    assert!(!home.path().join("d").exists());
}

#[test]
fn init_never_writes_over_something() {
    let home = tempfile::tempdir().unwrap();
    let init = |data: &str, key: &str, context: &str| {
        let args =
            ["init", "--no-custodian", "--data", data, "--soft-key", key, "--context", context];
        holdfast(home.path(), &args, b"").code
    };
    assert_eq!(init("a", "a.key", "a.toml"), 0);
    assert_eq!(init("a", "b.key", "b.toml"), 12, "the data");
    assert_eq!(init("b", "a.key", "b.toml"), 12, "the soft key");
    assert_eq!(init("b", "b.key", "a.toml"), 12, "the context");
    assert_eq!(init("b", "b/b.key", "b.toml"), 33, "a soft key under the data");
    assert!(!home.path().join("b").exists());
    assert!(!home.path().join("b.key").exists());
}

#[test]
fn a_lost_or_wrong_soft_key_says_that_a_custodian_can_restore() {
    let home = tempfile::tempdir().unwrap();
    let init = ["init", "--no-custodian", "--data", "d", "--soft-key", "k", "--context", "c"];
    holdfast(home.path(), &init, b"").expect(0);
    let listen = free_address();
    let server = ["server", "--data", "d", "--listen", &listen];
    for content in [None, Some(&[7; 32][..]), Some(b"short")] {
        match content {
            None => std::fs::remove_file(home.path().join("k")).unwrap(),
            Some(bytes) => std::fs::write(home.path().join("k"), bytes).unwrap(),
        }
        let refused = holdfast(home.path(), &server, b"").expect(33);
        assert!(refused.err.contains("custodian can restore"), "{}", refused.err);
        assert!(refused.err.contains("--soft-key"), "{}", refused.err);
    }
}

#[test]
fn a_path_that_is_no_text_is_refused_before_anything_is_made() {
    let vault = Vault::start();
    let odd = vault.path().join(OsStr::from_bytes(b"nu\xff"));
    std::fs::create_dir(&odd).unwrap();
    let [data, key] = ["d", "s.key"].map(|name| vault.path().join(name).display().to_string());
    for args in [
        &["init", "--no-custodian", "--data", "d", "--soft-key", &key, "--context", "c.toml"][..],
        &["init", "--no-custodian", "--data", &data, "--soft-key", "s.key", "--context", "c.toml"],
        &["server", "--dev", "--data", "demo", "--listen", &free_address()],
        &["server", "--data", "d"],
    ] {
        let refused = holdfast(&odd, args, b"").expect(13);
        assert!(refused.err.contains("is not in UTF-8"), "{args:?}: {}", refused.err);
    }
    let context = vault.path().join("demo/context.toml").display().to_string();
    let refused = with(&odd, &context, &["backup", "--output", "made"], b"").expect(13);
    assert!(refused.err.contains("is not in UTF-8"), "{}", refused.err);
    assert_eq!(std::fs::read_dir(&odd).unwrap().count(), 0);
    assert!(!vault.path().join("d").exists());
    // Where one stands does not matter, only where the archive goes.
    let archives = vault.path().join("fine").display().to_string();
    with(&odd, &context, &["backup", "--output", &archives], b"").expect(0);
}

#[test]
fn a_taken_port_leaves_nothing_and_the_context_follows_to_another() {
    let home = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let server = ["server", "--dev", "--data", "d", "--listen", &listen];
    let refused = holdfast(home.path(), &server, b"").expect(31);
    assert!(refused.err.contains("another one with --listen ADDR"), "{}", refused.err);
    assert!(!home.path().join("d").exists());
    let context = home.path().join("d/context.toml");
    let says = |listen: &str| {
        with(home.path(), "d/context.toml", &["enclave", "ls"], b"").expect(0);
        assert_eq!(Context::read(&context).unwrap().server, format!("https://{listen}"));
        assert_eq!(context.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(home.path().join("d/server.pid")).unwrap();
    };
    // The advice taken, once at the making and once later.
    let mut last = String::new();
    for _ in 0..2 {
        last = free_address();
        let _server = dev(home.path(), "d", &last);
        says(&last);
    }
    // Where nothing is said it is where it was.
    let _server = Server::start(home.path(), &["server", "--dev", "--data", "d"]);
    soon(|| home.path().join("d/server.pid").exists().then_some(())).expect("it serves");
    says(&last);
}

#[test]
fn a_half_made_directory_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("d")).unwrap();
    std::fs::write(home.path().join("d/INCOMPLETE"), b"").unwrap();
    holdfast(home.path(), &["server", "--data", "d"], b"").expect(32);
}

#[test]
fn errors_are_json_when_asked() {
    let home = tempfile::tempdir().unwrap();
    let refused = holdfast(home.path(), &["--json", "server", "--data", "d"], b"").expect(32);
    let error: serde_json::Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(error["error"]["code"], "no_vault");
    assert_eq!(error["error"]["exit"], 32);
}
