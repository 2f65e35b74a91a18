//! Going back and forth between the archives of one vault: what was taken away in one of its lives does not come
//! back by another, whichever archive is restored.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Output, Server, free_address, with};
use crate::vault::dev;

/// Lives of one vault, each in a directory of its own. One serves at a time.
struct Lives {
    home: TempDir,
    listen: String,
    trust: String,
}

impl Lives {
    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Restores into `name`; the summary goes to standard output, the plan and the rest to standard error.
    fn restore(&self, archive: &str, name: &str, more: &[&str]) -> Output {
        let (soft, context) = (format!("{name}.key"), format!("{name}.toml"));
        let place = ["restore", archive, "--data", name, "--soft-key", &soft, "--yes"];
        let who = ["--identity", "demo/custodian.asc", "--trust", &self.trust];
        let args = [&place[..], &who, &["--listen", &self.listen], more].concat();
        with(self.path(), &context, &args, b"").expect(0)
    }

    /// Serves a restored life, runs these commands in it, and takes an archive into the directory `to`.
    fn live(&self, name: &str, commands: &[&[&str]], to: &str) -> String {
        let _server = Server::start(self.path(), &["server", "--data", name]);
        let run = |args: &[&str]| with(self.path(), &format!("{name}.toml"), args, b"").expect(0);
        commands.iter().for_each(|args| drop(run(args)));
        run(&["backup", "--output", to, "--quiet"]).text()
    }

    /// The names of the identities in a restored life.
    fn identities(&self, name: &str) -> Vec<String> {
        let _server = Server::start(self.path(), &["server", "--data", name]);
        let listed = with(self.path(), &format!("{name}.toml"), &["identity", "ls", "--json"], b"");
        let listed: Value = serde_json::from_str(&listed.expect(0).text()).unwrap();
        let listed = listed["identities"].as_array().unwrap();
        let names = listed.iter().map(|who| who["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }
}

/// A vault, the id of its key `orders`, and its archive, in the directory `a`.
fn begun() -> (Lives, String, String) {
    let (home, listen) = (tempfile::tempdir().unwrap(), free_address());
    let mut server = dev(home.path(), "demo", &listen);
    let run = |args: &[&str]| with(home.path(), "demo/context.toml", args, b"").expect(0).text();
    run(&["key", "create", "orders"]);
    let key: Value = serde_json::from_str(&run(&["key", "show", "orders", "--json"])).unwrap();
    let create = ["identity", "create", "--privilege", "admin", "--save"];
    for name in ["bob", "admin-2"] {
        run(&[&create[..], &[&format!("{name}.toml"), name]].concat());
    }
    let archive = run(&["backup", "--output", "a", "--quiet"]);
    let trust = run(&["sheet", "--fingerprint"]);
    server.kill();
    (Lives { home, listen, trust }, key["key_id"].as_str().unwrap().to_owned(), archive)
}

#[test]
fn what_was_taken_away_in_any_life_of_a_vault_stays_away() {
    let (lives, orders, first) = begun();
    let bob_is_in = |name: &str| lives.identities(name).iter().any(|other| other == "bob");

    // A life in which much happens.
    assert!(lives.restore(&first, "long", &[]).text().contains("as epoch 2\n"));
    let mut names = lives.identities("long");
    names.sort();
    assert_eq!(names, ["admin", "admin-2", "admin-3", "bob"], "a name of its own");
    let create = ["1", "2", "3", "4", "5", "6"].map(|name| ["key", "create", name]);
    let mut much: Vec<&[&str]> = create.iter().map(|args| &args[..]).collect();
    much.push(&["key", "delete", "orders"]);
    let long = lives.live("long", &much, "long-archives");

    // Back to the first archive, in sight of that life.
    let also = ["--also", "long-archives", "--revive", &orders];
    let back = lives.restore(&first, "back", &also);
    assert!(back.text().contains("as epoch 3\n"), "{}", back.text());
    assert!(back.err.contains(", as epoch 3\n"), "{}", back.err);
    let later = lives.live("back", &[&["identity", "rm", "bob"]], "back-archives");
    // The archive that was given up does not bring him back.
    let again = lives.restore(&long, "again", &["--also", "back-archives"]);
    assert!(again.err.contains("is NEWER"), "{}", again.err);
    assert!(!bob_is_in("again"));
    // Nor does it count as newer than what was decided in sight of it.
    let kept = lives.restore(&later, "kept", &["--also", "long-archives"]);
    assert!(kept.err.contains("no newer archive"), "{}", kept.err);
    lives.live("kept", &[&["key", "show", "orders"]], "kept-archives");

    // Back to the first archive, out of sight of that life: neither is newer than the other.
    assert!(lives.restore(&first, "apart", &[]).text().contains("as epoch 2\n"));
    let apart = lives.live("apart", &[&["identity", "rm", "bob"]], "apart-archives");
    let both = lives.restore(&long, "both", &["--also", "apart-archives"]);
    assert!(both.err.contains("another restore"), "{}", both.err);
    assert!(both.text().contains("as epoch 3\n") && !both.err.contains("NEWER"), "{}", both.err);
    assert!(!bob_is_in("both"));
    let also = ["--also", "long-archives", "--revive", &orders];
    let deleted = lives.restore(&apart, "deleted", &also[..2]).text();
    assert!(deleted.contains(" 1 keys deleted"), "{deleted}");
    let revived = lives.restore(&apart, "revived", &also).text();
    assert!(revived.contains(" 0 keys deleted"), "{revived}");
}

#[test]
fn keys_that_were_rotated_and_identities_made_anew_after_an_archive_are_told() {
    let (lives, _, first) = begun();
    lives.restore(&first, "next", &[]);
    let server = Server::start(lives.path(), &["server", "--data", "next"]);
    let run = |args: &[&str]| with(lives.path(), "next.toml", args, b"").expect(0).text();
    run(&["key", "rotate", "orders"]);
    run(&["key", "create", "gone"]);
    let bob: Value = serde_json::from_str(&run(&["identity", "show", "bob", "--json"])).unwrap();
    run(&["identity", "rm", "bob"]);
    run(&["identity", "create", "bob", "--identity", bob["identity"].as_str().unwrap()]);
    run(&["backup", "--output", "next-archives", "--quiet"]);
    drop(server);

    let also = ["--also", "next-archives"];
    let told = lives.restore(&first, "told", &also);
    assert!(told.err.contains("1 keys were rotated"), "{}", told.err);
    assert!(told.err.contains("1 identities were made anew"), "{}", told.err);
    let report = lives.restore(&first, "json", &[&also[..], &["--json"]].concat()).text();
    let carried = serde_json::from_str::<Value>(&report).unwrap()["carried"].clone();
    let of = |field: &str| carried[field].as_u64().unwrap();
    assert_eq!((of("rotate"), of("identities"), of("anew")), (1, 1, 1));
    // Rotating it is what it takes.
    lives.live(
        "told",
        &[&["key", "rotate", "orders"], &["key", "encrypt", "orders"]],
        "told-archives",
    );
}
