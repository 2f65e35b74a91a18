//! What a newcomer does, with the real binary.

use std::process::{Command, Stdio};

use holdfast_e2e::{Dev, binary, five_minutes, free_port};

/// The README's block as it stands, in a directory of its own; only the port differs, so that the test
/// does not meet another server.
#[test]
fn the_readme_works_as_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = Dev::start(dir.path(), &listen);
    let path = format!(
        "{}:{}",
        binary().parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let block = five_minutes().replace(
        "server --data again &",
        &format!("server --data again --listen {listen} & SERVER=$!"),
    );
    let script = format!("set -eu\n{block}kill $SERVER\n");
    let done = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .env("PATH", path)
        .env("HOLDFAST_CONTEXT", dir.path().join("demo/context.toml"))
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}\n{out}\n{err}", done.status);
    assert_eq!(out.matches("attack at dawn").count(), 2, "before and after the disaster\n{out}");
    assert!(out.contains("signed and whole, not opened"), "{out}");
}
