//! Backups that cannot be written where they should, those made after them, and what they say of themselves.

use holdfast_api::wire;

use crate::raw::Raw;
use crate::vault::Vault;

#[test]
fn a_backup_says_what_it_does_and_how_far_it_is_proved() {
    let vault = Vault::start();
    crate::interrupt::keys(&vault, 1500);
    let mut raw = Raw::connect(&vault.context());
    let begun = raw.ask("POST /api/v1/backups", br#"{"to":"vault"}"#).body;
    let begun: wire::Backup = serde_json::from_slice(&begun).unwrap();
    let mut phases: Vec<String> = Vec::new();
    let end = loop {
        let state = raw.ask(&format!("GET /api/v1/backups/{}", begun.job_id), b"").body;
        let state: wire::BackupState = serde_json::from_slice(&state).unwrap();
        match (state.state.as_str(), state.phase) {
            ("waiting", None) => {}
            ("running", Some(phase)) if phases.contains(&phase) => {}
            ("running", Some(phase)) => phases.push(phase),
            (end, None) => break (end.to_owned(), state.verified),
            (end, phase) => panic!("{end} {phase:?}"),
        }
    };
    assert_eq!(phases, ["sealing", "verifying"]);
    assert_eq!(end, ("stored".to_owned(), true));
    let made = vault.run(&["backup"], b"").expect(0).text();
    assert!(made.ends_with("state   verified"), "{made}");
    let made = vault.run(&["backup", "--output", "out"], b"").expect(0).text();
    assert!(made.ends_with("state   stored"), "{made}");
}

#[test]
fn a_backup_that_cannot_be_placed_is_in_nobodys_way() {
    let vault = Vault::start();
    let made = vault.run(&["backup", "--output", "first", "--quiet"], b"").expect(0).text();
    let name = made.rsplit('/').next().unwrap().strip_suffix(".tar.gpg").unwrap();
    let (rest, revision) = name.rsplit_once('-').unwrap();
    let revision: u64 = revision.parse().unwrap();
    // The names that archives of the next revisions would have are taken.
    let taken = vault.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    for next in revision + 1..revision + 200 {
        std::fs::write(taken.join(format!("{rest}-{next:016}.tar.gpg")), b"").unwrap();
    }
    for _ in 0..5 {
        let refused = vault.run(&["backup", "--output", "taken"], b"").expect(12);
        assert!(refused.err.contains("already exists"), "{}", refused.err);
    }
    vault.run(&["backup", "--output", "second"], b"").expect(0);
    vault.audited(|line| line["action"] == "backup.cancel" && line["result"] == "ok");
}

#[test]
fn a_directory_holds_the_archives_of_one_vault() {
    let (vault, other) = (Vault::start(), Vault::start());
    let shared = vault.path().join("archives");
    let shared = shared.to_str().unwrap();
    let backup = ["backup", "--output", shared, "--quiet"];
    vault.run(&backup, b"").expect(0);
    let there = || {
        let cluster = std::fs::read(vault.path().join("archives/cluster.pgp")).unwrap();
        (vault.path().join("archives").read_dir().unwrap().count(), cluster)
    };
    let before = there();
    let refused = other.run(&backup, b"").expect(25);
    assert!(refused.err.contains("holds the archives of another vault"), "{}", refused.err);
    assert!(
        refused.err.contains("next: give each vault a directory of its own"),
        "{}",
        refused.err
    );
    // Nor where the client does not know its vault's signer beforehand, and the vault was asked.
    let context = std::fs::read_to_string(other.path().join("demo/context.toml")).unwrap();
    let lines = context.lines().filter(|line| !line.starts_with("signer"));
    let without = lines.collect::<Vec<_>>().join("\n");
    std::fs::write(other.path().join("without.toml"), without).unwrap();
    let refused = other.with("without.toml", &backup, b"").expect(25);
    assert!(refused.err.contains("holds the archives of another vault"), "{}", refused.err);
    assert_eq!(there(), before);
    // A certificate that is none is nobody's, and replaced.
    std::fs::write(vault.path().join("archives/cluster.pgp"), b"noise").unwrap();
    vault.run(&backup, b"").expect(0);
    assert_eq!(there().1, before.1);
}

#[test]
fn what_lies_in_the_way_of_a_backup_is_not_waited_for() {
    let vault = Vault::start();
    let target = vault.path().join("archives");
    std::fs::create_dir(&target).unwrap();
    let made = std::process::Command::new("mkfifo").arg(target.join("cluster.pgp")).status();
    assert!(made.unwrap().success());
    // It is no certificate, and is replaced.
    vault.run(&["backup", "--output", "archives"], b"").expect(0);
    assert!(target.join("cluster.pgp").is_file());
    std::fs::remove_file(target.join("cluster.pgp")).unwrap();
    std::fs::create_dir(target.join("cluster.pgp")).unwrap();
    let refused = vault.run(&["backup", "--output", "archives"], b"").expect(1);
    assert!(refused.err.contains("cluster.pgp"), "{}", refused.err);
    let known = vault.run(&["archive", "ls", "--quiet"], b"").expect(0).text();
    assert_eq!(known.lines().count(), 2, "nothing more was begun: {known}");
}

#[test]
fn files_that_have_no_end_are_not_read_to_their_end() {
    let vault = Vault::start();
    let endless = vault.with("/dev/zero", &["status"], b"").expect(1);
    assert!(endless.err.contains("/dev/zero: it is larger than"), "{}", endless.err);
}
