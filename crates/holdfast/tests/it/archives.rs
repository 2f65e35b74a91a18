//! Archives that do not open, and places where nothing can be made: each with its exit code, its next
//! step, and nothing half-done.

use std::path::Path;

use crate::run::{Output, free_address, holdfast};
use crate::vault::{Vault, dev};

/// A vault that is gone, an archive of it, and the fingerprint from its sheet.
struct Lost {
    vault: Vault,
    archive: String,
    trust: String,
    note: Vec<u8>,
}

impl Lost {
    fn new() -> Self {
        let mut vault = Vault::start();
        vault.run(&["key", "create", "orders"], b"").expect(0);
        let note = vault.run(&["key", "encrypt", "orders"], b"x").expect(0).out;
        let archive = vault.run(&["backup", "--output", "archives", "--quiet"], b"").expect(0);
        let trust = vault.run(&["sheet", "--fingerprint"], b"").expect(0).text();
        vault.server.kill();
        Self { archive: archive.text(), trust, note, vault }
    }

    fn home(&self) -> &Path {
        self.vault.path()
    }

    /// One of `verify`, `drill`, `restore` with everything that it takes, into `again`.
    fn run(&self, command: &str, archive: &str, identity: &str, trust: Option<&str>) -> Output {
        let mut args = vec![command, archive, "--identity", identity];
        if let Some(trust) = trust {
            args.extend(["--trust", trust]);
        }
        match command {
            "drill" => args.extend(["--scratch", "scratch"]),
            "restore" => {
                args.extend(["--data", "again", "--soft-key", "again.key", "--yes"]);
                args.extend(["--listen", &self.vault.listen]);
            }
            _ => {}
        }
        // A context that does not exist: where restore's goes, and nobody to trust.
        args.extend(["--context", "again.toml"]);
        holdfast(self.home(), &args, b"")
    }

    /// All three are refused alike, say `what` and leave nothing behind.
    #[track_caller]
    fn refused(&self, archive: &str, identity: &str, trust: Option<&str>, code: i32, what: &str) {
        for command in ["verify", "drill", "restore"] {
            let refused = self.run(command, archive, identity, trust).expect(code);
            assert!(refused.err.contains(what), "{command}: {}", refused.err);
            assert!(refused.err.contains("next: "), "{command} has no next step: {}", refused.err);
            self.nothing_made(command);
        }
    }

    #[track_caller]
    fn nothing_made(&self, command: &str) {
        for file in ["again", "again.key", "again.toml"] {
            assert!(!self.home().join(file).exists(), "{command} made {file}");
        }
        let scratch = self.home().join("scratch");
        assert!(!scratch.exists() || scratch.read_dir().unwrap().next().is_none(), "{command}");
    }

    /// A copy of the archive's three files in a directory of their own; gives the tar's path.
    fn copy(&self, into: &str) -> String {
        let (from, to) = (self.home().join("archives"), self.home().join(into));
        std::fs::create_dir(&to).unwrap();
        for entry in from.read_dir().unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        self.archive.replacen("archives", into, 1)
    }
}

