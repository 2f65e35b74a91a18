//! No command leaves a core dump: whatever holds secrets would leave them there.

use std::path::Path;
use std::process::Command;

use crate::run::Running;
use crate::vault::soon;

/// Waits until the process says that it may dump nothing, and never will.
fn dumps_nothing(home: &Path, args: &[&str]) {
    let mut running = Running::start(home, args);
    let limits = format!("/proc/{}/limits", running.pid());
    let nothing = || {
        let limits = std::fs::read_to_string(&limits).unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
        // Soft and hard: a hard limit of 0 cannot be raised again.
        line.is_some_and(|line| line.split_whitespace().take(2).eq(["0", "0"]))
    };
    let dumps_nothing = soon(|| {
        assert!(running.runs(), "{args:?} waits for the pipe");
        nothing().then_some(())
    });
    assert!(dumps_nothing.is_some(), "{args:?} may dump core");
}

#[test]
fn whatever_command_it_is_it_dumps_no_core() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert!(Command::new("mkfifo").arg(home.join("pipe")).status().unwrap().success());
    dumps_nothing(home, &["init", "--data", "data", "--custodian", "pipe"]);
    let known = ["--identity", "pipe", "--context", "pipe"];
    for command in ["verify", "drill"] {
        dumps_nothing(home, &[&[command, "none.tar.gpg"][..], &known].concat());
    }
    dumps_nothing(home, &[&["restore", "none.tar.gpg", "--data", "data"][..], &known].concat());
    dumps_nothing(home, &["key", "ls", "--context", "pipe"]);
}
