//! What `verify`, `drill` and `restore` say of what was asked for: whom to trust, which context, which files.

use std::path::Path;

use serde_json::Value;

use crate::run::{Output, holdfast, with, with_environment};
use crate::vault::Vault;

const CONTEXT: &str = "demo/context.toml";
const IDENTITY: [&str; 2] = ["--identity", "demo/custodian.asc"];

/// A vault that serves, its archive, and the fingerprint from its sheet.
fn begun() -> (Vault, String, String) {
    let vault = Vault::start();
    let archive = vault.run(&["backup", "--output", "a", "--quiet"], b"").expect(0).text();
    let trust = vault.run(&["sheet", "--fingerprint"], b"").expect(0).text();
    (vault, archive, trust)
}

/// A copy of the administrator's context, changed.
fn context_like(vault: &Vault, name: &str, change: impl FnOnce(&mut holdfast_client::Context)) {
    let mut context = vault.context();
    change(&mut context);
    std::fs::write(vault.path().join(name), context.to_text().unwrap().as_bytes()).unwrap();
}

/// What standard error says: one JSON document, and nothing else.
#[track_caller]
fn document(output: &Output) -> Value {
    let parsed = serde_json::from_str(&output.err);
    parsed.unwrap_or_else(|error| panic!("{error}: {}", output.err))
}

#[test]
fn whom_to_trust_is_named_where_somebody_else_signed() {
    let (vault, archive, trust) = begun();
    let verify = |given: &str| vault.run(&["verify", &archive, "--trust", given], b"");
    let other = "AB".repeat(20);
    let refused = verify(&other).expect(22).err;
    assert!(refused.contains(&format!("signed by {trust}, not by {other}")), "{refused}");
    assert!(refused.contains("which --trust names"), "{refused}");
    assert!(refused.contains("printed sheet") && !refused.contains("give it with"), "{refused}");
    // As it is printed, in groups.
    let groups: Vec<_> = trust.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    verify(&groups.join(" ").to_lowercase()).expect(0);
    for odd in ["abcd", "", "no fingerprint", &format!("{trust}0")] {
        let refused = verify(odd).expect(13).err;
        assert!(refused.contains("--trust") && refused.contains("next: "), "{refused}");
    }
    // The same where a context knows another signer of the vault; nothing but the flag overrules it.
    context_like(&vault, "stale.toml", |context| context.signer.clone_from(&other));
    let refused = vault.with("stale.toml", &["verify", &archive], b"").expect(22).err;
    assert!(refused.contains(&other) && refused.contains("stale.toml"), "{refused}");
    assert!(refused.contains("printed sheet") && !refused.contains("give it with"), "{refused}");
    vault.with("stale.toml", &["verify", &archive, "--trust", &trust], b"").expect(0);
    context_like(&vault, "odd.toml", |context| "abcd".clone_into(&mut context.signer));
    let refused = vault.with("odd.toml", &["verify", &archive], b"").expect(13).err;
    assert!(refused.contains("odd.toml") && refused.contains("next: "), "{refused}");
    // Where nobody was named it is as ever.
    let refused = vault.with("none.toml", &["verify", &archive], b"").expect(22).err;
    assert!(refused.contains(&trust) && refused.contains("not known here"), "{refused}");
}

#[test]
fn a_context_file_that_was_named_and_is_not_there_is_told() {
    let (vault, archive, trust) = begun();
    let verify = ["verify", archive.as_str()];
    let known = [&verify[..], &["--trust", &trust]].concat();
    let refused = vault.with("nope.toml", &verify, b"").expect(22);
    assert!(refused.err.contains("nope.toml"), "{}", refused.err);
    let told = vault.with("nope.toml", &known, b"").expect(0);
    assert!(told.err.contains("nope.toml"), "{}", told.err);
    let set = [("HOLDFAST_CONTEXT", "gone.toml")];
    let told = with_environment(vault.path(), &set, &known).expect(0);
    assert!(told.err.contains("gone.toml"), "{}", told.err);
    let set = [("HOLDFAST_CONTEXT", CONTEXT), ("HOLDFAST_CA", "no.pem")];
    let told = with_environment(vault.path(), &set, &known).expect(0);
    assert!(told.err.contains("no.pem"), "{}", told.err);
    // Nobody named one: there is nothing to say.
    let silent = holdfast(vault.path(), &known, b"").expect(0);
    assert_eq!(silent.err, "");
    let drill = [&["drill", &archive, "--trust", &trust][..], &IDENTITY].concat();
    let drilled = vault.with("nope.toml", &drill, b"").expect(0);
    assert!(drilled.err.contains("NOT recorded: there is no context file nope.toml"));
    let drilled = holdfast(vault.path(), &drill, b"").expect(0);
    assert!(drilled.err.contains("/holdfast/context.toml"), "{}", drilled.err);
    assert!(drilled.err.contains("next: "), "{}", drilled.err);
    // Where a restore's goes nothing must be: that is no news.
    let restore = [&["restore", &archive, "--trust", &trust, "--yes"][..], &IDENTITY].concat();
    let restore = [&restore[..], &["--data", "r", "--soft-key", "r.key"]].concat();
    let restored = vault.with("r.toml", &restore, b"").expect(0);
    assert!(!restored.err.contains("there is no context"), "{}", restored.err);
}

