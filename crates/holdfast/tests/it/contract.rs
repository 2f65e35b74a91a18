//! What scripts and people may rely on from here on: names, flags, fields, bare lines, exit codes, help.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{Server, free_address, holdfast, with};
use crate::vault;

const CONTEXT: &str = "demo/context.toml";

/// A vault for trying out in `home/demo`, that already answers.
fn dev(home: &Path) -> Server {
    vault::dev(home, "demo", &free_address())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The names of the fields of an object, sorted, in one line.
fn fields(value: &Value) -> String {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// Every command that `--help` lists, with its own.
fn commands(home: &Path, path: &[&str], leaves: &mut Vec<(String, String)>) {
    let args = [path, &["--help"]].concat();
    let help = holdfast(home, &args, b"").expect(0).text();
    let Some(list) = help.split("\nCommands:\n").nth(1) else {
        leaves.push((path.join(" "), help));
        return;
    };
    assert!(help.contains("Example"), "{path:?}: {help}");
    for line in list.lines().take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap();
        commands(home, &[path, &[name]].concat(), leaves);
    }
}

#[test]
fn every_help_teaches_with_an_example() {
    let home = tempfile::tempdir().unwrap();
    let mut leaves = Vec::new();
    commands(home.path(), &[], &mut leaves);
    assert!(leaves.len() >= 36, "{}", leaves.len());
    for (name, help) in &leaves {
        assert!(help.contains("Example"), "{name}: {help}");
        assert!(help.contains("--json") && help.contains("--quiet"), "{name}: {help}");
        let own = help.split("Usage:").next().unwrap().trim();
        assert!(own.len() > 10, "{name} says what it does: {help}");
    }
    let help = holdfast(home.path(), &["--help"], b"").expect(0).text();
    for code in ["10", "11", "12", "13", "14", "20", "21", "22", "23", "24", "25", "30", "31"] {
        assert!(help.contains(&format!("  {code}  ")), "{code} is not in\n{help}");
    }
}

#[test]
fn json_has_the_same_fields_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    let run = |args: &[&str], input: &[u8]| {
        let args = [args, &["--json"]].concat();
        json(&with(home, CONTEXT, &args, input).expect(0).text())
    };
    let check = |args: &[&str], input: &[u8], want: &str| {
        let found = run(args, input);
        assert_eq!(fields(&found), want, "{args:?}");
        found
    };
    let key = "created deleted enclave key_id kind name state version versions";
    check(&["key", "create", "orders"], b"", key);
    check(&["key", "rotate", "orders"], b"", key);
    let shown = check(&["key", "show", "orders"], b"", key);
    assert_eq!(fields(&shown["versions"][0]), "changed state version");
    let sealed = check(&["key", "encrypt", "orders"], b"x", "ciphertext key_id version");
    let raw = data_encoding::BASE64.decode(sealed["ciphertext"].as_str().unwrap().as_bytes());
    check(&["key", "decrypt"], &raw.unwrap(), "enclave key_id name plaintext version");
    check(&["key", "generate", "orders"], b"", "ciphertext key_id plaintext version");
    let list = check(&["key", "ls"], b"", "keys next");
    assert_eq!(fields(&list["keys"][0]), key);
    assert_eq!((&list["keys"][0]["versions"], &list["next"]), (&Value::Null, &Value::Null));
    check(&["key", "delete", "orders"], b"", key);
    let gone = check(&["key", "ls", "--deleted"], b"", "keys next");
    assert_eq!(gone["keys"][0]["name"], "orders");
    assert!(gone["keys"][0]["deleted"].is_u64(), "{gone}");
    let none = with(home, CONTEXT, &["key", "undelete", "ordres"], b"").expect(10);
    assert!(none.err.contains("key ls --deleted"), "{}", none.err);
    let none = with(home, CONTEXT, &["key", "encrypt", "orders"], b"x").expect(10);
    assert!(none.err.contains("key ls -e default") && none.err.contains("ask an administrator"));
    check(&["key", "undelete", "orders", "--name", "old"], b"", key);
    assert_eq!(run(&["key", "ls", "--deleted"], b"")["keys"], Value::Array(Vec::new()));

    check(&["enclave", "create", "plant"], b"", "enclave_id name state");
    assert_eq!(fields(&run(&["enclave", "ls"], b"")["enclaves"][0]), "enclave_id name state");
    let gone = check(&["enclave", "rm", "plant"], b"", "enclave_id name state");
    assert_eq!(gone["state"], "removed");
    let policy = "allow deny enclave name";
    check(&["policy", "set", "app", "--allow", "key.encrypt:orders-*"], b"", policy);
    check(&["policy", "show", "app"], b"", policy);
    assert_eq!(fields(&run(&["policy", "ls"], b"")["policies"][0]), policy);
    let user = "created enclave identity name policy privilege";
    let made = ["identity", "create", "app", "--policy", "app"];
    check(&made, b"", &format!("api_key {user}"));
    check(&["identity", "show", "app"], b"", user);
    let saved = ["identity", "create", "saved", "--save", "saved.toml"];
    let saved = check(&saved, b"", &format!("api_key {user}"));
    assert_eq!((&saved["api_key"], &saved["policy"]), (&Value::Null, &Value::Null));
    assert_eq!(fields(&run(&["identity", "ls"], b"")["identities"][0]), user);
    check(&["identity", "rm", "app"], b"", user);
    check(&["policy", "rm", "app"], b"", policy);

    let custodian = "added custodian_id expires fingerprint name slot_id";
    let list = run(&["custodian", "ls"], b"");
    assert_eq!(fields(&list["custodians"][0]), custodian);
    let name = list["custodians"][0]["name"].as_str().unwrap();
    check(&["custodian", "show", name], b"", custodian);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let now = holdfast_types::Millis(u64::try_from(now).unwrap());
    let (_, next) = holdfast_seal::generate_custodian("Next", now).unwrap();
    std::fs::write(home.join("next.asc"), next).unwrap();
    check(
        &["custodian", "add", "next.asc"],
        b"",
        "added custodian_id expires fingerprint name renewed slot_id",
    );
    check(
        &["custodian", "rm", "Next"],
        b"",
        "added custodian_id expires fingerprint name note slot_id",
    );
    let slots = run(&["slot", "ls"], b"");
    assert_eq!(fields(&slots["slots"][0]), "archived custodian generation kind recipient slot_id");
    assert_eq!(slots["slots"][1]["kind"], "soft");
    archives_in_json(home, &check, &run);
    let status = "archives at counts digest epoch incarnation node revision vault_id warnings";
    let status = check(&["status"], b"", status);
    assert_eq!(fields(&status["warnings"][0]), "level next what");
    let node = "audit_counted audit_dropped audit_records leader majority_age_ms node_id term";
    assert_eq!(fields(&status["node"]), node);
    check(&["sheet"], b"", "custodians signer text vault_id");
    check(&["sheet", "--fingerprint"], b"", "signer");
}

