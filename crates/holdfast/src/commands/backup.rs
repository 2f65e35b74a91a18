//! `holdfast backup`: into the vault's own archive directory, or with `--output` to a directory here.
//!
//! With `--output` the server seals and streams; this side writes under a temporary name, syncs, reads
//! the whole back, renames (tar, JSON, signature last) and reports the hash it read back.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context as Hash, SHA256};
use clap::Args;
use data_encoding::HEXLOWER;
use holdfast_api::wire;
use holdfast_client::Client;
use holdfast_recovery::{Public, aids};
use holdfast_types::Kind;

use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};
use crate::progress::{Progress, Unit};

/// Make an archive of everything, sealed to the custodians and signed
///
/// The vault serves on meanwhile. "Stored" means that the whole object was read back and its hash is equal:
/// by this command in --output DIR, by the vault in its own archive directory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdfast backup --output /mnt/other-disk/archives
  ARCHIVE=$(holdfast backup --output archives --quiet)
  holdfast verify \"$ARCHIVE\"")]
pub(crate) struct Backup {
    /// Write the archive into this directory on this host, made if absent; into the vault's own archive
    /// directory if nothing is said
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Only to this custodian; give it once for each
    #[arg(long, value_name = "NAME")]
    custodian: Vec<String>,
}

#[derive(serde::Serialize)]
struct Made {
    name: String,
    archive_id: String,
    path: Option<String>,
    sha256: Option<String>,
    bytes: u64,
}

impl Backup {
    pub(crate) async fn run(&self, global: &Global, client: &mut Client) -> Done {
        let made = match &self.output {
            Some(dir) => self.to_directory(global, client, dir).await?,
            None => self.to_vault(global, client).await?,
        };
        if global.json {
            return output::json(&made);
        }
        let path = made.path.as_deref().unwrap_or(&made.name);
        if global.quiet {
            return output::line(path);
        }
        output::line(format!(
            "archive  {path}\nsha256   {}\nbytes    {}\nstate    stored",
            made.sha256.as_deref().unwrap_or("-"),
            made.bytes
        ))
    }

    async fn begin(&self, client: &mut Client, to: &str) -> Result<wire::Backup, Failure> {
        let some = (!self.custodian.is_empty()).then(|| self.custodian.clone());
        let new = wire::NewBackup { to: to.to_owned(), custodians: some };
        Ok(client.post("/backups", &new).await?)
    }