#[test]
fn archives_that_do_not_open_are_refused_alike() {
    let lost = Lost::new();
    let (mine, known) = ("demo/custodian.asc", Some(lost.trust.as_str()));
    let listen = free_address();
    drop(dev(lost.home(), "other", &listen));

    // Who signs, who opens.
    lost.refused(&lost.archive, mine, None, 22, &lost.trust);
    lost.refused(&lost.archive, mine, Some(&"ab".repeat(20)), 22, "--trust");
    lost.refused(&lost.archive, mine, Some("no fingerprint"), 13, "--trust");
    lost.refused(&lost.archive, "other/custodian.asc", known, 23, "does not open");
    lost.refused(&lost.archive, "archives/RECOVER.txt", known, 23, "RECOVER.txt");
    lost.refused(&lost.archive, "nobody.asc", known, 10, "nobody.asc");
    lost.refused("archives/none.tar.gpg", mine, known, 10, "none");

    // Of another vault, as a client of that one sees it.
    for command in ["verify", "drill"] {
        let args = [command, &lost.archive, "--identity", mine, "--context", "other/context.toml"];
        let refused = holdfast(lost.home(), &args, b"").expect(25);
        assert!(
            refused.err.contains("of vault") && refused.err.contains("next: "),
            "{}",
            refused.err
        );
    }

    // Cut, empty, something else, changed, of others.
    let tar = lost.copy("cut");
    let path = lost.home().join(&tar);
    let whole = std::fs::read(&path).unwrap();
    for len in [whole.len() - 1, whole.len() / 2, 1, 0] {
        std::fs::write(&path, &whole[..len]).unwrap();
        lost.refused(&tar, mine, known, 21, "bytes");
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    lost.refused(&tar, mine, known, 21, "SHA-256");
    std::fs::write(&path, &whole).unwrap();
    let json = path.with_extension("").with_extension("json");
    let public = std::fs::read_to_string(&json).unwrap();
    std::fs::write(&json, public.replacen("\"size\":", "\"size\":1", 1)).unwrap();
    lost.refused(&tar, mine, known, 14, "not authentic");
    std::fs::write(&json, &public[..public.len() - 1]).unwrap();
    lost.refused(&tar, mine, known, 21, "canonical");
    std::fs::remove_file(&json).unwrap();
    lost.refused(&tar, mine, known, 10, "json");

    // A newer format says so, whoever signs it.
    let newer = public.replacen("\"min_reader\":1", "\"min_reader\":2", 1);
    assert_ne!(newer, public);
    std::fs::write(&json, newer).unwrap();
    lost.refused(&tar, mine, known, 24, "newer holdfast");

    lost.run("restore", &lost.archive, mine, known).expect(0);
    let _server = crate::run::Server::start(lost.home(), &["server", "--data", "again"]);
    let read = lost.vault.with("again.toml", &["key", "decrypt"], &lost.note).expect(0);
    assert_eq!(read.out, b"x");
}

#[test]
fn restore_never_writes_over_something() {
    let lost = Lost::new();
    let (mine, known) = ("demo/custodian.asc", Some(lost.trust.as_str()));
    let home = lost.home();
    let again = || lost.run("restore", &lost.archive, mine, known);
    // A directory with something in it, a file, another vault.
    std::fs::create_dir(home.join("again")).unwrap();
    std::fs::write(home.join("again/photo.jpg"), b"mine").unwrap();
    let refused = again().expect(12);
    assert!(refused.err.contains("again is not empty") && refused.err.contains("--data"));
    assert_eq!(std::fs::read(home.join("again/photo.jpg")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(home.join("again")).unwrap().count(), 1);
    std::fs::remove_dir_all(home.join("again")).unwrap();
    std::fs::write(home.join("again"), b"a file").unwrap();
    again().expect(12);
    assert_eq!(std::fs::read(home.join("again")).unwrap(), b"a file");
    std::fs::remove_file(home.join("again")).unwrap();
    for file in ["again.key", "again.toml"] {
        std::fs::write(home.join(file), b"mine").unwrap();
        // A context that is none is not passed over: it may be a typing error in its name.
        let refused = again().expect(12);
        assert!(refused.err.contains(file), "{file}: {}", refused.err);
        assert_eq!(std::fs::read(home.join(file)).unwrap(), b"mine");
        assert!(!home.join("again").exists());
        std::fs::remove_file(home.join(file)).unwrap();
    }
    // A restore that fails leaves an empty directory as it was.
    std::fs::create_dir(home.join("again")).unwrap();
    drop(dev(home, "other", &free_address()));
    lost.run("restore", &lost.archive, "other/custodian.asc", known).expect(23);
    assert_eq!(std::fs::read_dir(home.join("again")).unwrap().count(), 0);
    // Half-made by a run that was killed: it does not start, and the same restore goes on.
    std::fs::create_dir_all(home.join("again/log")).unwrap();
    std::fs::write(home.join("again/log/torn"), b"half").unwrap();
    std::fs::write(home.join("again/INCOMPLETE"), b"").unwrap();
    let refused = holdfast(home, &["server", "--data", "again"], b"").expect(32);
    assert!(refused.err.contains("was not finished"), "{}", refused.err);
    assert!(refused.err.contains("run the same init or restore again"), "{}", refused.err);
    again().expect(0);
    assert!(!home.join("again/INCOMPLETE").exists() && !home.join("again/log/torn").exists());
    let refused = again().expect(12);
    assert!(refused.err.contains("again"), "{}", refused.err);
}

#[test]
fn newer_formats_are_told_from_damage() {
    let mut vault = Vault::start();
    let home = vault.path().to_owned();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    // A ciphertext.
    let mut note = vault.run(&["key", "encrypt", "orders"], b"x").expect(0).out;
    note[0] = 2;
    let refused = vault.run(&["key", "decrypt"], &note).expect(24);
    assert!(refused.err.contains("newer"), "{}", refused.err);
    note[0] = b'-';
    vault.run(&["key", "decrypt"], &note).expect(13);
    vault.audited(|line| line["action"] == "key.decrypt" && line["result"] == "newer_format");
    // A context file.
    let context = std::fs::read_to_string(home.join("demo/context.toml")).unwrap();
    std::fs::write(home.join("newer.toml"), format!("format = 2\nmore = 1\n{context}")).unwrap();
    let refused = vault.with("newer.toml", &["key", "ls"], b"").expect(24);
    assert!(refused.err.contains("newer.toml") && refused.err.contains("newer holdfast"));
    std::fs::write(home.join("bad.toml"), &context[1..]).unwrap();
    vault.with("bad.toml", &["key", "ls"], b"").expect(13);
    // A data directory.
    vault.server.kill();
    let marker = home.join("demo/data/vault.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let server = ["server", "--data", "demo/data", "--soft-key", "demo/soft.key"];
    let newer = text.replacen("\"format\":1", "\"format\":2,\"more\":1", 1);
    assert_ne!(newer, text);
    std::fs::write(&marker, newer).unwrap();
    let refused = holdfast(&home, &server, b"").expect(24);
    assert!(refused.err.contains("newer holdfast"), "{}", refused.err);
    std::fs::write(&marker, &text[1..]).unwrap();
    holdfast(&home, &server, b"").expect(21);
}
