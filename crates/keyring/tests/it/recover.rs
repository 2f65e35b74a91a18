//! `contrib/recover.py`, the page of Python that has to work when nothing of ours does, against
//! directories as an unpacked archive leaves them. Needs Debian's python3-cryptography.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use data_encoding::HEXLOWER;
use holdfast_crypto::kcv;
use holdfast_keyring::Keyring;
use holdfast_records::{KeyVersion, Record, json};
use holdfast_types::{self as types, Body, Generation, Millis, Revision, Row, Table};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{VAULT, new_version, open_keyring};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/recover.py");
const SECOND_ROOT: [u8; 32] = [0x77; 32];

/// A vault with two root generations, and some archives of it.
struct Scene {
    dir: TempDir,
    roots: Vec<Value>,
}

impl Scene {
    /// Base `a` (revisions 0 to 10): two versions wrapped by generation 1, two by generation 2.
    fn new() -> (Self, Keyring) {
        let keyring = open_keyring();
        let mut versions = vec![new_version(&keyring, 1, 1), new_version(&keyring, 1, 2)];
        let mut scene = Self { dir: TempDir::new().expect("a scratch directory"), roots: vec![] };
        scene.slot(&keyring, Generation(1));
        load_second(&keyring);
        scene.slot(&keyring, Generation(2));
        versions.extend([new_version(&keyring, 2, 1), new_version(&keyring, 3, 1)]);
        let rows: Vec<_> = versions.iter().map(|version| row(version, 5)).collect();
        scene.archive("a", (0, 10), &rows, 4);
        (scene, keyring)
    }

    fn slot(&mut self, keyring: &Keyring, generation: Generation) {
        let payload = keyring.slot_payload(generation).expect("open");
        let path = self.dir.path().join(format!("{generation}.txt"));
        fs::write(path, payload.expose_secret()).expect("written");
        let kcv = HEXLOWER.encode(&keyring.root_kcv(generation).expect("open"));
        self.roots.push(json!({"generation": generation, "kcv": kcv, "current": false}));
    }

    fn archive(&self, name: &str, (from, to): (u64, u64), rows: &[String], live: usize) {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(dir.join("records")).expect("made");
        let manifest = json!({
            "vault_id": VAULT, "incarnation": "ab".repeat(16), "from": from, "to": to,
            "roots": self.roots, "counts": {"key_versions": {"live": live, "deleted": 0}},
        });
        write(&dir.join("manifest.json"), &[manifest.to_string()]);
        // Two members, as a large table has.
        let (first, second) = rows.split_at(rows.len() / 2);
        write(&dir.join("records/key_versions-000001.ndjson"), first);
        write(&dir.join("records/key_versions-000002.ndjson"), second);
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.path().join(file);
        let text = fs::read_to_string(&path).expect("there");
        assert!(text.contains(from), "{from:?} is not in {file}");
        fs::write(path, text.replace(from, to)).expect("written");
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("/usr/bin/python3")
            .arg(SCRIPT)
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .expect("python3 is installed")
    }

