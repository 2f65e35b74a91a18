//! Ctrl-C or SIGTERM in the middle of long work: 130, nothing under a final name, nothing left in scratch, and a
//! word where something goes on or stays.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use holdfast_client::Context;

use crate::run::{Output, Running, holdfast};
use crate::vault::{PATIENCE, Vault};

/// What lies in a directory; nothing where there is none.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Interrupts a command once it has begun, by Ctrl-C first. One that was faster is undone and tried again.
fn interrupted(home: &Path, args: &[&str], begun: impl Fn() -> bool, undo: impl Fn()) {
    ended_by(Running::interrupt, home, args, begun, undo);
}

fn ended_by(
    how: fn(Running) -> Output,
    home: &Path,
    args: &[&str],
    begun: impl Fn() -> bool,
    undo: impl Fn(),
) {
    for _ in 0..50 {
        let mut running = Running::start(home, args);
        let give_up = Instant::now() + PATIENCE;
        while running.runs() && !begun() {
            assert!(Instant::now() < give_up, "{args:?} neither begins nor ends");
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = how(running);
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

#[test]
fn an_interrupted_init_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let args =
        ["init", "--data", "v", "--soft-key", "v.key", "--context", "v.toml", "--no-custodian"];
    let undo = || {
        std::fs::remove_dir_all(home.join("v")).unwrap();
        for file in ["v.key", "v.toml"] {
            std::fs::remove_file(home.join(file)).unwrap();
        }
    };
    for how in [Running::interrupt, Running::terminate] {
        ended_by(how, home, &args, || home.join("v/INCOMPLETE").exists(), undo);
        assert_eq!(names(home), Vec::<String>::new());
    }
    holdfast(home, &args, b"").expect(0);
}

/// Makes so many keys.
pub(crate) fn keys(vault: &Vault, count: usize) {
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
    let begun = || names(&into).iter().any(|name| !name.contains("holdfast-"));
    let undo = || {
        std::fs::remove_dir_all(&into).unwrap();
        std::fs::create_dir(&into).unwrap();
    };
    for how in [Running::interrupt, Running::terminate] {
        ended_by(how, &home, &backup, begun, undo);
        assert!(names(&into).is_empty(), "{:?}", names(&into));
    }
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
    std::thread::sleep(Duration::from_millis(1500));
    assert!(running.runs());
    let done = running.interrupt().expect(130);
    let note = format!("no answer from https://{} yet; trying for 10 s\n", vault.listen);
    assert_eq!(done.err, note, "nobody waits without a word");
    for flag in ["--quiet", "--json"] {
        let mut running = Running::start(vault.path(), &[&status[..], &[flag]].concat());
        std::thread::sleep(Duration::from_millis(1500));
        assert!(running.runs());
        assert_eq!(running.terminate().expect(130).err, "", "{flag}");
    }
}

/// Where a backup that nobody takes stands, once a client was ended while it waited for `until`.
fn ended_when(
    vault: &Vault,
    until: impl Fn() -> bool + Send + Sync + 'static,
    deaf: Deaf,
    args: &[&str],
) -> String {
    let held = deaf_from(vault, until, deaf, "deaf.toml");
    let args = [&["--context", "deaf.toml", "backup"], args].concat();
    let running = Running::start(vault.path(), &args);
    held.recv_timeout(PATIENCE).expect("the request was sent");
    running.terminate().expect(130).err
}

#[test]
fn an_interrupted_backup_of_the_vaults_says_that_it_goes_on() {
    let vault = Vault::start();
    let archives = vault.path().join("demo/archives");
    let before = names(&archives).len();
    let into = archives.clone();
    let said = ended_when(&vault, move || names(&into).len() > before, Deaf::First, &[]);
    let name = said.strip_prefix("the vault goes on with backup ");
    let name = name.and_then(|rest| rest.strip_suffix("; holdfast archive ls shows it\n"));
    let name = name.unwrap_or_else(|| panic!("{said:?}"));
    let signature = archives.join(format!("{name}.json.sig"));
    crate::vault::soon(|| signature.exists().then_some(())).expect("it went on");
}

#[test]
fn a_backup_that_nobody_will_read_is_given_up() {
    let vault = Vault::start();
    let into = vault.path().join("archives");
    let written = into.clone();
    let begun = move || names(&written).iter().any(|name| !name.contains("holdfast-"));
    assert_eq!(ended_when(&vault, begun, Deaf::First, &["--output", "archives"]), "");
    vault.audited(|line| line["action"] == "backup.cancel" && line["result"] == "ok");
    assert!(names(&into).is_empty(), "{:?}", names(&into));
}

#[test]
fn an_archive_that_was_made_and_never_taken_is_named() {
    let vault = Vault::start();
    let into = vault.path().join("archives");
    let written = into.clone();
    // The tar is here, and its sidecars are asked for.
    let received = move || {
        let Ok(mut entries) = written.read_dir() else { return false };
        entries.any(|entry| entry.unwrap().metadata().is_ok_and(|file| file.len() > 4_000))
    };
    let said = ended_when(&vault, received, Deaf::All, &["--output", "archives"]);
    let (told, rest) = said.split_at("the vault knows of an archive ".len());
    assert_eq!(told, "the vault knows of an archive ");
    let (name, rest) = rest.split_once(", ").unwrap();
    assert_eq!(rest, "written, that lies nowhere\n");
    let list = vault.run(&["archive", "ls"], b"").expect(0).text();
    let line = list.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{list}"));
    assert!(line.trim_end().ends_with(" written"), "{line}");
    assert!(names(&into).is_empty(), "{:?}", names(&into));
}

#[test]
fn a_server_that_is_interrupted_ends_properly() {
    let mut vault = Vault::start();
    let pid = std::fs::read_to_string(vault.path().join("demo/server.pid")).unwrap();
    assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
    assert_eq!(vault.server.wait(), Some(0));
    assert!(!vault.path().join("demo/server.pid").exists());
}

#[test]
fn a_server_says_that_it_waits_for_a_call_and_is_asked_twice() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = crate::run::free_address();
    let args = ["server", "--dev", "--data", "demo", "--listen", &listen];
    let mut running = Running::start(home, &args);
    crate::vault::soon(|| home.join("demo/server.pid").exists().then_some(())).expect("it serves");
    let context = Context::read(&home.join("demo/context.toml")).unwrap();
    let mut raw = crate::raw::Raw::connect(&context);
    // So many bytes never come.
    let head =
        "POST /api/v1/enclaves HTTP/1.1\r\nHost: vault\r\nContent-Type: application/json\r\n";
    raw.send(format!("{head}Content-Length: 100\r\n\r\n{{").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    running.signal("-INT");
    std::thread::sleep(Duration::from_secs(1));
    running.signal("-INT");
    let done = running.end().expect(0);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let said = "stopping: waiting up to 10 s for 1 call; Ctrl-C again stops now\n";
    assert!(done.err.contains(said), "{}", done.err);
    assert!(!home.join("demo/server.pid").exists());
}

/// Which connections are deaf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deaf {
    First,
    All,
}

/// Stands between a client and the server: once it is time, nothing that the client says goes on, and the channel
/// tells; what it says on later connections goes on where only the first one is `deaf`. The client's context is
/// written to `context`.
fn deaf_from(
    vault: &Vault,
    until: impl Fn() -> bool + Send + Sync + 'static,
    deaf: Deaf,
    context: &str,
) -> Receiver<()> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", listener.local_addr().unwrap());
    let text = Context { server, ..vault.context() }.to_text().unwrap();
    let path = vault.path().join(context);
    std::fs::write(&path, text.as_bytes()).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let (real, (held, holds)) = (vault.listen.clone(), channel());
    std::thread::spawn(move || {
        let mut until: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(until);
        for client in listener.incoming() {
            let (real, held, now) = (real.clone(), held.clone(), until.clone());
            if deaf == Deaf::First {
                until = Arc::new(|| false);
            }
            let until = now;
            std::thread::spawn(move || pass_on(client.unwrap(), &real, &*until, &held));
        }
    });
    holds
}

fn pass_on(mut client: TcpStream, real: &str, until: &dyn Fn() -> bool, held: &Sender<()>) {
    let mut server = TcpStream::connect(real).unwrap();
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut piece) {
        if until() {
            _ = held.send(());
        } else {
            server.write_all(&piece[..read]).unwrap();
        }
    }
    // What the server does not hear from it does not keep it.
    _ = server.shutdown(Shutdown::Both);
}

#[test]
fn an_interrupted_identity_says_that_its_key_stays() {
    let vault = Vault::start();
    let saved = vault.path().join("u.toml");
    let there = saved.clone();
    let held = deaf_from(&vault, move || there.exists(), Deaf::First, "deaf.toml");
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