/// Runs a command, compares the fields of its JSON, and gives that.
type Check<'a> = &'a dyn Fn(&[&str], &[u8], &str) -> Value;

fn archives_in_json(home: &Path, check: Check<'_>, run: &dyn Fn(&[&str], &[u8]) -> Value) {
    let backup = "archive_id name place sha256 size state";
    let here = check(&["backup"], b"", backup);
    let made = check(&["backup", "--output", "out"], b"", backup);
    assert_eq!(made["state"], "stored");
    let path = made["place"].as_str().unwrap();
    let archive = "archive_id custodians drilled drilled_full from gone name place sha256 size stored stored_by to verified written";
    let shown = check(&["archive", "show", path], b"", archive);
    assert!(shown["stored_by"].as_str().unwrap().starts_with("h1:"), "as reported: {shown}");
    let list = run(&["archive", "ls"], b"");
    assert_eq!(fields(&list["archives"][0]), archive);
    let verdict = "archive_id created digest from rows sha256 signer size to unsigned vault_id verdict versions";
    let found = check(&["verify", path], b"", verdict);
    assert_eq!((&found["verdict"], &found["rows"]), (&"signed".into(), &Value::Null));
    // One thing has one name, and one value.
    for (one, other) in [(&made, &shown), (&found, &shown), (&here, &list["archives"][1])] {
        for field in ["archive_id", "name", "place", "sha256", "size", "from", "to"] {
            let (one, other) = (&one[field], &other[field]);
            assert!(one == other || one.is_null(), "{field}: {one} {other}");
        }
    }
    assert!(Path::new(path).is_absolute());
    let identity = ["--identity", "demo/custodian.asc"];
    let opened = check(&[&["verify", path][..], &identity].concat(), b"", verdict);
    assert_eq!(opened["verdict"], "verified");
    let drilled =
        "archive_id digest elapsed_ms mode not_recorded recorded rows seq unsigned versions";
    let drill = check(&[&["drill", path][..], &identity].concat(), b"", drilled);
    assert_eq!(drill["recorded"], true);

    // Nobody answers there: the drill is done all the same, and says that it was not recorded.
    let context = std::fs::read_to_string(home.join(CONTEXT)).unwrap();
    let there = context.lines().find(|line| line.starts_with("server")).unwrap();
    let nobody = context.replace(there, "server = \"https://127.0.0.1:1\"");
    std::fs::write(home.join("nobody.toml"), nobody).unwrap();
    let args = [&["drill", path, "--json"][..], &identity].concat();
    let alone = json(&with(home, "nobody.toml", &args, b"").expect(0).text());
    assert_eq!(fields(&alone), drilled);
    assert_eq!((&alone["recorded"], &alone["seq"]), (&false.into(), &Value::Null));
}

