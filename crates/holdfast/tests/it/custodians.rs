//! Custodians' certificates: those that cannot serve are refused when added, by `init` and by a running vault;
//! renewed ones take the place of the old.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::gpg::{Gpg, vault_of};
use crate::run::{Server, free_address, holdfast, with, with_environment, with_scratch};
use crate::vault::{Vault, soon};

#[test]
fn certificates_that_cannot_serve_are_refused_when_added() {
    let gpg = Gpg::new();
    gpg.run("--faked-system-time 20200101T000000 --quick-gen-key expired default default 2d");
    gpg.run("--quick-gen-key revoked default default never");
    let revocation =
        gpg.0.path().join(format!("openpgp-revocs.d/{}.rev", gpg.fingerprint("revoked")));
    let text = std::fs::read_to_string(&revocation).unwrap();
    std::fs::write(&revocation, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.run(&format!("--import {}", revocation.display()));
    gpg.run("--quick-gen-key signer ed25519 sign never");
    gpg.run("--quick-gen-key good default default never");

    let vault = Vault::start();
    let home = vault.path();
    let before = vault.run(&["custodian", "ls", "--json"], b"").expect(0).text();
    let slots = vault.run(&["slot", "ls", "--json"], b"").expect(0).text();
    let good = gpg.run("--export good");
    let secret = gpg.run("--export-secret-keys good");
    let both = [good.clone(), gpg.run("--export signer")].concat();
    for (name, bytes, why) in [
        ("expired", gpg.run("--export expired"), "expired"),
        ("revoked", gpg.run("--export revoked"), "revoked"),
        ("signer", gpg.run("--export signer"), "encrypt"),
        ("cut", good[..good.len() / 2].to_vec(), "certificate"),
        ("empty", Vec::new(), "certificate"),
        ("text", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n".to_vec(), "certificate"),
        ("secret", secret, "secret key"),
        ("both", both, "certificate"),
        ("large", vec![0x99; 65 << 10], "larger than 65536 bytes"),
    ] {
        let file = format!("{name}.asc");
        std::fs::write(home.join(&file), &bytes).unwrap();
        let refused = vault.run(&["custodian", "add", &file], b"").expect(13);
        assert!(refused.err.contains(why), "{name}: {}", refused.err);
        assert!(refused.err.contains(&file), "{name}: {}", refused.err);
        // A secret key does not even leave this host.
        let secret = name == "secret";
        assert_eq!(refused.err.contains("a secret key to nobody"), secret, "{}", refused.err);
        if bytes.len() < 65536 && !secret {
            vault.audited(|line| {
                line["action"] == "custodian.add"
                    && line["result"] == "bad_input"
                    && line["detail"].as_str().is_some_and(|detail| detail.contains(why))
            });
        }
        let init = ["init", "--data", "made", "--custodian", &file, "--soft-key", "made.key"];
        let refused = holdfast(home, &init, b"").expect(13);
        assert!(
            refused.err.contains(why) && refused.err.contains("next: "),
            "{name}: {}",
            refused.err
        );
        assert_eq!(refused.err.contains("a secret key to nobody"), secret, "{}", refused.err);
        assert!(!home.join("made").exists() && !home.join("made.key").exists());
    }
    let added = |line: &&serde_json::Value| {
        line["action"] == "custodian.add" && line["result"] == "bad_input"
    };
    assert_eq!(vault.audit().iter().filter(added).count(), 7, "all but the secret and the large");
    assert_eq!(vault.run(&["custodian", "ls", "--json"], b"").expect(0).text(), before);
    assert_eq!(vault.run(&["slot", "ls", "--json"], b"").expect(0).text(), slots);
    std::fs::write(home.join("good.asc"), &good).unwrap();
    vault.run(&["custodian", "add", "good.asc"], b"").expect(0);
    vault.run(&["custodian", "add", "good.asc", "--name", "other"], b"").expect(12);
    let shown = vault.run(&["custodian", "show", "good", "--json"], b"").expect(0).text();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let id = shown["custodian_id"].as_str().unwrap();
    for args in [&["custodian", "show", "good"][..], &["custodian", "ls"]] {
        let said = vault.run(args, b"").expect(0).text();
        assert!(said.contains(id), "{args:?}: {said}");
    }
    vault.run(&["custodian", "show", id], b"").expect(0);
    vault.run(&["custodian", "show", "nobody"], b"").expect(10);
    vault.run(&["custodian", "rm", "nobody"], b"").expect(10);
    vault.run(&["backup", "--output", "archives", "--custodian", "nobody"], b"").expect(10);
}

/// A vault whose one custodian is `ann` of `gpg`, whose certificate ends in 9 days and some hours.
fn of_ann(gpg: &Gpg) -> (TempDir, Server) {
    gpg.run("--quick-gen-key ann ed25519 cert 10d");
    gpg.run(&format!("--quick-add-key {} cv25519 encr 10d", gpg.fingerprint("ann")));
    vault_of(gpg, "ann")
}

/// What `ann` has renewed: a later expiry, and another encryption subkey in the place of the revoked one.
fn renew(gpg: &Gpg, file: &Path) {
    let ann = gpg.fingerprint("ann");
    // Times in OpenPGP are in seconds: within one of them neither copy is the older.
    std::thread::sleep(std::time::Duration::from_secs(1));
    gpg.run(&format!("--quick-set-expire {ann} 5y"));
    gpg.run(&format!("--quick-add-key {ann} cv25519 encr 5y"));
    // Which subkey; sure; for no reason; without a text; sure.
    std::fs::write(gpg.0.path().join("answers"), "key 1\nrevkey\ny\n0\n\ny\nsave\n").unwrap();
    let answers = gpg.0.path().join("answers");
    gpg.run(&format!("--no-batch --command-file {} --edit-key {ann}", answers.display()));
    std::fs::write(file, gpg.run("--armor --export ann")).unwrap();
}

/// The key ids that a file is encrypted to.
fn recipients(gpg: &Gpg, file: &Path) -> Vec<String> {
    let packets = gpg.run(&format!("--list-packets --list-only {}", file.display()));
    let packets = String::from_utf8_lossy(&packets).into_owned();
    let ids = packets.lines().filter(|line| line.starts_with(":pubkey enc packet"));
    ids.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_old_one() {
    let gpg = Gpg::new();
    let (home, mut server) = of_ann(&gpg);
    let path = home.path();
    let run = |args: &[&str]| with(path, "v.toml", args, b"");
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&run(&[args, &["--json"]].concat()).expect(0).text()).unwrap()
    };
    let expiry = || {
        let status = json(&["status"]);
        let mut warnings = status["warnings"].as_array().unwrap().iter();
        let about = |one: &&Value| one["what"].as_str().unwrap().contains("the certificate of");
        warnings.find(about).map(|one| one["next"].as_str().unwrap().to_owned())
    };
    let step = expiry().expect("it ends in 9 days");
    let before = json(&["custodian", "show", "ann"]);
    let backup = ["backup", "--output", "archives", "--quiet"];
    let first = run(&backup).expect(0).text();
    let first_to = recipients(&gpg, &path.join(&first));
    std::fs::write(path.join("secret.asc"), gpg.run("--armor --export-secret-keys ann")).unwrap();

    renew(&gpg, &path.join("new.asc"));
    let same = run(&["custodian", "add", "old.asc"]).expect(12);
    assert!(same.err.contains("custodian ann has already: nothing to do"), "{}", same.err);
    let other = run(&["custodian", "add", "new.asc", "--name", "bob"]).expect(11);
    assert!(other.err.contains("that of custodian ann"), "{}", other.err);
    // What `status` says, done.
    let step = step.replace("RENEWED_CERTIFICATE_FILE", "new.asc");
    let step: Vec<_> = step.strip_prefix("holdfast ").unwrap().split(' ').collect();
    let renewed = json(&step);
    assert_eq!(renewed["renewed"], true);
    for stays in ["name", "custodian_id", "fingerprint", "added"] {
        assert_eq!(renewed[stays], before[stays], "{stays}");
    }
    assert!(renewed["expires"].as_u64() > before["expires"].as_u64());
    assert_ne!(renewed["slot_id"], before["slot_id"]);
    assert_eq!(expiry(), None, "nothing is left to warn of");
    assert_eq!(json(&["custodian", "ls"])["custodians"].as_array().unwrap().len(), 1);
    let slots = json(&["slot", "ls"])["slots"].as_array().unwrap().clone();
    let slots: Vec<_> = slots.iter().filter(|slot| slot["kind"] == "openpgp").collect();
    assert_eq!(slots.len(), 1, "{slots:?}");
    assert_eq!(slots[0]["slot_id"], renewed["slot_id"]);
    run(&["custodian", "add", "new.asc"]).expect(12);
    let older = run(&["custodian", "add", "old.asc"]).expect(11);
    assert!(older.err.contains("older than the one that ann has"), "{}", older.err);

    // Sealed to the new subkey alone, inside, too; the ledger names it; the old archive opens as it did.
    run(&["key", "create", "orders"]).expect(0);
    let second = run(&backup).expect(0).text();
    let second_to = recipients(&gpg, &path.join(&second));
    assert_eq!((first_to.len(), second_to.len()), (1, 1));
    assert_ne!(first_to, second_to);
    std::fs::create_dir(path.join("x")).unwrap();
    gpg.run(&format!("-d {} | tar -xC {}", path.join(&second).display(), path.join("x").display()));
    let slot = path.join(format!("x/slots/1-{}.pgp", renewed["slot_id"].as_str().unwrap()));
    assert_eq!(recipients(&gpg, &slot), second_to);
    let ledger = std::fs::read_to_string(path.join("x/records/ledger-000001.ndjson")).unwrap();
    let id = before["custodian_id"].as_str().unwrap();
    let entry = format!("\"custodian_added\":{{\"custodian_id\":\"{id}\"");
    let entry: String = entry.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ledger.matches(&entry).count(), 2, "{ledger}");
    std::fs::write(path.join("both.asc"), gpg.run("--armor --export-secret-keys ann")).unwrap();
    run(&["drill", &second, "--identity", "both.asc"]).expect(0);
    run(&["drill", &second, "--identity", "secret.asc"]).expect(23);
    run(&["drill", &first, "--identity", "secret.asc"]).expect(0);

    // A restore of the older one takes nothing away from her, and her certificate stays the renewed one.
    let trust = run(&["sheet", "--fingerprint"]).expect(0).text();
    server.kill();
    let place =
        ["--data", "again", "--soft-key", "again.key", "--listen", &free_address(), "--yes"];
    let key = ["restore", &first, "--identity", "both.asc", "--trust", &trust, "--json"];
    let restored = with(path, "again.toml", &[&key[..], &place].concat(), b"").expect(0).text();
    let restored: Value = serde_json::from_str(&restored).unwrap();
    let carried = &restored["carried"];
    assert_eq!((&carried["custodians"], &carried["renewed"][0]), (&0.into(), &"ann".into()));
    let _server = Server::start(path, &["server", "--data", "again"]);
    let again = |args: &[&str]| with(path, "again.toml", args, b"");
    soon(|| (again(&["status"]).code == 0).then_some(())).unwrap();
    again(&["custodian", "add", "old.asc"]).expect(11);
    again(&["custodian", "add", "new.asc"]).expect(12);
    let third = again(&backup).expect(0).text();
    assert_eq!(recipients(&gpg, &path.join(&third)), second_to);
}