    /// The keys it printed; it must have succeeded.
    fn recovered(&self, args: &[&str]) -> BTreeSet<String> {
        let output = self.run(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// It must fail, and say this.
    fn refused(&self, args: &[&str], message: &str) {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        assert!(errors.contains(message), "{message:?} is not in:\n{errors}");
    }
}

fn load_second(keyring: &Keyring) {
    let generation = Generation(2);
    let root = HEXLOWER.encode(&SECOND_ROOT);
    let payload = format!("holdfast-root-v1\nvault {VAULT}\ngeneration 2\nroot {root}\n");
    let kcv = kcv::root_kcv(VAULT, generation, &SECOND_ROOT);
    assert_eq!(keyring.load_slot_payload(payload.as_bytes(), &kcv), Ok(generation));
}

fn write(path: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).expect("written");
}

/// The row as an archive carries it, and its tombstone.
fn row(version: &KeyVersion, rev: u64) -> String {
    line(version.key(), rev, version.encode())
}

fn tombstone(version: &KeyVersion, rev: u64) -> String {
    line(version.key(), rev, Body { schema: 0, bytes: Vec::new() })
}

fn line(key: Vec<u8>, rev: u64, body: Body) -> String {
    let value =
        types::Value { schema: body.schema, rev: Revision(rev), at: Millis(1), body: body.bytes };
    json::line(&Row { table: Table::KEY_VERSIONS, key, value }).expect("a valid row")
}

/// What the script prints of a version, but for the secret, whose check value it compared.
fn starts(line: &str, version: &KeyVersion) -> bool {
    let KeyVersion { enclave_id, key_id, version, kind, .. } = version;
    line.starts_with(&format!("{enclave_id} {key_id} {version} {} ", kind.as_str()))
}

#[test]
fn every_version_of_a_base() {
    let (scene, _) = Scene::new();
    let lines = scene.recovered(&["a", "1.txt", "2.txt"]);
    assert_eq!(lines.len(), 4);
    for line in lines {
        let secret = line.rsplit(' ').next().expect("a last field");
        assert_eq!(secret.len(), 64, "{line}");
    }
}

#[test]
fn golden_secret_comes_out() {
    let scene = Scene { dir: TempDir::new().expect("a scratch directory"), roots: vec![] };
    let golden = include_str!("../../../../testdata/keys/v1.txt");
    let field = |name: &str| {
        let prefix = format!("{name} ");
        golden.lines().find_map(|line| line.strip_prefix(&prefix)).expect("a golden field")
    };
    let roots = vec![json!({"generation": 1, "kcv": field("root-kcv"), "current": true})];
    let scene = Scene { roots, ..scene };
    let payload = HEXLOWER.decode(field("slot-payload").as_bytes()).expect("hex");
    fs::write(scene.dir.path().join("1.txt"), payload).expect("written");
    let (enclave, key, secret) = ("b0".repeat(16), "c0".repeat(16), "22".repeat(32));
    let row = json!({
        "at": 1, "enclave_id": enclave, "kcv": field("version-kcv"), "key_id": key, "kind": "aes256",
        "rev": 1, "schema": 1, "state": "active", "version": 1, "wrapped": field("version"),
    });
    let row = row.to_string();
    scene.archive("a", (0, 10), &[row], 1);
    let lines = scene.recovered(&["a", "1.txt"]);
    assert_eq!(lines, BTreeSet::from([format!("{enclave} {key} 1 aes256 {secret}")]));
}

#[test]
fn an_archive_may_have_no_version() {
    let (scene, keyring) = Scene::new();
    // Tables without a row are not counted, and have no member.
    scene.archive("b", (0, 10), &[], 0);
    scene.edit("b/manifest.json", r#""key_versions":{"deleted":0,"live":0}"#, "");
    fs::remove_dir_all(scene.dir.path().join("b/records")).expect("removed");
    assert_eq!(scene.recovered(&["b", "1.txt", "2.txt"]), BTreeSet::new());
    let output = scene.run(&["b", "1.txt", "2.txt"]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "0 of 0 key versions recovered\n");
    // Rows that nothing counts do not make it whole.
    let row = row(&new_version(&keyring, 1, 1), 5);
    scene.archive("c", (0, 10), &[row], 1);
    scene.edit("c/manifest.json", r#""key_versions":{"deleted":0,"live":1}"#, "");
    scene.refused(&["c", "1.txt", "2.txt"], "1 of 0 key versions recovered");
}

#[test]
fn a_missing_slot_is_named() {
    let (scene, _) = Scene::new();
    scene.refused(&["a", "2.txt"], "needs a slot of generation 1");
    scene.refused(&["a", "1.txt"], "needs a slot of generation 2");
    scene.refused(&["a", "1.txt"], "2 of 4 key versions recovered");
    let missing = scene.run(&["a", "2.txt"]).stderr;
    assert_eq!(String::from_utf8_lossy(&missing).matches("needs a slot").count(), 1, "said once");
}

#[test]
fn deltas_are_merged_by_revision() {
    let (scene, keyring) = Scene::new();
    let (rewrapped, new) = (new_version(&keyring, 2, 1), new_version(&keyring, 2, 2));
    let gone = tombstone(&new_version(&keyring, 3, 1), 13);
    scene.archive("b", (10, 20), &[row(&rewrapped, 12), row(&new, 12), gone], 4);
    let base = scene.recovered(&["a", "1.txt", "2.txt"]);
    let merged = scene.recovered(&["a", "b", "1.txt", "2.txt"]);
    assert_eq!(merged, scene.recovered(&["b", "a", "2.txt", "1.txt"]), "in any order");
    assert_eq!(merged.len(), 4);
    assert!(merged.iter().any(|line| starts(line, &new)), "the delta's new version");
    assert!(!merged.iter().any(|line| line.contains(&"03".repeat(16))), "the deleted one");
    let of = |lines: &BTreeSet<String>| lines.iter().find(|line| starts(line, &rewrapped)).cloned();
    assert_ne!(of(&base), of(&merged), "the newest revision wins");
    scene.refused(&["b", "1.txt", "2.txt"], "does not continue");
    scene.archive("c", (21, 30), &[], 4);
    scene.refused(&["a", "b", "c", "1.txt", "2.txt"], "does not continue");
}

#[test]
fn damage_is_never_a_key() {
    let slots = &["a", "1.txt", "2.txt"];
    let check = |file: &str, from: &str, to: &str, message: &str| {
        let (scene, _) = Scene::new();
        scene.edit(file, from, to);
        scene.refused(slots, message);
    };
    let first = "a/records/key_versions-000001.ndjson";
    check(first, "\"wrapped\":\"01", "\"wrapped\":\"02", "an unknown format");
    check(first, "\"kind\":\"aes256\"", "\"kind\":\"aes255\"", "not authentic");
    check(first, "\"enclave_id\":\"b0", "\"enclave_id\":\"b1", "not authentic");
    check(first, "\"version\":2", "\"version\":3", "not authentic");
    check(first, "\"kcv\":\"", "\"kcv\":\"00", "not the secret of its check value");
    check("a/manifest.json", "\"live\":4", "\"live\":5", "4 of 5 key versions recovered");
    check("a/manifest.json", "\"kcv\":\"", "\"kcv\":\"00", "does not match its check value");
    check("a/manifest.json", "\"vault_id\":\"a0", "\"vault_id\":\"a1", "not a slot of vault a1");
    check("1.txt", "holdfast-root-v1", "holdfast-root-v2", "1.txt: not a slot");
    check("1.txt", "generation 1", "generation 2", "does not match its check value");
}
