//! A server that nobody asks anything sleeps: no clock of consensus runs for a node alone.

use std::time::{Duration, Instant};

use holdfast_e2e::{Host, free_port};

/// How often the threads of a process have gone to sleep so far.
fn naps(pid: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    // A thread may end meanwhile.
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .map(of)
        .sum()
}

#[test]
fn a_server_at_rest_sleeps() {
    let host = Host::new();
    let _dev = host.dev("demo", &format!("127.0.0.1:{}", free_port()));
    let pid = host.read("demo/server.pid");
    // What is left of its start.
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before) = (Instant::now(), naps(pid.trim()));
    std::thread::sleep(Duration::from_secs(4));
    let slept = naps(pid.trim()).saturating_sub(before);
    let per_second = slept / begun.elapsed().as_secs();
    // Heartbeats to nobody made it 125.
    assert!(per_second < 60, "{per_second} wakes a second");
}