#[test]
fn a_certificate_that_ended_or_was_revoked_takes_no_place() {
    let gpg = Gpg::new();
    let (home, _server) = of_ann(&gpg);
    let path = home.path();
    let run = |args: &[&str]| with(path, "v.toml", args, b"");
    let before = run(&["custodian", "show", "ann", "--json"]).expect(0).text();
    let ann = gpg.fingerprint("ann");
    let add = |name: &str, why: &str| {
        std::fs::write(path.join(name), gpg.run("--armor --export ann")).unwrap();
        let refused = run(&["custodian", "add", name]).expect(13);
        assert!(refused.err.contains(why), "{name}: {}", refused.err);
    };
    gpg.run(&format!("--quick-set-expire {ann} seconds=1"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    add("expired.asc", "expired");
    let revocation = gpg.0.path().join(format!("openpgp-revocs.d/{ann}.rev"));
    let text = std::fs::read_to_string(&revocation).unwrap();
    std::fs::write(&revocation, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.run(&format!("--import {}", revocation.display()));
    add("revoked.asc", "revoked");
    assert_eq!(run(&["custodian", "show", "ann", "--json"]).expect(0).text(), before);
}

#[test]
fn init_takes_no_more_than_an_archive_and_a_slot_hold() {
    let gpg = Gpg::new();
    let home = tempfile::tempdir().unwrap();
    let names: Vec<String> = (1..=17).map(|n| format!("c{n}")).collect();
    for name in &names {
        gpg.run(&format!("--quick-gen-key {name} future-default default never"));
        std::fs::write(home.path().join(name), gpg.run(&format!("--export {name}"))).unwrap();
    }
    let listen = free_address();
    let init = |custodians: &[String]| {
        let mut args = vec!["init", "--data", "v", "--soft-key", "v.key", "--json"];
        args.extend(["--listen", &listen]);
        args.extend(custodians.iter().flat_map(|name| ["--custodian", name.as_str()]));
        with(home.path(), "v.toml", &args, b"")
    };
    let nothing = |made: &[&str]| made.iter().all(|name| !home.path().join(name).exists());
    let refused = init(&names).expect(13);
    assert!(refused.err.contains("17") && refused.err.contains("16"), "{}", refused.err);
    assert!(nothing(&["v", "v.key", "v.toml"]));

    gpg.run("--quick-gen-key many ed25519 cert never");
    let many = gpg.fingerprint("many");
    (0..90).for_each(|_| _ = gpg.run(&format!("--quick-add-key {many} nistp521 encr never")));
    std::fs::write(home.path().join("many"), gpg.run("--export many")).unwrap();
    let refused = init(&["many".to_owned()]).expect(13);
    assert!(refused.err.contains("may have 16384"), "{}", refused.err);
    assert!(nothing(&["v", "v.key", "v.toml"]));

    // As many as there may be are in the first archive; `custodian add` takes no more, either.
    let made: Value = serde_json::from_str(&init(&names[..16]).expect(0).text()).unwrap();
    assert!(made["place"].is_string() && made["archive_failed"].is_null(), "{made}");
    let _server = Server::start(home.path(), &["server", "--data", "v"]);
    let run = |args: &[&str]| with(home.path(), "v.toml", args, b"");
    soon(|| (run(&["status"]).code == 0).then_some(())).unwrap();
    let refused = run(&["custodian", "add", "c17"]).expect(11);
    assert!(refused.err.contains("at most 16"), "{}", refused.err);
    run(&["custodian", "rm", "c16"]).expect(0);
    let refused = run(&["custodian", "add", "many"]).expect(13);
    assert!(refused.err.contains("may have 16384"), "{}", refused.err);
}

#[test]
fn init_fails_where_the_first_archive_failed_and_the_vault_stands() {
    let gpg = Gpg::new();
    gpg.run("--quick-gen-key ann future-default default never");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("ann"), gpg.run("--export ann")).unwrap();
    // Scratch space for the drill that nobody can make: it lies under a file.
    std::fs::write(home.path().join("file"), b"").unwrap();
    let scratch = home.path().join("file/scratch");
    let init = |data: &str, how: &[&str]| {
        let (key, context) = (format!("{data}.key"), format!("{data}.toml"));
        let args = ["--context", &context, "init", "--data", data, "--soft-key", &key];
        let args = [&args[..], &["--custodian", "ann"], how].concat();
        with_scratch(home.path(), &scratch, &args)
    };
    let why = "the vault is made, but its first archive or the drill of that failed: ";
    let quiet = init("q", &["--quiet"]).expect(1);
    assert_eq!(quiet.text().len(), 32, "the vault's id alone: {}", quiet.text());
    assert!(quiet.err.contains(why), "{}", quiet.err);
    assert!(quiet.err.contains("next: start the server, then holdfast backup"), "{}", quiet.err);
    let loud = init("l", &[]).expect(1);
    assert!(loud.err.contains(why) && loud.text().contains("vault     "), "{}", loud.err);
    let json = init("j", &["--json"]).expect(1);
    let said: Value = serde_json::from_str(&json.text()).unwrap();
    assert!(said["archive_failed"].is_string() && said["vault_id"].is_string(), "{said}");
    assert!(json.err.contains(why) && json.err.contains("\"exit\":1"), "{}", json.err);
    // It is a whole vault, which knows what it lacks.
    let listen = free_address();
    let address = format!("https://{listen}");
    let _server = Server::start(home.path(), &["server", "--data", "q", "--listen", &listen]);
    let set = [("HOLDFAST_CONTEXT", "q.toml"), ("HOLDFAST_SERVER", &*address)];
    let status = || with_environment(home.path(), &set, &["status"]);
    soon(|| (status().code == 0).then_some(())).unwrap();
}
