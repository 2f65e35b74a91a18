//! Going back and forth between the archives of one vault: what was taken away in one of its lives does not come
//! back by another, whichever archive is restored.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::run::{Output, Server, free_address, holdfast, with};
use crate::terminal::on_a_terminal;
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
        self.try_restore(archive, name, more).expect(0)
    }

    fn try_restore(&self, archive: &str, name: &str, more: &[&str]) -> Output {
        let args = self.args(archive, name, more);
        holdfast(self.path(), &args.iter().map(String::as_str).collect::<Vec<_>>(), b"")
    }

    fn args(&self, archive: &str, name: &str, more: &[&str]) -> Vec<String> {
        let (soft, context) = (format!("{name}.key"), format!("{name}.toml"));
        let place = ["restore", archive, "--data", name, "--soft-key", &soft, "--yes"];
        let who = ["--identity", "demo/custodian.asc", "--trust", &self.trust];
        let args = [&place[..], &["--context", &context], &who, &["--listen", &self.listen], more];
        args.concat().into_iter().map(str::to_owned).collect()
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
fn a_key_that_is_deleted_again_is_named_and_only_its_own_id_revives_it() {
    let (lives, orders, first) = begun();
    lives.restore(&first, "next", &[]);
    lives.live("next", &[&["key", "delete", "orders"]], "next-archives");
    let also = ["--also", "next-archives"];
    let told = lives.restore(&first, "told", &also).text();
    assert!(told.contains(&format!("\n  {orders}  default/orders\n")), "{told}");
    let json = lives.restore(&first, "json", &[&also[..], &["--json"]].concat()).text();
    let carried = serde_json::from_str::<Value>(&json).unwrap()["carried"].clone();
    let named = serde_json::json!([{"key_id": orders, "enclave": "default", "name": "orders"}]);
    assert_eq!((&carried["deleted"], &carried["revived"]), (&named, &serde_json::json!([])));
    let revive = [&also[..], &["--json", "--revive", &orders]].concat();
    let json = lives.restore(&first, "back", &revive).text();
    let carried = serde_json::from_str::<Value>(&json).unwrap()["carried"].clone();
    assert_eq!(carried["deleted"], serde_json::json!([]));
    assert_eq!(carried["revived"], serde_json::json!([orders]));

    // The plan names it, too, to whoever is asked.
    let args = lives.args(&first, "asked", &also);
    let args: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--yes").collect();
    let (ended, said) = on_a_terminal(lives.path(), &[["[y/N]", "n\\n"]], &args);
    assert_eq!(ended, "11 echo", "{said}");
    assert!(said.contains("1 keys will be deleted again:"), "{said}");
    assert!(said.contains(&format!("  {orders}  default/orders")), "{said}");

    // One digit is wrong: nothing is made.
    let last = if orders.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &orders[..31]);
    for (id, more) in [(&wrong, &also[..]), (&wrong, &[]), (&orders, &[])] {
        let args = [more, &["--revive", id]].concat();
        let refused = lives.try_restore(&first, "wrong", &args).expect(10).err;
        assert!(refused.contains(id.as_str()) && refused.contains("--revive"), "{refused}");
        assert!(refused.contains("next: "), "{refused}");
        for file in ["wrong", "wrong.key", "wrong.toml"] {
            assert!(!lives.path().join(file).exists(), "{file}");
        }
    }
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
