//! Ctrl-C in the middle of long work: 130, nothing under a final name, nothing left in scratch.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use holdfast_client::Context;

use crate::run::{Running, holdfast};
use crate::vault::{PATIENCE, Vault};

/// What lies in a directory; nothing where there is none.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Interrupts a command once it has begun. One that was faster is undone and tried again.
fn interrupted(home: &Path, args: &[&str], begun: impl Fn() -> bool, undo: impl Fn()) {
    for _ in 0..50 {
        let mut running = Running::start(home, args);
        let give_up = Instant::now() + PATIENCE;
        while running.runs() && !begun() {
            assert!(Instant::now() < give_up, "{args:?} neither begins nor ends");
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = running.interrupt();
        if done.code == 130 {
            assert!(!done.err.contains("holdfast: "), "{}", done.err);
            return;
        }
        done.expect(0);
        undo();
    }
    panic!("{args:?} was never interrupted");
}

#[test]
fn an_interrupted_drill_or_restore_leaves_nothing() {
    let mut vault = Vault::start();
    let home = vault.path().to_owned();
    keys(&vault, 1500);
    let archive = vault.run(&["backup", "--output", "archives", "--quiet"], b"").expect(0).text();
    let trust = vault.run(&["sheet", "--fingerprint"], b"").expect(0).text();
    vault.server.kill();
    std::fs::create_dir(home.join("scratch")).unwrap();
    let known = ["--identity", "demo/custodian.asc", "--trust", &trust];
    let drill = [&["drill", &archive, "--scratch", "scratch"][..], &known].concat();
    let at_work = || !names(&home.join("scratch")).is_empty();
    interrupted(&home, &drill, at_work, || ());
    assert!(names(&home.join("scratch")).is_empty());

    let place = ["--data", "again", "--soft-key", "again.key", "--context", "again.toml", "--yes"];
    let restore = [&["restore", &archive][..], &known, &place].concat();
    let at_work = || home.join("again/INCOMPLETE").exists();
    interrupted(&home, &restore, at_work, || {
        std::fs::remove_dir_all(home.join("again")).unwrap();
        for file in ["again.key", "again.toml"] {
            std::fs::remove_file(home.join(file)).unwrap();
        }
    });
    for file in ["again", "again.key", "again.toml"] {
        assert!(!home.join(file).exists(), "{file}");
    }
    // Nothing is in the way of the same command, this time to its end.
    holdfast(&home, &restore, b"").expect(0);
    let drilled = holdfast(&home, &drill, b"").expect(0);
    assert!(drilled.text().contains("not recorded"), "{}", drilled.text());
    assert!(names(&home.join("scratch")).is_empty());
}

/// Makes so many keys.
fn keys(vault: &Vault, count: usize) {
    let mut raw = crate::raw::Raw::connect(&vault.context());
    for n in 0..count {
        let body = format!("{{\"name\":\"key-{n:05}\"}}");
        let made = raw.ask("POST /api/v1/enclaves/default/keys", body.as_bytes());
        assert_eq!(made.status, 200);
    }
}

#[test]
fn an_interrupted_backup_leaves_nothing_and_is_in_nobodys_way() {
    let vault = Vault::start();
    let home = vault.path().to_owned();
    let into = home.join("archives");
    std::fs::create_dir(&into).unwrap();
    keys(&vault, 1500);
    let backup = ["--context", "demo/context.toml", "backup", "--output", "archives"];
    interrupted(
        &home,
        &backup,
        || !names(&into).is_empty(),
        || {
            std::fs::remove_dir_all(&into).unwrap();
            std::fs::create_dir(&into).unwrap();
        },
    );
    assert!(names(&into).is_empty(), "{:?}", names(&into));
    vault.run(&["backup", "--output", "archives"], b"").expect(0);
}

/// Once it waits for a server that is not there: it tries for ten seconds.
fn waits(running: &mut Running) {
    running.listens();
    // A moment to find nobody. Without it the wait ends before it begins, and the command all the same.
    std::thread::sleep(Duration::from_millis(200));
    assert!(running.runs());
}

#[test]
fn an_interrupted_wait_for_a_server_ends_at_once() {
    let mut vault = Vault::start();
    vault.server.kill();
    let status = ["--context", "demo/context.toml", "status"];
    let mut running = Running::start(vault.path(), &status);
    waits(&mut running);
    running.interrupt().expect(130);
}

#[test]
fn a_server_that_is_interrupted_ends_properly() {
    let mut vault = Vault::start();
    let pid = std::fs::read_to_string(vault.path().join("demo/server.pid")).unwrap();
    assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
    assert_eq!(vault.server.wait(), Some(0));
    assert!(!vault.path().join("demo/server.pid").exists());
}

/// Stands between a client and the server: once `until` is there nothing that the client says goes on, and
/// the channel tells. The client's context is written to `context`.
fn deaf_from(vault: &Vault, until: PathBuf, context: &str) -> Receiver<()> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let text = Context { server, ..vault.context() }.to_text().unwrap();
    std::fs::write(vault.path().join(context), text.as_bytes()).unwrap();
    let (real, (held, holds)) = (vault.listen.clone(), channel());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(real).unwrap();
        let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = client.read(&mut piece) {
            if until.exists() {
                _ = held.send(());
            } else {
                server.write_all(&piece[..read]).unwrap();
            }
        }
    });
    holds
}

#[test]
fn an_interrupted_identity_says_that_its_key_stays() {
    let vault = Vault::start();
    let saved = vault.path().join("u.toml");
    let held = deaf_from(&vault, saved.clone(), "deaf.toml");
    let create = ["--context", "deaf.toml", "identity", "create", "u", "--save", "u.toml"];
    let running = Running::start(vault.path(), &create);
    held.recv_timeout(PATIENCE).expect("the request was sent");
    let done = running.interrupt().expect(130);
    assert!(done.err.contains("u.toml stays"), "{}", done.err);
    assert!(saved.exists());
}

#[test]
fn an_identity_that_was_never_asked_for_leaves_no_key() {
    let mut vault = Vault::start();
    vault.server.kill();
    let saved = vault.path().join("u.toml");
    let create = ["identity", "create", "u", "--save", "u.toml"];
    // It waits for the server, and is interrupted.
    let in_context = [&["--context", "demo/context.toml"][..], &create].concat();
    let mut running = Running::start(vault.path(), &in_context);
    waits(&mut running);
    let done = running.interrupt().expect(130);
    assert!(!saved.exists() && !done.err.contains("stays"), "{}", done.err);
    // Somebody else is there, who hangs up.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", other.local_addr().unwrap());
    std::thread::spawn(move || other.incoming().for_each(drop));
    let text = Context { server, ..vault.context() }.to_text().unwrap();
    std::fs::write(vault.path().join("other.toml"), text.as_bytes()).unwrap();
    let failed = vault.with("other.toml", &create, b"").expect(20);
    assert!(!saved.exists() && !failed.err.contains("stays"), "{}", failed.err);
}
