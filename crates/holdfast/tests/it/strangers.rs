//! Anybody may connect: what strangers ask neither fills the audit log nor costs others a line of it.

use std::time::Instant;

use crate::raw::Raw;
use crate::vault::{Vault, soon};

/// Requests of each of two strangers.
const ASKED: u64 = 2000;

#[test]
fn a_flood_of_strangers_is_counted_and_every_other_call_has_its_lines() {
    let vault = Vault::start();
    let context = vault.context();
    let begun = Instant::now();
    let head = format!("GET /{}", "n".repeat(1000));
    let flood = || {
        let mut raw = Raw::open(&context, None, b"http/1.1").unwrap();
        for _ in 0..ASKED {
            assert_eq!(raw.ask(&head, b"").status, 404);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(flood);
        threads.spawn(flood);
        for name in ["a", "b", "c", "d", "e"] {
            vault.run(&["enclave", "create", name], b"").expect(0);
        }
    });
    let with = |lines: &[serde_json::Value], action: &str| -> Vec<serde_json::Value> {
        lines.iter().filter(|line| line["action"] == action).cloned().collect()
    };
    // The count follows within two seconds; the last line of a creation after its answer.
    let told = soon(|| {
        let lines = vault.audit();
        let counts = with(&lines, "audit.counted");
        let counted: u64 = counts.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        let written = with(&lines, "request").len() as u64;
        let all = written + counted == 2 * ASKED && with(&lines, "enclave.create").len() >= 10;
        all.then_some((lines, written, counted))
    });
    let (lines, written, counted) = told.expect("each has a line or is counted");
    // At most what there may be in that time.
    let may_be = 100 + begun.elapsed().as_millis() / 100 + 1;
    assert!((100..=may_be).contains(&u128::from(written)), "{written}, {may_be} may be");
    assert!(with(&lines, "request").iter().all(|line| line.to_string().len() < 1200));
    let creations = with(&lines, "enclave.create");
    for result in ["begun", "ok"] {
        assert_eq!(creations.iter().filter(|line| line["result"] == result).count(), 5);
    }
    assert_eq!(with(&lines, "audit.dropped"), Vec::<serde_json::Value>::new());

    let status = vault.run(&["status"], b"").expect(0).text();
    let told = format!("INFO: {counted} calls of strangers came too fast");
    assert!(status.contains(&told) && !status.contains("dropped"), "{status}");
    let mut raw = Raw::open(&context, None, b"http/1.1").unwrap();
    let metrics = String::from_utf8(raw.ask("GET /metrics", b"").body).unwrap();
    assert!(metrics.contains(&format!("\nholdfast_audit_counted {counted}\n")), "{metrics}");
    assert!(metrics.contains("\nholdfast_audit_dropped 0\n"), "{metrics}");
}