#[test]
fn standard_error_is_one_document_where_json_is_asked_for() {
    let (vault, archive, trust) = begun();
    std::fs::write(vault.path().join("bad.toml"), "server = 7").unwrap();
    let verify = ["verify", archive.as_str(), "--json"];
    let refused = document(&vault.with("bad.toml", &verify, b"").expect(22));
    assert_eq!(refused["error"]["exit"], 22);
    assert!(refused["notes"][0].as_str().unwrap().contains("bad.toml"), "{refused}");
    let known = [&verify[..], &["--trust", &trust]].concat();
    let told = document(&vault.with("bad.toml", &known, b"").expect(0));
    assert!(told["notes"][0].as_str().unwrap().contains("bad.toml"), "{told}");
    assert_eq!(told["error"], Value::Null);
    assert_eq!(vault.run(&verify, b"").expect(0).err, "");

    std::fs::create_dir(vault.path().join("full")).unwrap();
    std::fs::write(vault.path().join("full/x"), b"x").unwrap();
    let restore = |data: &str| {
        let who = [&["restore", &archive, "--json", "--yes", "--trust", &trust][..], &IDENTITY];
        let place = ["--also", "nodir", "--data", data, "--soft-key", "r.key"];
        vault.with("r.toml", &[&who.concat()[..], &place].concat(), b"")
    };
    assert_eq!(document(&restore("full").expect(12))["error"]["code"], "exists");
    let restored = restore("r").expect(0);
    let report: Value = serde_json::from_str(&restored.text()).unwrap();
    assert_eq!(report["carried"]["passed_over"].as_array().unwrap().len(), 1);
    assert!(document(&restored)["notes"][0].as_str().unwrap().contains("nodir"));

    let script = holdfast(vault.path(), &["completions", "bash", "--json"], b"").expect(0);
    let script: Value = serde_json::from_str(&script.text()).unwrap();
    assert_eq!(script["shell"], "bash");
    assert!(script["script"].as_str().unwrap().contains("_holdfast"));
}

/// Whoever mistakes the same thing hears the same code.
#[test]
fn a_mistake_has_one_exit_code_wherever_it_is_made() {
    let (vault, archive, trust) = begun();
    std::fs::create_dir(vault.path().join("dir")).unwrap();
    std::fs::write(vault.path().join("file"), b"").unwrap();
    std::fs::write(vault.path().join("bad.toml"), "server = 7").unwrap();
    let tell = |args: &[&str], code: i32, what: &str| {
        let refused = vault.run(args, b"").expect(code);
        assert!(refused.err.contains(what), "{args:?}: {}", refused.err);
        let next = refused.err.contains("next: ") || refused.err.contains("--help");
        assert!(next, "{args:?}: {}", refused.err);
    };
    let restore = ["restore", archive.as_str(), "--data", "r"];
    // Ids.
    let revive = [&restore[..], &IDENTITY, &["--revive", "zz"]].concat();
    tell(&revive, 2, "--revive");
    tell(&["key", "undelete", "orders", "--key-id", "xyz"], 2, "--key-id");
    tell(&["identity", "create", "app", "--identity", "h1:xx"], 2, "--identity");
    tell(&["identity", "show", "h1:xx"], 2, "h1:xx");
    tell(&["identity", "rm", "h1:xx"], 2, "h1:xx");
    // What a command cannot do without.
    tell(&["drill", &archive], 2, "--identity <FILE>");
    tell(&restore, 2, "--identity <FILE>");
    let drill_help = holdfast(vault.path(), &["drill", "--help"], b"").expect(0).text();
    let usage = drill_help.lines().find(|line| line.starts_with("Usage:")).unwrap();
    assert!(usage.contains("--identity <FILE>"), "{usage}");
    // A directory for a file, a file for a directory.
    tell(&["verify", "dir"], 13, "directory");
    tell(&["verify", &archive, "--identity", "dir"], 13, "dir");
    tell(&["key", "decrypt", "-i", "dir"], 13, "dir");
    tell(&["custodian", "add", "dir"], 13, "dir");
    let known = [&["drill", &archive, "--trust", &trust][..], &IDENTITY].concat();
    tell(&[&known[..], &["--scratch", "file"]].concat(), 12, "--scratch");
    // The context, and what stands for a part of it.
    let of_context = |context: &str, code: i32, what: &str| {
        let refused = vault.with(context, &["key", "ls"], b"").expect(code).err;
        assert!(refused.contains(what) && refused.contains("next: "), "{refused}");
    };
    of_context("none.toml", 10, "none.toml");
    of_context("bad.toml", 13, "bad.toml");
    of_context("dir", 13, "dir");
    let set = [("HOLDFAST_CONTEXT", CONTEXT), ("HOLDFAST_CA", "no.pem")];
    let refused = with_environment(vault.path(), &set, &["key", "ls"]).expect(10).err;
    assert!(refused.contains("no.pem") && refused.contains("next: "), "{refused}");
}

