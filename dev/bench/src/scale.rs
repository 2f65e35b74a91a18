//! Vaults of many keys: what they hold in memory, how they start, how they are backed up while they
//! serve, and how fast every key comes back.
//!
//! One vault grows from size to size. Every key is made through the API, so it is truly wrapped and
//! logged; a restore unwraps every version against its check value and fails unless the state's
//! digest is the archive's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use holdfast_api::wire;

use crate::creates::creates;
use crate::crypto::median;
use crate::load::{Requests, Shape, Window, all, closed, open};
use crate::process::{memory, pss, reset_peak};
use crate::report::{Table, mebibytes, millis, number, ratio, seconds};
use crate::restore::restore;
use crate::vault::{Caller, Vault};
use crate::wire::Protocol;
use crate::{Options, say};

/// How keys are made: enough at once that the log groups them.
const WRITERS: Shape = Shape { protocol: Protocol::H2, connections: 8, streams: 32 };
/// How the vault is used meanwhile.
const USERS: Shape = Shape { protocol: Protocol::H1, connections: 64, streams: 1 };
/// Keys that the load uses, one after the other.
const USED: u64 = 1000;
/// Keys that are made right before the server is killed.
const LATE: u64 = 200;
/// The load, as a part of what the vault can do.
const LOAD: f64 = 0.4;
/// Windows of it while backups are made, at least. Half as many without one come before, and after, and a
/// quarter wherever the backups rest in between: a machine that shares its cores changes its pace within minutes.
const WINDOWS: usize = 40;

