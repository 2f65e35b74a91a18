//! Durable creates over the API, beside the least that durability costs on the same disk: an append of
//! the log's own bytes and `fdatasync`, alone and for 64 records at once.
//!
//! A run is long enough for several checkpoints (one a second), so that they show in the worst latency.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::histogram::Histogram;
use crate::load::{Requests, Shape, Window, closed};
use crate::report::{Table, micros, millis, number, ratio};
use crate::vault::Vault;
use crate::wire::{Protocol, Target};
use crate::{Options, say};

/// Writers that run at once in the second measurement, and records of one group of the peer.
const WRITERS: usize = 64;

/// Runs it.
pub fn run(options: &Options) -> Result<Vec<Table>> {
    let dir = options.scratch()?;
    let vault = Vault::make(&options.holdfast()?, &dir.path().join("vault"))?;
    let bytes = bytes_of_a_create(&vault)?;
    let (run, beside) = match options.quick {
        true => (Duration::from_secs(8), Duration::from_secs(1)),
        false => (Duration::from_secs(24), Duration::from_secs(3)),
    };
    let mut table = Table::new(
        "Durable creates beside append + fdatasync",
        &["what", "per second", "p50 ms", "p99 ms", "worst ms", "server CPU µs"],
    );
    let mut ratios = Vec::new();
    for (name, writers) in [("one", 1), ("many", WRITERS)] {
        say(&format!("creates with {writers} writers"));
        let file = dir.path().join("peer");
        let mut peers = vec![append(&file, bytes, writers, beside)?];
        let shape = Shape { protocol: Protocol::H1, connections: writers, streams: 1 };
        let requests = creates(&vault.target()?, shape.protocol, name)?;
        let window = closed(&vault.target()?, shape, &requests, Duration::from_secs(1), run)?;
        peers.push(append(&file, bytes, writers, beside)?);
        let rate = peers.iter().map(Peer::rate).sum::<f64>() / peers.len() as f64;
        let title = match writers {
            1 => format!("append {bytes} B, fdatasync"),
            _ => format!("append {writers} × {bytes} B, one fdatasync"),
        };
        for peer in &peers {
            table.row(peer.row(&title));
        }
        table.row(row(&format!("create, {}", writers_of(writers)), &window));
        ratios.push(format!("{} {}", writers_of(writers), ratio(window.rate() / rate)));
    }
    table.note(format!(
        "Creates per record appended beside: {}. The log takes {bytes} bytes a create.",
        ratios.join(", ")
    ));
    Ok(vec![table])
}

/// `key create` by number; names begin with `prefix`.
pub fn creates(target: &Target, protocol: Protocol, prefix: &str) -> Result<Requests> {
    let template = target.post(protocol, "/api/v1/enclaves/default/keys", Bytes::new())?;
    let prefix = prefix.to_owned();
    Ok(Arc::new(move |n| {
        let mut request = template.clone();
        *request.body_mut() = Bytes::from(format!("{{\"name\":\"{prefix}-{n:08}\"}}")).into();
        request
    }))
}

/// How many bytes the log grows by for a create, headers included.
fn bytes_of_a_create(vault: &Vault) -> Result<u64> {
    const CREATES: u64 = 100;
    let log = vault.home().join("data/log");
    // The first write may bring entries of the start along.
    vault.create_key("size")?;
    let before = size(&log)?;
    for n in 0..CREATES {
        vault.create_key(&format!("size-{n:06}"))?;
    }
    Ok(size(&log)?.saturating_sub(before) / CREATES)
}

fn size(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in
        std::fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?
    {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// Groups of records that one thread appended, each with its `fdatasync`.
struct Peer {
    elapsed: Duration,
    group: usize,
    latency: Histogram,
}

impl Peer {
    fn rate(&self) -> f64 {
        self.latency.count() as f64 * self.group as f64 / self.elapsed.as_secs_f64()
    }

    fn row(&self, title: &str) -> Vec<String> {
        cells(title, self.rate(), &self.latency, "-".to_owned())
    }
}

fn append(path: &Path, bytes: u64, group: usize, measure: Duration) -> Result<Peer> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let record = vec![0x5a; usize::try_from(bytes)? * group];
    let mut latency = Histogram::default();
    let started = Instant::now();
    while started.elapsed() < measure {
        let begun = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        latency.add(begun.elapsed());
    }
    Ok(Peer { elapsed: started.elapsed(), group, latency })
}

fn row(title: &str, window: &Window) -> Vec<String> {
    cells(title, window.rate(), &window.latency, micros(window.cpu_micros()))
}

fn cells(title: &str, rate: f64, latency: &Histogram, cpu: String) -> Vec<String> {
    vec![
        title.to_owned(),
        number(rate),
        millis(latency.quantile(0.5)),
        millis(latency.quantile(0.99)),
        millis(latency.worst()),
        cpu,
    ]
}

fn writers_of(writers: usize) -> String {
    if writers == 1 { "1 writer".to_owned() } else { format!("{writers} writers") }
}
