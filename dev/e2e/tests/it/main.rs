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
    let block = five_minutes()
        .replace(
            "--context again.toml --yes",
            &format!("--context again.toml --yes --listen {listen}"),
        )
        .replace("server --data again &", "server --data again & SERVER=$!");
    // Files, not pipes: a server left behind would hold a pipe open for ever.
    let script = format!("exec > out 2> err\nset -eu\ntrap 'kill $SERVER' EXIT\n{block}");
    let status = Command::new("bash")
        .args(["-c", &script])
        .current_dir(dir.path())
        .env("PATH", path)
        .env("HOLDFAST_CONTEXT", dir.path().join("demo/context.toml"))
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    let read = |name: &str| {
        let bytes = std::fs::read(dir.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err) = (read("out"), read("err"));
    assert!(status.success(), "{status}\n{out}\n{err}");
    assert_eq!(out.matches("attack at dawn").count(), 2, "before and after the disaster\n{out}");
    assert!(out.contains("signed and whole, not opened"), "{out}");
}
