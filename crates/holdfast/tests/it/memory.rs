//! What a backup takes of the server's memory: the same whatever the size of the state.

use std::path::PathBuf;

use crate::raw::Raw;
use crate::vault::Vault;

/// Policies in the vault, and rules in each: the largest rows that callers can make many of.
const POLICIES: usize = 3000;
const RULES: usize = 256;
/// What the archive is larger than.
const ARCHIVE_BYTES: u64 = 90 << 20;
/// What a backup may take above what the server has without one.
const ABOVE_KIB: u64 = 64 << 10;

/// A line of the server's `/proc/PID/status`, in KiB.
fn kib(proc: &std::path::Path, field: &str) -> u64 {
    let text = std::fs::read_to_string(proc.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_backup_is_made_in_little_memory_whatever_its_size() {
    let vault = Vault::start();
    let mut raw = Raw::connect(&vault.context());
    let rules: Vec<String> =
        (0..RULES).map(|n| format!("\"key.encrypt:{}-{n}\"", "x".repeat(110))).collect();
    let body = format!("{{\"allow\":[{}],\"deny\":[]}}", rules.join(","));
    for n in 0..POLICIES {
        let call = format!("PUT /api/v1/enclaves/default/policies/policy-{n}");
        assert_eq!(raw.ask(&call, body.as_bytes()).status, 200);
    }
    let pid = std::fs::read_to_string(vault.path().join("demo/server.pid")).unwrap();
    let proc = PathBuf::from(format!("/proc/{}", pid.trim()));
    // proc_pid_clear_refs(5): the peak is what it is now.
    std::fs::write(proc.join("clear_refs"), "5").unwrap();
    let before = kib(&proc, "VmRSS");
    let archive = vault.run(&["backup", "--quiet"], b"").expect(0).text();
    let size = std::fs::metadata(&archive).unwrap().len();
    assert!(size > ARCHIVE_BYTES, "{size} bytes are too few to tell");
    let above = kib(&proc, "VmHWM").saturating_sub(before);
    println!("{above} KiB above {before} KiB for {size} bytes");
    assert!(above < ABOVE_KIB, "too much");
}
