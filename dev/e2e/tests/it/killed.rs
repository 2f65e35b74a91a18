//! `kill -9` of the real binary at many moments of its work, and what the same command does next.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Server, command, free_address, names, outcome, succeeds};

/// At how many moments each command is killed.
const KILLS: u32 = 16;

/// Runs to the end and says how long it took: the moments to kill at are fractions of it.
fn timed(dir: &Path, args: &[&str]) -> Duration {
    let begun = Instant::now();
    succeeds(dir, args);
    begun.elapsed()
}

/// Starts it and kills it after a while, unless it ended before.
fn kill_after(dir: &Path, args: &[&str], delay: Duration) {
    let mut child = command(&[], dir, args).spawn().expect("the binary runs");
    std::thread::sleep(delay);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

/// The certificate of a throw-away custodian, taken out of their secret key with stock gpg.
fn certificate(dir: &Path, secret: &Path) {
    let home = dir.join("gnupg");
    std::fs::create_dir_all(&home).unwrap();
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(&home).args(args);
        let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().expect("gpg runs");
        assert!(done.status.success(), "gpg {args:?}");
        done.stdout
    };
    gpg(&["--import", secret.to_str().unwrap()]);
    std::fs::write(dir.join("custodian.pgp"), gpg(&["--export"])).unwrap();
    let mut stop = Command::new("gpgconf");
    stop.arg("--homedir").arg(&home).args(["--kill", "all"]);
    let _ = stop.status();
}

/// A vault that has served, with an archive of it beside.
struct Source {
    dir: tempfile::TempDir,
    archive: String,
    trust: String,
    server: Option<Server>,
}

impl Source {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listen = free_address();
        let server = Some(Server::dev(dir.path(), &listen));
        let context = ["--context", "demo/context.toml"];
        let run = |args: &[&str]| succeeds(dir.path(), &[&context[..], args].concat());
        run(&["key", "create", "orders"]);
        let archive = run(&["backup", "--output", "archives", "--quiet"]);
        let trust = run(&["sheet", "--fingerprint"]);
        Self { dir, archive, trust, server }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A server that opens its vault and ends when it should listen.
const SERVER: &[&str] = &["server", "--data", "again", "--listen", "nowhere:x"];

/// What a killed init or restore may leave, and what the same command leaves in the end.
fn done_again(dir: &Path, n: u32, args: &[&str]) {
    let (code, err) = outcome(dir, SERVER);
    match outcome(dir, args) {
        // It was half-made or not there, said so, and is whole now.
        (0, _) => assert_eq!(code, 32, "kill {n}: {err}"),
        // It was whole: the server got as far as its address.
        (12, text) => {
            assert!(text.contains("there is a vault in again already"), "kill {n}: {text}");
            assert_eq!(code, 13, "kill {n}: {err}");
        }
        (other, text) => panic!("kill {n}: {other:?}: {text}"),
    }
    assert_eq!(outcome(dir, SERVER).0, 13);
    let expected = ["CURRENT", "LOCK", "archives", "audit", "log", "state.1", "vault.json"];
    assert_eq!(names(&dir.join("again")), expected, "kill {n}");
    assert_eq!(names(&dir.join("config")), ["context.toml", "soft.key"], "kill {n}");
    for made in ["again", "config"] {
        std::fs::remove_dir_all(dir.join(made)).unwrap();
    }
}

#[test]
fn a_first_start_of_dev_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let begun = Instant::now();
    drop(Server::dev(dir, &free_address()));
    let whole = begun.elapsed();
    std::fs::remove_dir_all(dir.join("demo")).unwrap();
    for n in 0..KILLS {
        let listen = free_address();
        let args = ["server", "--dev", "--data", "demo", "--listen", &listen];
        kill_after(dir, &args, whole * n / KILLS);
        // A killed server's own.
        let _ = std::fs::remove_file(dir.join("demo/server.pid"));
        let server = Server::dev(dir, &listen);
        succeeds(dir, &["--context", "demo/context.toml", "key", "create", "orders"]);
        let archives = names(&dir.join("demo/archives"));
        // One that the ledger does not know may lie beside the one that it knows.
        let signed = archives.iter().filter(|name| name.ends_with(".json.sig")).count();
        assert!(matches!(signed, 1 | 2), "kill {n}: {archives:?}");
        let known = succeeds(dir, &["--context", "demo/context.toml", "archive", "ls"]);
        assert!(known.contains("full drill"), "kill {n}: {known}");
        assert!(!archives.iter().any(|name| name.starts_with('.')), "kill {n}: {archives:?}");
        let made = ["archives", "context.toml", "custodian.asc", "data", "server.pid", "soft.key"];
        assert_eq!(names(&dir.join("demo")), made, "kill {n}");
        drop(server);
        std::fs::remove_dir_all(dir.join("demo")).unwrap();
    }
}

#[test]
fn init_and_restore_are_done_again_by_the_same_command() {
    let mut source = Source::new();
    source.server.take();
    let dir = source.path();
    certificate(dir, &dir.join("demo/custodian.asc"));
    let place =
        ["--data", "again", "--soft-key", "config/soft.key", "--context", "config/context.toml"];
    let init = [&["init", "--custodian", "custodian.pgp"][..], &place].concat();
    let who = ["--identity", "demo/custodian.asc", "--trust", &source.trust, "--yes"];
    let restore = [&["restore", &source.archive][..], &place, &who].concat();
    for args in [init, restore] {
        let whole = timed(dir, &args);
        for made in ["again", "config"] {
            std::fs::remove_dir_all(dir.join(made)).unwrap();
        }
        for n in 0..KILLS {
            kill_after(dir, &args, whole * n / KILLS);
            done_again(dir, n, &args);
        }
    }
}

#[test]
fn a_backup_is_whole_or_not_there_and_the_next_one_clears_up() {
    let source = Source::new();
    let dir = source.path();
    let args = ["--context", "demo/context.toml", "backup", "--output", "elsewhere", "--quiet"];
    let whole = timed(dir, &args);
    for n in 0..KILLS {
        kill_after(dir, &args, whole * n / KILLS);
        // Those who were killed before they read theirs keep their places for a while.
        let given_up = Instant::now() + Duration::from_secs(60);
        while outcome(dir, &args).0 == 11 {
            assert!(Instant::now() < given_up, "kill {n}: no place comes free");
            std::thread::sleep(Duration::from_millis(500));
        }
        let archive = succeeds(dir, &args);
        let names = names(&dir.join("elsewhere"));
        assert!(!names.iter().any(|name| name.starts_with('.')), "kill {n}: {names:?}");
        let with = |end: &str| names.iter().filter(|name| name.ends_with(end)).count();
        let (tars, signed) = (with(".tar.gpg"), with(".json.sig"));
        assert_eq!(tars, signed, "kill {n}: {names:?}");
        let trust = ["verify", &archive, "--trust", &source.trust];
        succeeds(dir, &trust);
    }
    // The server was left alone in the middle each time, and goes on.
    succeeds(dir, &["--context", "demo/context.toml", "status"]);
}