#[test]
fn init_server_and_restore_speak_json_and_bare_lines() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    let start = format!("exec \"$0\" server --dev --data demo --json --listen {listen} > serving");
    let mut server = Server::shell(home, &start);
    // A part of an object is none.
    let serving: Value = vault::soon(|| {
        serde_json::from_str(&std::fs::read_to_string(home.join("serving")).ok()?).ok()
    })
    .expect("it serves");
    assert_eq!(fields(&serving), "address data export listen made names");
    assert_eq!(serving["address"], format!("https://{listen}"));
    assert_eq!(serving["listen"], listen);
    assert!(serving["names"].as_array().unwrap().contains(&"localhost".into()), "{serving}");
    let made = "archive_failed archive_ms byte_drill_ms context full_drill_ms place signer soft_key vault_id";
    assert_eq!(fields(&serving["made"]), made);
    let archive = serving["made"]["place"].as_str().unwrap().to_owned();
    server.kill();

    let init = |name: &str, flag: &str| {
        let (key, context) = (format!("{name}.key"), format!("{name}.toml"));
        let args = ["init", "--no-custodian", "--data", name, "--soft-key", &key, flag];
        with(home, &context, &args, b"").expect(0).text()
    };
    let report = json(&init("a", "--json"));
    assert_eq!(fields(&report), made);
    assert_eq!(report["place"], Value::Null);
    assert!(Path::new(report["context"].as_str().unwrap()).is_absolute());
    assert_eq!(init("b", "--quiet").len(), 32, "the vault's id");

    let signer = serving["made"]["signer"].as_str().unwrap();
    let restore = |name: &str, flag: &str| {
        let (key, context) = (format!("{name}.key"), format!("{name}.toml"));
        let args = ["restore", &archive, "--identity", "demo/custodian.asc", "--trust", signer];
        let place = ["--data", name, "--soft-key", &key, "--yes", flag];
        with(home, &context, &[&args[..], &place].concat(), b"").expect(0)
    };
    let report = json(&restore("c", "--json").text());
    let want = "carried context digest epoch rows soft_key unsigned vault_id versions";
    assert_eq!(fields(&report), want);
    let want = "anew custodians deleted identities kept keys passed_over policies renewed revived rotate versions";
    assert_eq!(fields(&report["carried"]), want);
    let quiet = restore("d", "--quiet");
    assert_eq!(
        (quiet.text().as_str(), quiet.err.as_str()),
        (report["vault_id"].as_str().unwrap(), "")
    );
}

#[test]
fn quiet_is_one_bare_line() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    let run = |args: &[&str]| {
        let args = [args, &["--quiet"]].concat();
        let text = String::from_utf8(with(home, CONTEXT, &args, b"").expect(0).out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{args:?}: {text}");
        text.trim_end().to_owned()
    };
    assert_eq!(run(&["key", "create", "orders"]), "orders");
    assert_eq!(run(&["key", "ls"]), "orders");
    assert_eq!(run(&["key", "generate", "orders"]).split(' ').count(), 2);
    assert_eq!(run(&["enclave", "ls"]), "default");
    assert_eq!(run(&["policy", "set", "app", "--empty"]), "app");
    assert!(run(&["identity", "create", "app", "--policy", "app"]).starts_with("k1:"));
    assert_eq!(run(&["identity", "create", "bob", "--save", "bob.toml"]), "bob.toml");
    assert_eq!(run(&["identity", "show", "bob"]), "bob");
    assert_eq!(run(&["identity", "rm", "bob"]), "bob");
    let elsewhere = format!("h1:{}AQE", "AQEB".repeat(10));
    assert_eq!(run(&["identity", "create", "eve", "--identity", &elsewhere]), "eve");
    assert_eq!(run(&["status"]), "warning");
    assert_eq!(run(&["sheet"]), run(&["sheet", "--fingerprint"]));
    let archive = run(&["backup", "--output", "archives"]);
    assert!(home.join(&archive).is_file());
    assert!(Path::new(&run(&["backup"])).is_file());
    assert_eq!(run(&["verify", &archive]), "signed");
    let identity = ["--identity", "demo/custodian.asc"];
    assert_eq!(run(&[&["verify", &archive][..], &identity].concat()), "verified");
    assert_eq!(run(&[&["drill", &archive][..], &identity].concat()), "drilled");
}