    async fn to_vault(&self, global: &Global, client: &mut Client) -> Result<Made, Failure> {
        let begun = self.begin(client, "vault").await?;
        let progress = Progress::new(global, "sealing", Unit::Bytes);
        loop {
            let path = format!("/backups/{}", begun.job);
            let state: wire::BackupState = client.get(&path).await?;
            progress.set(state.bytes);
            match state.state.as_str() {
                "stored" => {
                    let wire::BackupState { bytes, path, sha256, .. } = state;
                    let wire::Backup { name, archive_id, .. } = begun;
                    return Ok(Made { name, archive_id, path, sha256, bytes });
                }
                "failed" => {
                    let why = state.message.unwrap_or_else(|| "no reason given".to_owned());
                    return Err(Failure::new(Kind::Other, format!("the backup failed: {why}")));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn to_directory(
        &self,
        global: &Global,
        client: &mut Client,
        dir: &Path,
    ) -> Result<Made, Failure> {
        not_in_a_vault(dir)?;
        std::fs::create_dir_all(dir).map_err(|error| unusable(dir, &error))?;
        // Before the vault begins: that a file can be made there at all.
        drop(Temporary::new(dir, "holdfast")?);
        let begun = self.begin(client, "client").await?;
        let target = dir.join(&begun.file);
        if target.exists() {
            let message = format!("{} exists", target.display());
            return Err(Failure::new(Kind::Exists, message));
        }
        let mut tar = Temporary::new(dir, &begun.file)?;
        let progress = Progress::new(global, "sealing", Unit::Bytes);
        let mut received = 0;
        let mut stream = client.tar(&begun.job).await?;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            received += u64::try_from(piece.len()).unwrap_or(0);
            progress.set(received);
            tar.write(&piece)?;
        }
        drop(progress);
        let (size, sha256) = tar.sync_and_read_back()?;
        let path = format!("/backups/{}/sidecars", begun.job);
        let beside: wire::Sidecars = client.get(&path).await?;
        if (size, sha256.as_str()) != (beside.size, beside.sha256.as_str()) {
            let message = format!("{} was not stored as it was sent", target.display());
            return Err(Failure::new(Kind::Damaged, message)
                .next("check that disk, or choose another --output DIR"));
        }
        let mut json = Temporary::new(dir, &format!("{}.json", begun.name))?;
        json.write(&beside.json.0)?;
        json.sync_and_read_back()?;
        let mut signature = Temporary::new(dir, &format!("{}.json.sig", begun.name))?;
        signature.write(&beside.signature.0)?;
        signature.sync_and_read_back()?;
        write_aids(dir, &beside.json.0)?;
        // The signature last: without it the set is unfinished.
        tar.rename()?;
        json.rename()?;
        signature.rename()?;
        let synced = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| Failure::io(dir.display(), &error))?;
        let place = std::path::absolute(&target).unwrap_or_else(|_| target.clone());
        let place = place.display().to_string();
        let report = wire::Stored { sha256: sha256.clone(), size, place };
        let path = format!("/backups/{}/stored", begun.job);
        let _: wire::Archive = client.post(&path, &report).await?;
        let (name, archive_id) = (begun.name, begun.archive_id);
        let path = Some(target.display().to_string());
        Ok(Made { name, archive_id, path, sha256: Some(sha256), bytes: size })
    }
}

/// What lies at the root of every target, of the newest archive, so that recovery needs no Holdfast.
fn write_aids(dir: &Path, json: &[u8]) -> Done {
    let public = Public::from_bytes(json).map_err(holdfast_node::NodeError::from)?;
    let there = std::fs::read(dir.join("cluster.pgp")).ok();
    let aids = aids(public.facts.signer.certificate, there.as_deref());
    for (name, bytes) in aids.files {
        let there = std::fs::read(dir.join(name)).ok();
        if there.as_ref().is_some_and(|there| *there == bytes) {
            continue;
        }
        let mut aid = Temporary::new(dir, name)?;
        aid.write(&bytes)?;
        aid.sync_and_read_back()?;
        aid.replace()?;
        if aids.another && name == "cluster.pgp" {
            let dir = dir.display();
            output::note(format!(
                "{dir}/cluster.pgp was another one and was replaced: give each vault a directory of its own"
            ));
        }
    }
    Ok(())
}

/// Refuses a directory of a vault's own data, which this client can tell by its marker: an archive there
/// shares the fate of what it should save.
fn not_in_a_vault(dir: &Path) -> Done {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    // The directory may not exist yet; its nearest ancestor that does decides.
    let real = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    let real = real.unwrap_or(absolute);
    match real.ancestors().find(|path| path.join("vault.json").exists()) {
        None => Ok(()),
        Some(data) => {
            let (dir, data) = (dir.display(), data.display());
            let message = format!("{dir} is in the data directory of a vault, {data}");
            Err(Failure::new(Kind::Refused, message).next(
                "choose an --output on another disk; without --output the vault uses its own directory",
            ))
        }
    }
}

/// A failure to use the directory that was asked for.
fn unusable(dir: &Path, error: &std::io::Error) -> Failure {
    if dir.exists() && !dir.is_dir() {
        let message = format!("{} is not a directory", dir.display());
        return Failure::new(Kind::Exists, message).next("choose another --output DIR");
    }
    Failure::io(dir.display(), error).next("choose another --output DIR")
}

/// A file under a temporary name, removed unless it is renamed.
struct Temporary {
    file: std::fs::File,
    path: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Temporary {
    fn new(dir: &Path, name: &str) -> Result<Self, Failure> {
        let (path, target) = (dir.join(format!(".{name}.part")), dir.join(name));
        let mut options = std::fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(|error| unusable(dir, &error))?;
        Ok(Self { file, path, target, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> Done {
        let written = self.file.write_all(bytes);
        written.map_err(|error| {
            Failure::io(self.target.display(), &error).next("make room, or choose another --output")
        })
    }

    /// Size and SHA-256, hex, of what the disk gives back.
    fn sync_and_read_back(&mut self) -> Result<(u64, String), Failure> {
        let failed = |error: std::io::Error| Failure::io(self.target.display(), &error);
        self.file.sync_all().map_err(failed)?;
        let mut back = std::fs::File::open(&self.path).map_err(failed)?;
        let (mut hash, mut size) = (Hash::new(&SHA256), 0_u64);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let n = back.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                return Ok((size, HEXLOWER.encode(hash.finish().as_ref())));
            }
            hash.update(&buffer[..n]);
            size += u64::try_from(n).unwrap_or(0);
        }
    }

    /// For what is no archive: the newest counts.
    fn replace(&mut self) -> Done {
        let renamed = std::fs::rename(&self.path, &self.target);
        renamed.map_err(|error| Failure::io(self.target.display(), &error))?;
        self.kept = true;
        Ok(())
    }

    fn rename(&mut self) -> Done {
        // A link, not a rename: it never replaces what somebody else put there.
        let linked = std::fs::hard_link(&self.path, &self.target).or_else(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            std::fs::rename(&self.path, &self.target)
        });
        linked.map_err(|error| Failure::io(self.target.display(), &error))?;
        _ = std::fs::remove_file(&self.path);
        self.kept = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            _ = std::fs::remove_file(&self.path);
        }
    }
}