/// A column: what was measured at one size, by name.
#[derive(Default)]
struct Column(Vec<(&'static str, String)>);

impl Column {
    fn put(&mut self, name: &'static str, value: String) {
        say(&format!("  {name}: {value}"));
        self.0.push((name, value));
    }
}

/// Runs it for each size, ascending.
pub fn run(options: &Options, sizes: &[u64]) -> Result<Vec<Table>> {
    let dir = options.scratch()?;
    let binary = options.holdfast()?;
    let mut vault = Vault::make(&binary, &dir.path().join("vault"))?;
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    ensure!(sizes.first().is_some_and(|least| *least > LATE + USED), "sizes are above 1200 keys");
    let (mut have, mut columns) = (0, Vec::new());
    for size in &sizes {
        say(&format!("{} keys", number(*size as f64)));
        let mut column = Column::default();
        grow(&mut vault, have, *size, &mut column)?;
        have = *size;
        let archive = backups(options, &vault, &mut column)?;
        restored(&binary, &mut vault, &archive, dir.path(), &mut column)?;
        columns.push(column);
    }
    let names: Vec<String> = sizes.iter().map(|size| number(*size as f64)).collect();
    let mut head = vec!["keys"];
    head.extend(names.iter().map(String::as_str));
    let mut table = Table::new("Many keys", &head);
    for (row, (name, _)) in columns[0].0.iter().enumerate() {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(columns.iter().map(|column| column.0[row].1.clone()));
        table.row(cells);
    }
    table.note(format!(
        "Goals: p99 with a backup ≤ 1.5 × without; backup < 64 MiB above idle; restore of 1 000 000 keys \
         < 30 s and < 1024 MiB. The load is open, at {:.0} % of what the vault does with {} busy \
         connections: encrypt of 32 bytes with {USED} keys in turn.",
        LOAD * 100.0,
        USERS.connections
    ));
    Ok(vec![table])
}

/// Makes the keys that are missing, and starts the server again: after a proper stop, and after it
/// was killed with the last keys not yet in a checkpoint.
fn grow(vault: &mut Vault, have: u64, size: u64, column: &mut Column) -> Result<()> {
    let count = size - have - LATE;
    let all_of = |vault: &Vault, prefix: &str, count| {
        let target = vault.target()?;
        all(&target, WRITERS, &creates(&target, Protocol::H2, prefix)?, count)
    };
    // The first size names the keys that the load uses.
    let prefix = if have == 0 { "k".to_owned() } else { format!("to-{size}") };
    let took = all_of(vault, &prefix, count)?;
    column.put("creates/s while filling, 256 writers", number(count as f64 / took.as_secs_f64()));
    column.put("stop s", seconds(vault.stop()?));
    column.put("start s, after a stop", seconds(vault.start()?));
    let pid = vault.pid()?;
    // What a start leaves behind is given back within a moment.
    std::thread::sleep(Duration::from_secs(1));
    let after = memory(pid).context("the server ended")?;
    column.put("RSS MiB after the start", mebibytes(after.rss));
    column.put("PSS MiB after the start", mebibytes(pss(pid).unwrap_or(0)));
    all_of(vault, &format!("late-{size}"), LATE)?;
    vault.kill()?;
    column.put("start s, after kill -9", seconds(vault.start()?));
    let status: wire::Status = vault.get("/status")?;
    ensure!(status.counts.get("keys") == Some(&size), "acknowledged keys are missing: {status:?}");
    let data = bytes_in(&vault.home().join("data"))?;
    column.put("data directory MiB", mebibytes(data));
    Ok(())
}

/// A backup that was stored.
struct Stored {
    path: PathBuf,
    bytes: u64,
    took: Duration,
}

/// Backs up when idle and under load. Gives the newest archive; the others are removed.
fn backups(options: &Options, vault: &Vault, column: &mut Column) -> Result<PathBuf> {
    let pid = vault.pid()?;
    let before = idle(pid)?;
    let stored = backup(&vault.caller()?)?;
    let rows = rows(vault)?;
    let rate = |stored: &Stored| rows as f64 / stored.took.as_secs_f64();
    let speed = |stored: &Stored| stored.bytes as f64 / 1e6 / stored.took.as_secs_f64();
    column.put("records", number(rows as f64));
    column.put("archive MB", number(stored.bytes as f64 / 1e6));
    column.put("idle: backup s", seconds(stored.took));
    column.put("idle: records/s", number(rate(&stored)));
    column.put("idle: MB/s", format!("{:.1}", speed(&stored)));
    let peak = memory(pid).context("the server ended")?.peak;
    column.put("idle: peak MiB above before", mebibytes(peak.saturating_sub(before)));

    let (short, long) = match options.quick {
        true => (Duration::from_secs(1), Duration::from_secs(1)),
        false => (Duration::from_secs(3), Duration::from_secs(3)),
    };
    let target = vault.target()?;
    let requests = uses(vault)?;
    let most = closed(&target, USERS, &requests, Duration::from_millis(500), short)?.rate();
    column.put("saturation op/s", number(most));
    let window = || open(&target, USERS, &requests, most * LOAD, long);
    let some = |count| (0..count).map(|_| window()).collect::<Result<Vec<_>>>();
    let mut without = some(WINDOWS / 2)?;
    let (mut with, mut stored) = (Vec::new(), Vec::new());
    let before = idle(pid)?;
    while with.len() < WINDOWS {
        if !with.is_empty() {
            without.extend(some(WINDOWS / 4)?);
        }
        let (windows, backups) = under_load(vault.caller()?, &window)?;
        with.extend(windows);
        stored.extend(backups);
    }
    let peak = memory(pid).context("the server ended")?.peak;
    without.extend(some(WINDOWS / 2)?);
    let first = stored.first().context("no backup was made under load")?;
    column.put("load: op/s", number(median(with.iter().map(Window::rate).collect())));
    column.put("load: backups made", stored.len().to_string());
    column.put("load: backup s", seconds(first.took));
    column.put("load: records/s", number(rate(first)));
    column.put("load: MB/s", format!("{:.1}", speed(first)));
    column.put("load: peak MiB above before", mebibytes(peak.saturating_sub(before)));
    latencies(&without, &with, column);
    Ok(stored.last().context("no backup was made under load")?.path.clone())
}

/// Windows of load while backups are made, one after the other: a quarter of all, and as long as the first
/// backup takes.
fn under_load(
    caller: Caller,
    window: &dyn Fn() -> Result<Window>,
) -> Result<(Vec<Window>, Vec<Stored>)> {
    let (enough, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let backups = std::thread::spawn({
        let (enough, done) = (Arc::clone(&enough), Arc::clone(&done));
        move || {
            let mut all = Vec::new();
            loop {
                let stored = backup(&caller);
                // A failure, too, ends the wait for the first one.
                done.store(true, Ordering::Relaxed);
                all.push(stored?);
                if enough.load(Ordering::Relaxed) {
                    return anyhow::Ok(all);
                }
            }
        }
    });
    let least = WINDOWS / 4;
    let mut windows = Vec::new();
    while windows.len() < least || !done.load(Ordering::Relaxed) {
        windows.push(window()?);
        // A backup that is under way then is the last one.
        enough.store(windows.len() >= least, Ordering::Relaxed);
    }
    let stored = backups.join().map_err(|_| anyhow!("the thread of the backups panicked"))??;
    Ok((windows, stored))
}

/// Medians over windows, so that one bad moment of the machine does not decide; the worst of all.
fn latencies(without: &[Window], with: &[Window], column: &mut Column) {
    let at = |windows: &[Window], quantile| {
        let each = windows.iter().map(|window| window.latency.quantile(quantile).as_secs_f64());
        Duration::from_secs_f64(median(each.collect()))
    };
    for (what, windows) in [("without", without), ("with", with)] {
        let each: Vec<_> = windows.iter().map(|w| millis(w.latency.quantile(0.99))).collect();
        say(&format!("  p99 ms of each window {what} a backup: {}", each.join(", ")));
    }
    let worst = |windows: &[Window]| {
        windows.iter().map(|window| window.latency.worst()).max().unwrap_or_default()
    };
    column.put("load: p50 ms without a backup", millis(at(without, 0.5)));
    column.put("load: p50 ms with", millis(at(with, 0.5)));
    let p99 = (at(without, 0.99), at(with, 0.99));
    column.put("load: p99 ms without a backup", millis(p99.0));
    column.put("load: p99 ms with", millis(p99.1));
    column.put("load: p99 ratio", ratio(p99.1.as_secs_f64() / p99.0.as_secs_f64()));
    column.put("load: worst ms without", millis(worst(without)));
    column.put("load: worst ms with", millis(worst(with)));
}

/// Lets a peak begin anew; gives what is resident.
fn idle(pid: u32) -> Result<u64> {
    reset_peak(pid)?;
    Ok(memory(pid).context("the server ended")?.rss)
}

/// One backup into the vault's own archive directory. The archives before it are removed.
fn backup(vault: &Caller) -> Result<Stored> {
    let begun = Instant::now();
    let new = wire::NewBackup { to: "vault".to_owned(), custodians: None };
    let job: wire::Backup = vault.post("/backups", &new)?;
    let (path, bytes) = loop {
        let state: wire::BackupState = vault.get(&format!("/backups/{}", job.job_id))?;
        match (state.state.as_str(), state.place) {
            ("stored", Some(place)) => break (PathBuf::from(place), state.size),
            ("failed", _) => bail!("a backup failed: {}", state.message.unwrap_or_default()),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let took = begun.elapsed();
    for entry in std::fs::read_dir(path.parent().context("an archive lies in a directory")?)? {
        let entry = entry?.path();
        let other = entry.file_name() != path.file_name();
        if other && entry.to_string_lossy().contains(".tar") {
            std::fs::remove_file(entry)?;
        }
    }
    Ok(Stored { path, bytes, took })
}

/// Records that an archive of now would hold.
fn rows(vault: &Vault) -> Result<u64> {
    let status: wire::Status = vault.get("/status")?;
    let count = |name: &str| status.counts.get(name).copied().unwrap_or(0);
    // A key is a record and a name, and has versions; all else together is a handful.
    Ok(2 * count("keys") + count("key_versions"))
}

fn uses(vault: &Vault) -> Result<Requests> {
    let target = vault.target()?;
    let body = Bytes::from(serde_json::json!({ "plaintext": BASE64.encode(&[7; 32]) }).to_string());
    let post = |n: u64| {
        let path = format!("/api/v1/enclaves/default/keys/k-{n:08}/encrypt");
        target.post(USERS.protocol, &path, body.clone())
    };
    let requests = (0..USED).map(post).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(move |n| requests[(n % USED) as usize].clone()))
}

/// Restores the archive beside the vault, which is stopped meanwhile, and lets the restored one prove
/// itself with ciphertexts of the first.
fn restored(
    binary: &Path,
    vault: &mut Vault,
    archive: &Path,
    dir: &Path,
    column: &mut Column,
) -> Result<()> {
    let encrypt = |n: u64| {
        let path = format!("/enclaves/default/keys/k-{n:08}/encrypt");
        let plaintext = serde_json::json!({ "plaintext": BASE64.encode(&n.to_be_bytes()) });
        let encrypted: wire::Encrypted = vault.post(&path, &plaintext)?;
        anyhow::Ok((n, encrypted.ciphertext))
    };
    let ciphertexts = (0..USED).step_by(97).map(encrypt).collect::<Result<Vec<_>>>()?;
    let signer = vault.context()?.signer;
    vault.stop()?;
    let again = dir.join("again");
    let identity = vault.home().join("custodian.asc");
    let done = restore(binary, archive, &identity, &signer, &again)?;
    column.put("restore s, every key unwrapped", seconds(done.took));
    column.put("restore keys/s", number(done.versions as f64 / done.took.as_secs_f64()));
    column.put("restore peak RSS MiB", mebibytes(done.peak));
    column.put("restore CPU s", seconds(done.cpu));
    let mut second = Vault::in_data(binary, &again.join("data"), &again.join("context.toml"));
    second.start()?;
    for (n, ciphertext) in ciphertexts {
        let decrypt = wire::Decrypt { ciphertext, context: wire::Base64(Vec::new()) };
        let decrypted: wire::Decrypted = second.post("/decrypt", &decrypt)?;
        ensure!(decrypted.plaintext[..] == n.to_be_bytes(), "key k-{n:08} came back changed");
    }
    second.stop()?;
    std::fs::remove_dir_all(&again)?;
    vault.start()?;
    Ok(())
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in
        std::fs::read_dir(dir).with_context(|| format!("failed to list {}", dir.display()))?
    {
        let (entry, meta) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        sum += if meta.is_dir() { bytes_in(&entry)? } else { meta.len() };
    }
    Ok(sum)
}
