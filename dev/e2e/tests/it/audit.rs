//! The audit log of the real binary, and what becomes of it between a `kill -9` and the next start.

use std::time::Duration;

use crate::process::{Server, free_address, succeeds};

/// The head of the log goes into the state every ten seconds.
const RECORDED: Duration = Duration::from_secs(15);

#[test]
fn a_log_that_lost_its_end_is_critical_until_somebody_says_that_they_know() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let listen = free_address();
    let call = |args: &[&str]| succeeds(dir, &[&["--context", "demo/context.toml"], args].concat());
    let server = Server::dev(dir, &listen);
    for key in ["orders", "drawings", "letters"] {
        call(&["key", "create", key]);
    }
    std::thread::sleep(RECORDED);
    drop(server);
    let log = dir.join("demo/data/audit/00000001.ndjson");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    std::fs::write(&log, lines[..lines.len() - 3].concat()).unwrap();

    let _server = Server::dev(dir, &listen);
    assert_eq!(call(&["status", "--quiet"]), "critical");
    let said = call(&["status"]);
    assert!(said.contains("audit log") && said.contains("holdfast audit acknowledge"), "{said}");
    assert_eq!(call(&["audit", "acknowledge", "--quiet"]), "1");
    assert_ne!(call(&["status", "--quiet"]), "critical");
}
