//! From nothing through a disaster and back, and what a running server refuses.

use std::path::Path;

use crate::run::{Server, free_address, holdfast, with};
use crate::vault::dev;

const CONTEXT: &str = "demo/context.toml";

#[test]
fn keys_survive_the_loss_of_everything() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    let mut server = dev(home, "demo", &listen);
    let run = |args: &[&str], input: &[u8]| with(home, CONTEXT, args, input);
    run(&["key", "create", "orders"], b"").expect(0);
    let note = run(&["key", "encrypt", "orders"], b"attack at dawn\n").expect(0).out;
    assert_eq!(run(&["key", "decrypt"], &note).expect(0).text(), "attack at dawn");
    run(&["key", "rotate", "orders"], b"").expect(0);
    let shown = run(&["key", "show", "orders", "--json"], b"").expect(0).text();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["version"], 2);
    refusals(home, &note, &listen);

    let archive = run(&["backup", "--output", "archives", "--quiet"], b"").expect(0).text();
    let whole = run(&["verify", &archive], b"").expect(0);
    assert!(whole.text().contains("signed and whole, not opened"), "{}", whole.text());
    let identity = ["--identity", "demo/custodian.asc"];
    let opened = [&["verify", &archive][..], &identity].concat();
    assert!(run(&opened, b"").expect(0).text().starts_with("verified"));
    let drill = [&["drill", &archive, "--json"][..], &identity].concat();
    let report = run(&drill, b"").expect(0).text();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["recorded"], &report["versions"]), (&true.into(), &2.into()));
    let trust = run(&["sheet", "--fingerprint"], b"").expect(0).text();

    server.kill();
    std::fs::remove_dir_all(home.join("demo/data")).unwrap();
    for file in ["soft.key", "context.toml"] {
        std::fs::remove_file(home.join("demo").join(file)).unwrap();
    }
    let restore = ["restore", &archive, "--data", "again", "--soft-key", "again.key"];
    let place = ["--listen", &listen];
    let restore = [&restore[..], &identity, &place].concat();
    let unknown = [&restore[..], &["--yes"]].concat();
    with(home, "again.toml", &unknown, b"").expect(22);
    let asks = [&restore[..], &["--trust", &trust]].concat();
    with(home, "again.toml", &asks, b"").expect(11);
    let as_json = with(home, "again.toml", &[&asks[..], &["--json"]].concat(), b"").expect(11);
    let error: serde_json::Value = serde_json::from_str(&as_json.err).expect("one document");
    assert_eq!(error["error"]["code"], "refused", "{error}");
    assert!(!home.join("again").exists());
    let done = [&restore[..], &["--trust", &trust, "--yes"]].concat();
    with(home, "again.toml", &done, b"").expect(0);

    let _server = Server::start(home, &["server", "--data", "again"]);
    let decrypted = with(home, "again.toml", &["key", "decrypt"], &note).expect(0);
    assert_eq!(decrypted.text(), "attack at dawn");
}

#[test]
fn what_was_deleted_stays_deleted_unless_it_is_revived() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    let mut server = dev(home, "demo", &listen);
    let run = |args: &[&str], input: &[u8]| with(home, CONTEXT, args, input).expect(0);
    run(&["key", "create", "orders"], b"");
    run(&["key", "create", "kept"], b"");
    let note = run(&["key", "encrypt", "orders"], b"deleted later").out;
    let kept = run(&["key", "encrypt", "kept"], b"never deleted").out;
    let shown = run(&["key", "show", "orders", "--json"], b"").text();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let key_id = shown["key_id"].as_str().unwrap();
    let older = run(&["backup", "--output", "archives", "--quiet"], b"").text();
    run(&["key", "delete", "orders"], b"");
    run(&["backup", "--output", "elsewhere", "--quiet"], b"");
    let trust = run(&["sheet", "--fingerprint"], b"").text();
    server.kill();

    let restored = |name: &str, more: &[&str]| {
        let (soft, context) = (format!("{name}.key"), format!("{name}.toml"));
        let restore = ["restore", &older, "--data", name, "--soft-key", &soft, "--yes", "--json"];
        let who = ["--identity", "demo/custodian.asc", "--trust", &trust, "--listen", &listen];
        let args = [&restore[..], &who, more].concat();
        let report = with(home, &context, &args, b"").expect(0).text();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["carried"]["passed_over"], serde_json::json!([]));
        let _server = Server::start(home, &["server", "--data", name]);
        assert_eq!(with(home, &context, &["key", "decrypt"], &kept).code, 0);
        let code = with(home, &context, &["key", "decrypt"], &note).code;
        (report["carried"]["keys"].as_u64().unwrap(), code)
    };
    assert_eq!(restored("alone", &[]), (0, 0), "it knows of no newer archive");
    assert_eq!(restored("again", &["--also", "elsewhere"]), (1, 11));
    assert_eq!(restored("revived", &["--also", "elsewhere", "--revive", key_id]), (0, 0));
}