#[test]
fn usage_errors_end_with_2_and_are_json_when_asked() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["key"][..], &["frobnicate"], &["key", "create"], &["verify"], &["server"]] {
        holdfast(home.path(), args, b"").expect(2);
    }
    // A policy without a rule takes everything away: nobody means that who says nothing.
    holdfast(home.path(), &["policy", "set", "app"], b"").expect(2);
    holdfast(home.path(), &["policy", "set", "app", "--empty", "--allow", "*:*"], b"").expect(2);
    let refused = holdfast(home.path(), &["--json", "verify"], b"").expect(2);
    let error = json(&refused.err);
    assert_eq!((&error["error"]["code"], &error["error"]["exit"]), (&"usage".into(), &2.into()));
    assert!(error["error"]["message"].as_str().unwrap().contains("<ARCHIVE>"), "{error}");
}

#[test]
fn the_environment_overrides_the_context() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    let text = std::fs::read_to_string(home.join(CONTEXT)).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let ca = text.split("\"\"\"").nth(1).unwrap().trim_start();
    std::fs::write(home.join("ca.pem"), ca).unwrap();
    let (server, api_key) = (value("server"), value("api_key"));
    let run = |set: &[(&str, &str)], args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(args).current_dir(home).env_clear().stdin(Stdio::null());
        command.envs(set.iter().copied());
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let status = ["status", "--quiet"];
    let all = [
        ("HOLDFAST_SERVER", server.as_str()),
        ("HOLDFAST_API_KEY", api_key.as_str()),
        ("HOLDFAST_CA", "ca.pem"),
    ];
    assert_eq!(run(&all, &status).0, Some(0), "no context, no home");
    assert_eq!(run(&all[..2], &status).0, Some(13), "no CA");
    let (code, err) = run(&[], &status);
    assert_eq!(code, Some(10), "{err}");
    assert!(err.contains("HOLDFAST_CONTEXT"), "{err}");
    assert_eq!(run(&[("HOLDFAST_CONTEXT", CONTEXT)], &status).0, Some(0));
    assert_eq!(run(&[("HOLDFAST_CONTEXT", "")], &status).0, Some(10), "empty is none");
    assert_eq!(run(&[("HOLDFAST_CONTEXT", "no")], &["status", "--context", CONTEXT]).0, Some(0));
    let stranger = [("HOLDFAST_CONTEXT", CONTEXT), ("HOLDFAST_API_KEY", "k1:no")];
    assert_eq!(run(&stranger, &status).0, Some(13));
    let elsewhere = [("HOLDFAST_CONTEXT", CONTEXT), ("HOLDFAST_SERVER", "ftp://x")];
    assert_eq!(run(&elsewhere, &status).0, Some(13));
}

#[test]
fn completions_know_every_command() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = holdfast(home.path(), &["completions", shell], b"").expect(0).text();
        for name in ["restore", "custodian", "soft-key"] {
            assert!(script.contains(name), "{shell}: {name}");
        }
    }
    holdfast(home.path(), &["completions", "tcl"], b"").expect(2);
}

#[test]
fn who_stops_reading_sees_no_panic() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["completions", "bash"][..], &["--help"], &["server", "--data", "none"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.args(args).current_dir(home.path()).stdin(Stdio::null());
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        drop(reader);
        let code = command.status().unwrap().code();
        assert!(matches!(code, Some(0 | 32 | 130)), "{args:?}: {code:?}");
    }
}

#[test]
fn a_key_that_nobody_could_read_is_told() {
    let vault = vault::Vault::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args([
        "--context",
        "demo/context.toml",
        "identity",
        "create",
        "lost",
        "--privilege",
        "admin",
    ]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    command.current_dir(vault.path()).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
    let done = command.output().unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(30), "{err}");
    assert!(err.contains("next: holdfast identity rm lost, then make it again"), "{err}");
}

