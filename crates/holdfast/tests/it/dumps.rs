//! No command leaves a core dump: whatever holds secrets would leave them there.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::run::Running;

/// How long a process may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let give_up = Instant::now() + PATIENCE;
    while !nothing() && Instant::now() < give_up {
        assert!(running.runs(), "{args:?} waits for the pipe");
        std::thread::sleep(Duration::from_millis(5));
    }
    let nothing = nothing();
    running.interrupt();
    assert!(nothing, "{args:?} may dump core");
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
