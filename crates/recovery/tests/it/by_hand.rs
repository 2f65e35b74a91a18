//! Recovery with stock gpg, gpgv, tar, sha256sum and Python: the steps of `RECOVER.txt`, in its order.

use std::path::Path;
use std::process::Command;

use holdfast_crypto::{sha256, xaes256gcm};
use holdfast_recovery::aids;
use holdfast_types::hex;
use holdfast_types::limits::CIPHERTEXT_OVERHEAD;
use tempfile::TempDir;

use crate::scene::{Scene, VAULT};

/// A GnuPG home in a short path (its agent's socket lies there), whose agent ends with it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("hf").tempdir_in("/tmp").unwrap())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "all"])
            .output();
    }
}

/// Runs a line of shell in `dir`; it must succeed. Gives standard output and standard error.
fn shell(home: &Home, dir: &Path, line: &str) -> (String, String) {
    let mut command = Command::new("/bin/bash");
    command.args(["-euc", line]).current_dir(dir).env("GNUPGHOME", home.0.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {stderr}");
    (String::from_utf8(output.stdout).unwrap(), stderr)
}

#[test]
fn every_version_is_recovered_without_holdfast() {
    let scene = Scene::new();
    let (keys, said) = recover(&scene);
    compare(&scene, &keys);
    assert!(said.contains(&format!("{0} of {0} key versions", scene.versions.len())), "{said}");
}

/// The first archive of a vault: nothing is missing from it.
#[test]
fn a_vault_without_keys_is_whole_by_hand() {
    let (keys, said) = recover(&Scene::empty());
    assert_eq!((keys.as_str(), said.as_str()), ("", "0 of 0 key versions recovered\n"));
}

/// What the last step prints, and says beside it, for the last custodian.
fn recover(scene: &Scene) -> (String, String) {
    let (tar, sealed) = scene.write();
    let home = Home::new();
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let name = &sealed.name;
    std::fs::write(dir.join(format!("{name}.tar.gpg")), &tar).unwrap();
    std::fs::write(dir.join(format!("{name}.json")), &sealed.json).unwrap();
    std::fs::write(dir.join(format!("{name}.json.sig")), &sealed.signature).unwrap();
    std::fs::write(dir.join("me.asc"), scene.secrets.last().unwrap()).unwrap();
    for (file, bytes) in aids(scene.signer.certificate_bytes(), None) {
        std::fs::write(dir.join(file), bytes).unwrap();
    }
    let run = |line: &str| shell(&home, dir, line).0;
    run("gpg --batch --import me.asc");
    let shown = run("gpg --batch --with-colons --show-keys cluster.pgp");
    assert!(shown.contains(&scene.signer.fingerprint()), "{shown}");
    run(&format!("gpgv --keyring ./cluster.pgp {name}.json.sig {name}.json"));
    let sum = run(&format!("sha256sum {name}.tar.gpg"));
    assert!(sum.starts_with(&sealed.public.sha256), "{sum}");
    run(&format!(
        "mkdir -m700 x && gpg --batch -o x/a.tar -d {name}.tar.gpg && cd x && tar xf a.tar"
    ));
    run("cd x && sha256sum -c SHA256SUMS");
    let end = run("cd x && cat END");
    let sums = run("cd x && sha256sum SHA256SUMS");
    assert_eq!(end.split_whitespace().nth(2), sums.split_whitespace().next());
    assert_eq!(run("cd x && cat README.txt recover.py"), run("cat RECOVER.txt recover.py"));
    let slot = format!("{}", 50 + scene.secrets.len()).repeat(16);
    run(&format!(
        r#"cd x && for s in slots/*-{slot}.pgp; do gpg --batch -o "$(basename "$s").txt" -d "$s"; done"#
    ));
    let last = format!("cd x && /usr/bin/python3 recover.py . *-{slot}.pgp.txt");
    shell(&home, dir, &last)
}

#[test]
fn the_ledger_is_checked_by_hand_over_all_of_its_members() {
    let ledger = include_str!("../../../../testdata/ledger/v1.ndjson");
    let document = include_str!("../../../../formats/ledger.md");
    let (_, script) = document.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("check.py"), script).unwrap();
    let rows = |from: usize, to: usize| -> String {
        let entries = ledger.lines().enumerate().skip(from).take(to - from);
        let row = |(seq, entry): (usize, &str)| {
            let hex = hex::encode(entry.as_bytes());
            format!("{{\"at\":1,\"entry\":\"{hex}\",\"rev\":1,\"schema\":1,\"seq\":{seq}}}\n")
        };
        entries.map(row).collect()
    };
    let all = ledger.lines().count();
    for (n, member) in [(1, rows(0, 4)), (2, rows(4, all))] {
        let name = format!("ledger-{n:06}.ndjson");
        std::fs::write(place.path().join(name), member).unwrap();
    }
    let run = |files: &str| {
        let line = format!("/usr/bin/python3 check.py {files}");
        let mut command = Command::new("/bin/bash");
        command.args(["-euc", &line]).current_dir(place.path()).output().unwrap()
    };
    let checked = run("ledger-*.ndjson");
    let head = hex::encode(&sha256(ledger.lines().last().unwrap().as_bytes()));
    let text = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(text, format!("entries {all} head {head}\n"), "{:?}", checked.stderr);
    assert!(!run("ledger-000002.ndjson").status.success(), "it begins in the middle");
}

/// What Python printed is each version's secret, for it opens what the vault encrypted.
fn compare(scene: &Scene, printed: &str) {
    assert_eq!(printed.lines().count(), scene.versions.len());
    for version in &scene.versions {
        let start = format!("{} {} {} ", version.enclave_id, version.key_id, version.version);
        let line = printed.lines().find(|line| line.starts_with(&start)).unwrap();
        let secret = unhex(line.rsplit(' ').next().unwrap());
        assert_eq!(
            holdfast_crypto::kcv::version_kcv(VAULT, version.key_id, version.version, &secret),
            version.kcv
        );
        let ciphertext = scene.keyring.encrypt(version, b"", b"plain").unwrap();
        assert_eq!(ciphertext.len(), CIPHERTEXT_OVERHEAD + 5);
        // formats/ciphertext.md: header 21, nonce 24, body and tag.
        let aad = [b"holdfast/v1/msg", &ciphertext[..21], &[0; 4]].concat();
        let nonce = ciphertext[21..45].try_into().unwrap();
        let key = secret.as_slice().try_into().unwrap();
        let plain = xaes256gcm::open(key, nonce, &aad, &ciphertext[45..]).unwrap();
        assert_eq!(plain.expose_secret(), b"plain");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