#[test]
fn the_help_of_policies_names_every_action() {
    let vault = vault::Vault::start();
    let refused = vault.run(&["policy", "set", "app", "--allow", "no.thing:x"], b"").expect(13);
    let (_, all) = refused.err.split_once("give one of ").unwrap();
    let all: Vec<&str> = all.split(", or").next().unwrap().split(", ").collect();
    let help = vault.run(&["policy", "set", "--help"], b"").expect(0).text();
    assert!(all.len() > 10, "{all:?}");
    assert!(all.iter().all(|action| help.contains(action)), "{all:?}: {help}");
}

#[test]
fn what_a_full_disk_did_not_take_is_not_called_done() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(["completions", "bash"]).current_dir(home.path()).stdin(Stdio::null());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
    let err = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(30), "{err}");
    assert!(err.contains("next: make room there"), "{err}");
}

#[test]
fn dev_makes_nothing_beside_what_it_does_not_know() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::write(home.join("file"), b"").unwrap();
    holdfast(home, &["server", "--dev", "--data", "file"], b"").expect(32);
    holdfast(home, &["init", "--no-custodian", "--data", "file"], b"").expect(12);
    std::fs::create_dir(home.join("full")).unwrap();
    std::fs::write(home.join("full/letters.txt"), b"").unwrap();
    let refused = holdfast(home, &["server", "--dev", "--data", "full"], b"").expect(12);
    assert!(refused.err.contains("letters.txt"), "{}", refused.err);
    let init = ["init", "--no-custodian", "--data", "real", "--soft-key", "k"];
    with(home, "c.toml", &init, b"").expect(0);
    let refused = holdfast(home, &["server", "--dev", "--data", "real"], b"").expect(12);
    assert!(refused.err.contains("without --dev"), "{}", refused.err);
    assert!(!home.join("real/data").exists());
}

#[test]
fn an_archive_does_not_go_into_what_it_should_save() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    let backup = |dir: &str| with(home, CONTEXT, &["backup", "--output", dir], b"");
    for dir in ["demo/data", "demo/data/archives", "demo/data/new/deep"] {
        let refused = backup(dir).expect(11);
        assert!(refused.err.contains("another disk"), "{}", refused.err);
    }
    assert!(!home.join("demo/data/new").exists());
    std::fs::write(home.join("file"), b"").unwrap();
    backup("file").expect(12);
    backup("new/deep").expect(0);
    backup("new/deep").expect(0);
}

#[test]
fn an_identity_and_its_saved_key_come_together() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    let create = |more: &[&str]| {
        with(home, CONTEXT, &[&["identity", "create", "app"][..], more].concat(), b"")
    };
    std::fs::write(home.join("file"), b"precious").unwrap();
    create(&["--save", "file"]).expect(12);
    create(&["--save", "file/under.toml"]);
    let nowhere = create(&["--save", "nope/app.toml"]).expect(10);
    assert!(nowhere.err.contains("there is no directory nope"), "{}", nowhere.err);
    assert!(nowhere.err.contains("--save FILE") && !home.join("nope").exists());
    assert_eq!(std::fs::read(home.join("file")).unwrap(), b"precious");
    with(home, CONTEXT, &["identity", "show", "app"], b"").expect(10);
    create(&["--policy", "nobody", "--save", "app.toml"]).expect(10);
    assert!(!home.join("app.toml").exists(), "refused: nothing stays");
    create(&["--save", "app.toml", "--identity", "h1:x"]).expect(2);
    create(&["--privilege", "admin", "--enclave", "default"]).expect(13);
    let made = create(&["--save", "app.toml"]).expect(0);
    assert!(!made.text().contains("k1:") && !made.err.contains("k1:"));
    with(home, "app.toml", &["key", "create", "x"], b"").expect(11);
    create(&["--save", "again.toml"]).expect(12);
    assert!(!home.join("again.toml").exists());
}

#[test]
fn a_restore_finds_the_signer_in_the_usual_context() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut server = dev(home);
    let archive = with(home, CONTEXT, &["backup", "--output", "out", "--quiet"], b"").expect(0);
    let archive = archive.text();
    server.kill();
    let restore = |set: Option<&str>, name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.current_dir(home).env("HOME", home).env_remove("XDG_CONFIG_HOME");
        command.args(["restore", &archive, "--identity", "demo/custodian.asc", "--yes"]);
        command.args(["--data", name, "--soft-key", &format!("{name}.key")]);
        command.args(["--context", &format!("{name}.toml")]);
        match set {
            Some(context) => command.env("HOLDFAST_CONTEXT", context),
            None => command.env_remove("HOLDFAST_CONTEXT"),
        };
        command.stdin(Stdio::null()).output().unwrap().status.code()
    };
    assert_eq!(restore(None, "a"), Some(22), "nobody knows the signer");
    assert_eq!(restore(Some(CONTEXT), "b"), Some(0));
    // Another vault's context knows another signer, which says nothing about this one.
    let init =
        ["init", "--no-custodian", "--data", "o", "--soft-key", "o.key", "--context", "o.toml"];
    holdfast(home, &init, b"").expect(0);
    assert_eq!(restore(Some("o.toml"), "c"), Some(22));
    assert!(!home.join("c").exists());
}

