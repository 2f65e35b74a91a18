//! Places, a custodian, and what holds of every crash image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_cluster::{Clock as _, Cluster, Config, SystemClock};
use holdfast_fs::{Fs, Mem, read_to_vec, write_new};
use holdfast_machine::View as _;
use holdfast_node::{InitOptions, Made, init_in};
use holdfast_recovery::{ArchiveFiles, Signed, Trust, check_sidecars};
use holdfast_store::log::Log;
use holdfast_store::{CACHE_BYTES_DEFAULT, DataDir, DiskStore, StateStore as _, StoreError};
use holdfast_types::Revision;

pub const HOME: &str = "/crash";
const THEIRS: &[u8] = b"a file of the user";

pub fn at(path: &str) -> PathBuf {
    Path::new(HOME).join(path)
}

/// A file system with a user's own files wherever something will be made.
pub fn somewhere() -> Mem {
    let mem = Mem::new();
    for path in theirs() {
        write_new(&mem, &path, THEIRS).unwrap();
    }
    mem
}

fn theirs() -> [PathBuf; 3] {
    ["keys/other.key", "config/notes.toml", "srv/notes"].map(at)
}

/// The user's own files stand, and in these directories there is nothing but what is named.
pub fn nothing_left_over(fs: &dyn Fs, what: &str) {
    for path in theirs() {
        assert_eq!(read_to_vec(fs, &path, 99).unwrap(), THEIRS, "{what}: {}", path.display());
    }
    for (dir, expected) in [
        ("keys", &["other.key", "soft.key"][..]),
        ("config", &["context.toml", "notes.toml"]),
        ("srv/data", &["CURRENT", "LOCK", "archives", "audit", "log", "state.1", "vault.json"]),
    ] {
        assert_eq!(names(fs, &at(dir)), expected, "{what}: in {dir}");
    }
}

pub fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    let entries = fs.read_dir(dir).unwrap_or_default();
    entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect()
}

pub fn options(custodians: &[Vec<u8>]) -> InitOptions {
    InitOptions {
        data: at("srv/data"),
        custodians: custodians.iter().map(|bytes| ("c.asc".to_owned(), bytes.clone())).collect(),
        soft_key: Some(at("keys/soft.key")),
        context: Some(at("config/context.toml")),
        listen: Some("127.0.0.1:7373".to_owned()),
    }
}

/// A custodian: secret key, armored, and certificate.
pub fn custodian() -> (String, Vec<u8>) {
    let (secret, certificate) =
        holdfast_seal::generate_custodian("Dora", SystemClock.now()).unwrap();
    (secret.to_string(), certificate)
}

/// A vault of one custodian with its first archive.
pub fn made(fs: &Mem, certificate: &[u8]) -> Made {
    let made = init_in(&fs.shared(), &options(&[certificate.to_vec()])).unwrap();
    assert_eq!(made.first_failed, None);
    made
}

/// A file that a crash leaves as a whole or not at all: whether it is there.
pub fn whole_or_absent(fs: &dyn Fs, path: &Path, content: &[u8], what: &str) -> bool {
    let Ok(found) = read_to_vec(fs, path, 1 << 16) else { return false };
    assert!(found == content, "{what}: half of {}", path.display());
    true
}

/// Whether the data directory holds a vault; else it says that it was not finished, or there is none.
pub fn is_vault(fs: &Mem, data: &Path, what: &str) -> bool {
    match DataDir::open(fs.shared(), data) {
        Ok(_) => true,
        Err(StoreError::NoVault(_) | StoreError::Incomplete(_)) => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Opens state and log, at least at `least`.
pub fn state_opens(fs: &Mem, data: &Path, least: Revision, what: &str) -> (DiskStore, Log) {
    let failed = |error: StoreError| -> ! { panic!("{what}: {error}") };
    let dir = DataDir::open(fs.shared(), data).unwrap_or_else(|error| failed(error));
    let store = DiskStore::open(fs.shared(), &dir.state(), CACHE_BYTES_DEFAULT);
    let store = store.unwrap_or_else(|error| failed(error));
    let revision = store.view().head().revision;
    assert!(revision >= least, "{what}: at {revision:?}, {least:?} was made");
    let (log, _) = Log::open(fs.shared(), &dir.log()).unwrap_or_else(|error| failed(error));
    (store, log)
}

/// The cluster of one starts from what is there, and stops.
pub fn starts(fs: &Mem, data: &Path, what: &str) {
    let node = DataDir::open(fs.shared(), data).unwrap().marker().node_id;
    let (store, log) = state_opens(fs, data, Revision::ZERO, what);
    let cluster = Cluster::start(Config::new(node), store, log, Arc::new(SystemClock));
    let cluster = cluster.unwrap_or_else(|error| panic!("{what}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(cluster.shutdown()).unwrap();
}

/// Every archive with its signature in `dir` is whole; what has no signature is marked as unfinished.
pub fn archives(fs: &Mem, dir: &Path, signer: &str, what: &str) -> Vec<(ArchiveFiles, Signed)> {
    let names = names(fs, dir);
    let trust = Trust::Fingerprint(signer.to_owned());
    let mut whole = Vec::new();
    for name in names.iter().filter(|name| !name.starts_with('.')) {
        if let Some(stem) = name.strip_suffix(".json.sig") {
            let files = ArchiveFiles::of(&dir.join(format!("{stem}.tar.gpg")));
            let signed = check_sidecars(fs, &files, &trust, SystemClock.now());
            whole.push((files, signed.unwrap_or_else(|error| panic!("{what}: {stem}: {error}"))));
        } else if let Some(stem) = name.strip_suffix(".tar.gpg") {
            let marked = names.contains(&format!(".{stem}.writing"));
            assert!(marked || names.contains(&format!("{stem}.json.sig")), "{what}: {names:?}");
        }
    }
    whole
}
