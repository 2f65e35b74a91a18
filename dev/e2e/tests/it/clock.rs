//! A clock that is a year off: nothing is lost, state time never goes back, and status says so.

use std::path::Path;
use std::process::Command;

use crate::process::{Server, command, free_address, outcome, succeeds};

/// What is called with another clock. Time that passes is left alone: it is the date that is wrong.
/// `faketime` itself would stay as a parent, which a `kill -9` would hit instead.
fn wrapped(days: &str) -> [String; 4] {
    let asked = Command::new("faketime").args(["-f", "+0d", "printenv", "LD_PRELOAD"]).output();
    let asked = asked.expect("faketime is installed: run cargo xtask test");
    let library = String::from_utf8(asked.stdout).expect("a path");
    [
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.trim()),
        format!("FAKETIME={days}"),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ]
}

fn run(dir: &Path, args: &[&str]) -> String {
    succeeds(dir, &[&["--context", "demo/context.toml"], args].concat())
}

/// State time in milliseconds, and all that status says.
fn status(dir: &Path) -> (u64, String) {
    let json = run(dir, &["status", "--json"]);
    let at = json.split("\"at\":").nth(1).expect("state time").trim_start();
    let digits: String = at.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse().unwrap(), json)
}

fn file(dir: &Path, name: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    std::fs::write(dir.join(name), input).unwrap();
    let args = [&["--context", "demo/context.toml"], args].concat();
    let mut command = command(&[], dir, &args);
    command.stdin(std::fs::File::open(dir.join(name)).unwrap());
    let out = command.output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The state that is a year ahead, restored under a clock that is right: keys open, and its archives hold.
fn restores(dir: &Path, archive: &str, note: &[u8]) {
    let trust = run(dir, &["sheet", "--fingerprint"]);
    let listen = free_address();
    let restore = ["restore", archive, "--identity", "demo/custodian.asc", "--trust", &trust];
    let places = ["--data", "again", "--soft-key", "again.key", "--context", "again.toml"];
    succeeds(dir, &[&restore[..], &places, &["--listen", &listen, "--yes"]].concat());
    let _server = Server::start(&[], dir, &["--data", "again"], &listen);
    std::fs::write(dir.join("note"), note).unwrap();
    let again = ["--context", "again.toml"];
    let decrypt = [&again[..], &["key", "decrypt", "--input", "note"]].concat();
    assert_eq!(succeeds(dir, &decrypt), "attack at dawn");
    let backup = [&again[..], &["backup", "--output", "after", "--quiet"]].concat();
    let after = succeeds(dir, &backup);
    let identity = ["verify", &after, "--identity", "demo/custodian.asc"];
    succeeds(dir, &[&again[..], &identity].concat());
}

#[test]
fn a_year_off_in_either_direction() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let listen = free_address();
    let server = Server::dev(dir, &listen);
    run(dir, &["key", "create", "orders"]);
    let note = file(dir, "plain", &["key", "encrypt", "orders"], b"attack at dawn");
    let (mut before, warnings) = status(dir);
    assert!(!warnings.contains("clock"), "{warnings}");
    drop(server);
    // (by how many days, what status says: the state has been in the year ahead from the first on)
    let year = 365 * 24 * 60 * 60 * 1000;
    let start = before;
    for (n, (days, says)) in [
        ("+365d", "365 days ahead"),
        ("+0d", "days behind the state's time"),
        ("-365d", "days behind the state's time"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut server = Server::start(
            &wrapped(days).each_ref().map(String::as_str),
            dir,
            &["--dev", "--data", "demo"],
            &listen,
        );
        let name = format!("key-{n}");
        run(dir, &["key", "create", &name]);
        let own = file(dir, "plain", &["key", "encrypt", &name], b"attack at dusk");
        assert_eq!(file(dir, "sealed", &["key", "decrypt"], &own), b"attack at dusk", "{days}");
        assert_eq!(file(dir, "sealed", &["key", "decrypt"], &note), b"attack at dawn", "{days}");
        run(dir, &["key", "rotate", "orders"]);
        let archive = run(dir, &["backup", "--output", "archives", "--quiet"]);
        // By this host's own clock: what was signed in a year's time is not authentic yet.
        let verify = ["--context", "demo/context.toml", "verify", &archive];
        let (code, said) = outcome(dir, &verify);
        assert_eq!(code, if n == 0 { 14 } else { 0 }, "{days}: {said}");
        if n == 1 {
            restores(dir, &archive, &note);
        }
        let (at, warnings) = status(dir);
        assert!(at >= before, "{days}: state time went back from {before} to {at}");
        assert!(at > start + year - 1000 && at < start + year + 3_600_000, "{days}: {at}");
        assert!(warnings.contains(says), "{days}: {says:?} is not in {warnings}");
        assert!(server.runs(), "{days}");
        before = at;
    }
    // Nothing was destroyed on the way.
    let _server = Server::dev(dir, &listen);
    let listed = run(dir, &["key", "ls"]);
    for name in ["orders", "key-0", "key-1", "key-2"] {
        assert!(listed.contains(name), "{name} is not in {listed}");
    }
    assert_eq!(file(dir, "sealed", &["key", "decrypt"], &note), b"attack at dawn");
}

#[test]
fn a_custodians_certificate_is_judged_at_the_time_it_is_given_at() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let home = dir.join("gnupg");
    std::fs::create_dir(&home).unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--passphrase", "", "--homedir"]).arg(&home).args(args);
        let out = command.stdin(std::process::Stdio::null()).output().expect("gpg runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    gpg(&["--quick-gen-key", "Anna", "future-default", "default", "180d"]);
    std::fs::write(dir.join("anna.pgp"), gpg(&["--export"])).unwrap();
    let mut stop = Command::new("gpgconf");
    let _ = stop.arg("--homedir").arg(&home).args(["--kill", "all"]).status();
    let init = |data: &str, days: &str| {
        let (key, context) = (format!("{data}.key"), format!("{data}.toml"));
        let args = ["init", "--custodian", "anna.pgp", "--data", data, "--soft-key", &key];
        let args = [&args[..], &["--context", &context]].concat();
        let out =
            command(&wrapped(days).each_ref().map(String::as_str), dir, &args).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(init("now", "+0d").0, Some(0));
    let (code, said) = init("later", "+365d");
    assert_eq!(code, Some(13), "{said}");
    assert!(said.contains("expired"), "{said}");
    assert!(!dir.join("later").exists() && !dir.join("later.key").exists());
}