/// The way of the README: nothing is said of the soft key and the context, at `init` or later.
#[test]
fn without_a_word_the_soft_key_lies_in_the_usual_place_named_by_its_slot() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    holdfast(home, &["init", "--no-custodian", "--data", "v", "--listen", &listen], b"").expect(0);
    let _server = Server::start(home, &["server", "--data", "v"]);
    let slots = holdfast(home, &["slot", "ls", "--json"], b"").expect(0).text();
    let slots = json(&slots);
    let slot = slots["slots"][0]["slot_id"].as_str().unwrap();
    let key = home.join(".config/holdfast").join(format!("soft-{slot}.key"));
    let meta = std::fs::metadata(&key).unwrap();
    assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (32, 0o600));
}

#[test]
fn status_names_a_command_for_each_weak_point() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let _server = dev(home);
    // A busy machine's disk may not answer in time, and then nothing is said of archives.
    let run = |args: &[&str]| {
        let answered = vault::soon(|| {
            let text = with(home, CONTEXT, args, b"").expect(0).text();
            (!text.contains("a disk does not answer")).then_some(text)
        });
        answered.expect("the disk answers")
    };
    let page = run(&["status"]);
    for weak in [
        "one custodian",
        "archives are on the data's own disk",
        "the soft key",
        "one administrator",
    ] {
        assert!(page.contains(weak), "{weak:?} is not in\n{page}");
    }
    assert!(!page.contains("after the newest stored archive"), "{page}");
    run(&["key", "create", "orders"]);
    run(&["key", "create", "bills"]);
    run(&["key", "rotate", "bills"]);
    assert!(run(&["status"]).contains("2 keys were made or changed after"), "{}", run(&["status"]));
    // On the same disk an archive elsewhere is no better, whoever wrote it.
    run(&["backup", "--output", "out"]);
    let page = run(&["status"]);
    assert!(page.contains("archives are on the data's own disk"), "{page}");
    assert!(!page.contains("after the newest stored archive"), "{page}");
    // Whoever deletes archives makes nothing better.
    std::fs::remove_dir_all(home.join("out")).unwrap();
    std::fs::create_dir(home.join("out")).unwrap();
    let page = run(&["status"]);
    assert!(page.contains("is no longer at "), "{page}");
    assert!(page.contains("archives are on the data's own disk"), "{page}");
    assert!(page.contains("2 keys were made or changed after"), "{page}");
    vault::soon(|| run(&["archive", "ls"]).contains(" gone ").then_some(())).expect("it is gone");
    std::fs::remove_dir_all(home.join("demo/archives")).unwrap();
    let page = run(&["status"]);
    assert!(page.contains("CRITICAL: no recent archive is left where it was stored"), "{page}");
    let warnings = json(&run(&["status", "--json"]));
    for warning in warnings["warnings"].as_array().unwrap() {
        let (what, next) = (warning["what"].as_str().unwrap(), warning["next"].as_str().unwrap());
        assert!(!what.contains('\n') && !next.contains('\n'), "{warning}");
        assert!(next.contains("holdfast "), "{warning}");
    }
}

#[test]
fn without_a_custodian_status_stays_critical() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let listen = free_address();
    let init = ["init", "--no-custodian", "--data", "d", "--soft-key", "k", "--listen", &listen];
    let made = with(home, "c.toml", &init, b"").expect(0);
    assert!(made.text().contains("CRITICAL"), "{}", made.text());
    let _server = Server::start(home, &["server", "--data", "d"]);
    let run = |args: &[&str]| with(home, "c.toml", args, b"");
    assert_eq!(run(&["status", "--quiet"]).expect(0).text(), "critical");
    run(&["backup"]).expect(11);
    assert_eq!(run(&["status", "--quiet"]).expect(0).text(), "critical");
    assert!(run(&["sheet"]).expect(0).text().contains("NONE"));
}