#[test]
fn bare_words_are_codes() {
    let (vault, archive, trust) = begun();
    let quiet = |context: &str, args: &[&str]| {
        let args = [args, &["--trust", &trust, "--quiet"]].concat();
        vault.with(context, &args, b"").expect(0)
    };
    let verify = ["verify", archive.as_str()];
    assert_eq!(quiet(CONTEXT, &verify).text(), "signed");
    assert_eq!(quiet(CONTEXT, &[&verify[..], &IDENTITY].concat()).text(), "verified");
    let drill = [&["drill", archive.as_str()][..], &IDENTITY].concat();
    assert_eq!(quiet(CONTEXT, &drill).text(), "drilled");
    let alone = quiet("nope.toml", &drill);
    assert_eq!(alone.text(), "drilled-not-recorded");
    assert!(alone.err.contains("NOT recorded"), "{}", alone.err);
    std::fs::remove_file(vault.path().join(archive.replace(".tar.gpg", ".json.sig"))).unwrap();
    let unsigned = [&verify[..], &IDENTITY, &["--accept-unsigned"]].concat();
    assert_eq!(quiet(CONTEXT, &unsigned).text(), "unsigned");
}

#[test]
fn places_are_looked_at_before_anything_is_asked() {
    let (vault, archive, trust) = begun();
    let home = vault.path();
    std::fs::write(home.join("mine"), b"mine").unwrap();
    // No terminal and no --yes: what is in the way is said before that nobody can be asked.
    let restore = |data: &str, key: &str, context: &str| {
        let who = [&["restore", &archive, "--trust", &trust][..], &IDENTITY].concat();
        let place = ["--data", data, "--soft-key", key];
        with(home, context, &[&who[..], &place].concat(), b"")
    };
    let check = |data: &str, key: &str, context: &str, what: &str| {
        let refused = restore(data, key, context).expect(12).err;
        assert!(refused.contains(what) && refused.contains("next: "), "{refused}");
        assert!(!refused.contains("restore vault"), "no plan: {refused}");
    };
    check("demo/data", "r.key", "r.toml", "there is a vault in demo/data already");
    check("demo", "r.key", "r.toml", "demo is not empty");
    check("r", "mine", "r.toml", "mine");
    check("r", "r.key", "mine", "mine");
    let refused = restore("r", "r.key", "r.toml").expect(11).err;
    assert!(refused.contains("--yes"), "{refused}");
    assert!(!Path::new(&home.join("r")).exists());
}

#[test]
fn help_says_where_a_new_context_goes() {
    let home = tempfile::tempdir().unwrap();
    for command in ["init", "restore"] {
        let help = holdfast(home.path(), &[command, "--help"], b"").expect(0).text();
        let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("Where the new client context goes"), "{help}");
        assert!(!text.contains("Client context file; else"), "{help}");
        assert!(text.contains("must not exist") && text.contains("HOLDFAST_CONTEXT"), "{help}");
    }
    let help = holdfast(home.path(), &["verify", "--help"], b"").expect(0).text();
    assert!(help.contains("Client context file; else"), "{help}");
}
