//! Encrypt and decrypt over the whole stack, audit on, beside a bare echo of that stack.
//!
//! Client and server share the machine's cores, so operations per second depend on the client, too;
//! the server's CPU time of an operation does not. Echo and vault take turns, several times, and what is
//! quoted is the median, for the ratio the median of the ratios of neighbours.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use holdfast_api::wire;

use crate::echo::{Echo, path_like};
use crate::load::{Requests, Shape, Window, closed};
use crate::report::{Table, micros, number, ratio};
use crate::vault::Vault;
use crate::wire::{Protocol, Target};
use crate::{Options, say};

/// The key that is used.
const KEY: &str = "bench";
/// Every way the load comes: protocol, connections, streams of each.
const SHAPES: [Shape; 7] = [
    shape(Protocol::H1, 1, 1),
    shape(Protocol::H1, 16, 1),
    shape(Protocol::H1, 64, 1),
    shape(Protocol::H2, 1, 1),
    shape(Protocol::H2, 16, 1),
    shape(Protocol::H2, 64, 1),
    shape(Protocol::H2, 16, 8),
];

/// How often echo and vault take turns. A machine that shares its cores changes its pace within seconds,
/// and of three ratios the median is still off by a tenth; of nine short ones it holds.
const TURNS: usize = 9;

const fn shape(protocol: Protocol, connections: usize, streams: usize) -> Shape {
    Shape { protocol, connections, streams }
}

/// One operation at one size: what is sent, and how long the answer is.
struct Operation {
    name: &'static str,
    bytes: usize,
    path: String,
    body: Bytes,
    answer: usize,
}

/// Runs it; a row for each operation, size and shape whose label holds `only`.
pub fn run(options: &Options, only: &str) -> Result<Vec<Table>> {
    let dir = options.scratch()?;
    let vault = Vault::make(&options.holdfast()?, &dir.path().join("vault"))?;
    let echo = Echo::start(&std::env::current_exe()?)?;
    let target = vault.target()?;
    vault.create_key(KEY)?;
    let mut table = Table::new(
        "Cryptography: a request's server CPU beside a bare echo of the same stack",
        &[
            "operation",
            "bytes",
            "protocol",
            "connections",
            "echo CPU µs",
            "CPU µs",
            "ratio",
            "echo op/s",
            "op/s",
            "echo p50 µs",
            "p50 µs",
            "echo p99 µs",
            "p99 µs",
        ],
    );
    let mut ratios = Vec::new();
    for bytes in [32, 1024] {
        for operation in operations(&vault, bytes)? {
            for shape in SHAPES {
                let label = label(&operation, shape);
                if !label.contains(only) {
                    continue;
                }
                say(&label);
                let pairs = pairs(options, &echo.target, &target, &operation, shape)?;
                let (row, ratio) = row(&operation, shape, &pairs);
                table.row(row);
                ratios.push(ratio);
            }
        }
    }
    let status: wire::Status = vault.get("/status")?;
    ensure!(status.node.audit_records > 0, "nothing was audited");
    table.note(format!(
        "CPU ratio over all rows: median {}, worst {}; goal 1.40. Audit log: {} records, {} dropped.",
        ratio(median(ratios.clone())),
        ratio(ratios.iter().copied().fold(0.0, f64::max)),
        number(status.node.audit_records as f64),
        number(status.node.audit_dropped as f64)
    ));
    Ok(vec![table])
}

/// What `--only` looks into.
fn label(operation: &Operation, shape: Shape) -> String {
    format!(
        "{} {} B {} {}x{}",
        operation.name,
        operation.bytes,
        shape.protocol.name(),
        shape.connections,
        shape.streams
    )
}

/// Encrypt and decrypt of `bytes`, tried once each.
fn operations(vault: &Vault, bytes: usize) -> Result<[Operation; 2]> {
    let plaintext: Vec<u8> = (0..=u8::MAX).cycle().take(bytes).collect();
    let plaintext = BASE64.encode(&plaintext);
    let path = format!("/enclaves/default/keys/{KEY}/encrypt");
    let encrypt = serde_json::json!({ "plaintext": plaintext });
    let encrypted: serde_json::Value = vault.post(&path, &encrypt)?;
    let decrypt = serde_json::json!({ "ciphertext": encrypted["ciphertext"] });
    let decrypted: serde_json::Value = vault.post("/decrypt", &decrypt)?;
    ensure!(decrypted["plaintext"] == plaintext.as_str(), "the plaintext did not come back");
    let operation = |name, path: &str, body: &serde_json::Value, answer: &serde_json::Value| {
        let (path, body) = (format!("/api/v1{path}"), Bytes::from(body.to_string()));
        Operation { name, bytes, path, body, answer: answer.to_string().len() }
    };
    Ok([
        operation("encrypt", &path, &encrypt, &encrypted),
        operation("decrypt", "/decrypt", &decrypt, &decrypted),
    ])
}

/// Windows of the echo and of the vault, taken in turns.
fn pairs(
    options: &Options,
    echo: &Target,
    vault: &Target,
    operation: &Operation,
    shape: Shape,
) -> Result<Vec<(Window, Window)>> {
    let (warm, measure) = match options.quick {
        true => (Duration::from_millis(80), Duration::from_millis(150)),
        false => (Duration::from_millis(200), Duration::from_millis(800)),
    };
    let path = path_like(&operation.path, operation.answer);
    let bare = requests(echo, shape.protocol, &path, &operation.body)?;
    let real = requests(vault, shape.protocol, &operation.path, &operation.body)?;
    let mut pairs = Vec::new();
    for _ in 0..TURNS {
        let bare = closed(echo, shape, &bare, warm, measure).context("the echo")?;
        pairs.push((bare, closed(vault, shape, &real, warm, measure)?));
    }
    Ok(pairs)
}

fn requests(target: &Target, protocol: Protocol, path: &str, body: &Bytes) -> Result<Requests> {
    let request = target.post(protocol, path, body.clone())?;
    Ok(Arc::new(move |_| request.clone()))
}

fn row(operation: &Operation, shape: Shape, pairs: &[(Window, Window)]) -> (Vec<String>, f64) {
    let of = |get: &dyn Fn(&(Window, Window)) -> f64| median(pairs.iter().map(get).collect());
    let latency = |window: &Window, quantile| window.latency.quantile(quantile).as_secs_f64() * 1e6;
    let cpu_ratio = of(&|(echo, vault)| vault.cpu_micros() / echo.cpu_micros());
    let connections = match shape.streams {
        1 => shape.connections.to_string(),
        streams => format!("{} × {streams} streams", shape.connections),
    };
    let cells = vec![
        operation.name.to_owned(),
        operation.bytes.to_string(),
        shape.protocol.name().to_owned(),
        connections,
        micros(of(&|(echo, _)| echo.cpu_micros())),
        micros(of(&|(_, vault)| vault.cpu_micros())),
        ratio(cpu_ratio),
        number(of(&|(echo, _)| echo.rate())),
        number(of(&|(_, vault)| vault.rate())),
        micros(of(&|(echo, _)| latency(echo, 0.5))),
        micros(of(&|(_, vault)| latency(vault, 0.5))),
        micros(of(&|(echo, _)| latency(echo, 0.99))),
        micros(of(&|(_, vault)| latency(vault, 0.99))),
    ];
    (cells, cpu_ratio)
}

/// The middle one; of an even number, the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