#[test]
fn newer_archives_of_no_use_are_named_and_do_not_hide_the_one_that_opens() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    let mut server = dev(home, "demo", &listen);
    let run = |args: &[&str]| with(home, CONTEXT, args, b"").expect(0).text();
    run(&["key", "create", "orders"]);
    let older = run(&["backup", "--output", "archives", "--quiet"]);
    run(&["key", "delete", "orders"]);
    run(&["backup", "--output", "elsewhere", "--quiet"]);
    let useless: Vec<String> =
        (0..5).map(|_| run(&["backup", "--output", "elsewhere", "--quiet"])).collect();
    let trust = run(&["sheet", "--fingerprint"]);
    server.kill();
    let of = |n: usize, end: &str| home.join(useless[n].replace(".tar.gpg", end));
    std::fs::write(of(0, ".json"), "{").unwrap();
    let json = std::fs::read_to_string(of(1, ".json")).unwrap();
    std::fs::write(of(1, ".json"), json.replace("\"min_reader\":1", "\"min_reader\":2")).unwrap();
    std::fs::remove_file(of(2, ".json")).unwrap();
    std::fs::copy(of(0, ".json.sig"), of(3, ".json.sig")).unwrap();
    let mut tar = std::fs::read(of(4, ".tar.gpg")).unwrap();
    tar[100] ^= 1;
    std::fs::write(of(4, ".tar.gpg"), tar).unwrap();
    std::fs::write(home.join("elsewhere/notes.json"), "{").unwrap();

    let restore = ["restore", &older, "--data", "again", "--soft-key", "again.key", "--yes"];
    let who = ["--identity", "demo/custodian.asc", "--trust", &trust];
    let also = ["--also", "elsewhere", "--also", "elsewhere/", "--also", "nowhere", "--json"];
    let done = with(home, "again.toml", &[&restore[..], &who, &also].concat(), b"").expect(0);
    let report: serde_json::Value = serde_json::from_str(&done.text()).unwrap();
    assert_eq!(report["carried"]["keys"], 1, "{}", done.err);
    let whys =
        ["does not parse", "reader of version 2", "is not there", "not authentic", "SHA-256"];
    let told = report["carried"]["passed_over"].as_array().unwrap();
    assert_eq!(told.len(), whys.len() + 1, "{told:?}");
    let says = |entry: &serde_json::Value, path: &str, why: &str| {
        entry["path"].as_str().unwrap().contains(path)
            && entry["why"].as_str().unwrap().contains(why)
    };
    assert!(told.iter().any(|entry| says(entry, "nowhere", "cannot be read")), "{told:?}");
    for (n, why) in whys.into_iter().enumerate() {
        let name = of(n, "").file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(told.iter().filter(|entry| says(entry, &name, why)).count(), 1, "{told:?}");
        let noted = |line: &&str| line.contains(&name) && line.contains(why);
        assert_eq!(done.err.lines().filter(noted).count(), 1, "{name}, {why}: {}", done.err);
    }
    assert!(!done.err.contains("notes.json"), "{}", done.err);
}

/// What a running vault refuses, each with its exit code.
fn refusals(home: &Path, note: &[u8], listen: &str) {
    let run = |args: &[&str], input: &[u8]| with(home, CONTEXT, args, input).code;
    assert_eq!(run(&["key", "show", "nobody"], b""), 10);
    assert_eq!(run(&["key", "create", "orders"], b""), 12);
    assert_eq!(run(&["key", "create", "a/b"], b""), 13);
    assert_eq!(run(&["key", "create", ""], b""), 13);
    let mut flipped = note.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(run(&["key", "decrypt"], &flipped), 14);
    assert_eq!(run(&["key", "decrypt", "--aad", "other"], note), 14);
    assert_eq!(run(&["key", "decrypt"], &note[..60]), 13);
    assert_eq!(run(&["key", "encrypt", "orders"], &vec![0; (1 << 20) + 1]), 13);
    let second = ["server", "--data", "demo/data", "--soft-key", "demo/soft.key"];
    let refused = holdfast(home, &second, b"").expect(31);
    assert!(
        refused.err.contains("demo/data") && refused.err.contains("stop it first"),
        "{}",
        refused.err
    );
    let init = ["init", "--no-custodian", "--data", "o", "--soft-key", "o.key"];
    assert_eq!(with(home, "o.toml", &init, b"").code, 0);
    let other = ["server", "--data", "o", "--listen", listen];
    assert_eq!(holdfast(home, &other, b"").code, 31, "a port in use");
}
