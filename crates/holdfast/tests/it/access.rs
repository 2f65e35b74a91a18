//! Who may do what on a running vault, and archives that must not open.

use std::path::Path;

use crate::run::{Server, free_address, with};
use crate::vault;

/// A vault for trying out in `home/NAME`, with its context.
fn dev(home: &Path, name: &str) -> Server {
    vault::dev(home, name, &free_address())
}

#[test]
fn a_user_may_do_what_its_policy_allows_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home, "demo");
    let admin = |args: &[&str]| with(home, "demo/context.toml", args, b"").expect(0);
    admin(&["key", "create", "orders-1"]);
    admin(&["key", "create", "other"]);
    admin(&["policy", "set", "app", "--allow", "key.encrypt:orders-*"]);
    admin(&["identity", "create", "app", "--policy", "app", "--save", "app.toml"]);
    let user = |args: &[&str], input: &[u8]| with(home, "app.toml", args, input);
    let sealed = user(&["key", "encrypt", "orders-1"], b"x").expect(0).out;
    user(&["key", "decrypt"], &sealed).expect(11);
    user(&["key", "encrypt", "other"], b"x").expect(11);
    user(&["enclave", "ls"], b"").expect(11);
    admin(&["policy", "set", "app", "--allow", "key.*:orders-*"]);
    assert_eq!(user(&["key", "decrypt"], &sealed).expect(0).out, b"x");
    admin(&["policy", "set", "app", "--allow", "key.*:*", "--deny", "key.decrypt:*"]);
    user(&["key", "decrypt"], &sealed).expect(11);
    admin(&["identity", "rm", "app"]);
    user(&["key", "encrypt", "orders-1"], b"x").expect(11);
}

#[test]
fn a_deleted_key_is_heard_and_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home, "demo");
    let run = |args: &[&str], input: &[u8]| with(home, "demo/context.toml", args, input);
    run(&["key", "create", "orders"], b"").expect(0);
    let sealed = run(&["key", "encrypt", "orders"], b"x").expect(0).out;
    run(&["key", "delete", "orders"], b"").expect(0);
    run(&["key", "decrypt"], &sealed).expect(11);
    run(&["key", "create", "orders"], b"").expect(0);
    let taken = run(&["key", "undelete", "orders"], b"").expect(12);
    assert!(taken.err.contains("--name"), "{}", taken.err);
    run(&["key", "undelete", "orders", "--name", "old"], b"").expect(0);
    assert_eq!(run(&["key", "decrypt"], &sealed).expect(0).out, b"x");
    run(&["key", "decrypt", "orders"], &sealed).expect(14);
}

#[test]
fn archives_that_must_not_open() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (_one, _two) = (dev(home, "one"), dev(home, "two"));
    let run = |args: &[&str]| with(home, "one/context.toml", args, b"");
    let archive = run(&["backup", "--output", "archives", "--quiet"]).expect(0).text();
    run(&["verify", &archive, "--identity", "one/custodian.asc"]).expect(0);
    run(&["verify", &archive, "--identity", "two/custodian.asc"]).expect(23);
    with(home, "two/context.toml", &["verify", &archive], b"").expect(25);
    with(home, "none.toml", &["verify", &archive], b"").expect(22);
    let tar = home.join(&archive);
    let whole = std::fs::read(&tar).unwrap();
    std::fs::write(&tar, &whole[..whole.len() - 1]).unwrap();
    run(&["verify", &archive]).expect(21);
    std::fs::remove_file(&tar).unwrap();
    run(&["verify", &archive]).expect(10);
}
