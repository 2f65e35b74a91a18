//! `holdfast backup`: into the vault's own archive directory, or with `--output` to a directory here.
//!
//! With `--output` the server seals and streams; this side writes under a temporary name, syncs, reads
//! the whole back, renames (tar, JSON, signature last) and reports the hash it read back.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use data_encoding::HEXLOWER;
use holdfast_api::wire;
use holdfast_client::{Client, TarStream, failed_backup};
use holdfast_fs::{Disk, Fs, FsError};
use holdfast_recovery::{ArchiveName, Placing, Public, place_aids};
use holdfast_types::Kind;

use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};
use crate::progress::{Progress, Unit};

/// How long the vault is told that a backup is given up.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How far a backup is that ended well.
const STORED: &str = "stored";

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
    /// Only to this custodian, by name, fingerprint or id; give it once for each
    #[arg(long, value_name = "WHICH")]
    custodian: Vec<String>,
}

#[derive(serde::Serialize)]
struct Made {
    name: String,
    archive_id: String,
    place: Option<String>,
    sha256: Option<String>,
    size: u64,
    state: &'static str,
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
        let place = made.place.as_deref().unwrap_or(&made.name);
        if global.quiet {
            return output::line(place);
        }
        output::line(format!(
            "place   {place}\nsha256  {}\nsize    {}\nstate   {}",
            made.sha256.as_deref().unwrap_or("-"),
            made.size,
            made.state
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
            let path = format!("/backups/{}", begun.job_id);
            let state: wire::BackupState = client.get(&path).await?;
            progress.set(state.size);
            match state.state.as_str() {
                STORED => {
                    let wire::BackupState { size, place, sha256, .. } = state;
                    let wire::Backup { name, archive_id, .. } = begun;
                    return Ok(Made { name, archive_id, place, sha256, size, state: STORED });
                }
                "failed" => return Err(failed_backup(state).into()),
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
        // Lets whoever waits for Ctrl-C begin to, before there is something to take away.
        tokio::task::yield_now().await;
        holdfast_node::path_text(&std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()))?;
        not_in_a_vault(dir)?;
        let fs = Disk::shared();
        try_out(&fs, dir)?;
        let begun = self.begin(client, "client").await?;
        let failed = |error| in_output(dir, error);
        let (mut placing, mut stream) = match both_ends(client, &fs, dir, &begun).await {
            Ok(ends) => ends,
            Err(error) => {
                give_up(client, &begun.job_id).await;
                return Err(error);
            }
        };
        let target = placing.path();
        let progress = Progress::new(global, "sealing", Unit::Bytes);
        let mut received = 0;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            received += u64::try_from(piece.len()).unwrap_or(0);
            progress.set(received);
            let written = placing.write_all(&piece);
            written.map_err(|error| failed(FsError::new("write", &target, error)))?;
        }
        drop(progress);
        placing.sync().map_err(failed)?;
        let (size, sha256) = placing.read_back().map_err(failed)?;
        let sha256 = HEXLOWER.encode(&sha256);
        let path = format!("/backups/{}/sidecars", begun.job_id);
        let beside: wire::Sidecars = client.get(&path).await?;
        if (size, sha256.as_str()) != (beside.size, beside.sha256.as_str()) {
            let message = format!("{} was not stored as it was sent", target.display());
            return Err(Failure::new(Kind::Damaged, message)
                .next("check that disk, or choose another --output DIR"));
        }
        write_aids(&fs, dir, &beside.json.0)?;
        placing.finish(&beside.json.0, &beside.signature.0).map_err(failed)?;
        let place = std::path::absolute(&target).unwrap_or_else(|_| target.clone());
        let place = place.display().to_string();
        let report = wire::Stored { sha256: sha256.clone(), size, place: place.clone() };
        let path = format!("/backups/{}/stored", begun.job_id);
        let _: wire::Archive = client.post(&path, &report).await?;
        let (name, archive_id) = (begun.name, begun.archive_id);
        let (place, sha256) = (Some(place), Some(sha256));
        Ok(Made { name, archive_id, place, sha256, size, state: STORED })
    }
}

/// Where the archive goes, and where it comes from.
async fn both_ends(
    client: &mut Client,
    fs: &Arc<dyn Fs>,
    dir: &Path,
    begun: &wire::Backup,
) -> Result<(Placing, TarStream), Failure> {
    // It becomes a path here.
    if !ArchiveName::is_one(&begun.name) {
        let message =
            format!("the server calls an archive {:?}, which is no archive's name", begun.name);
        return Err(Failure::new(Kind::Refused, message)
            .next("look whether the client context names the right server"));
    }
    let placing = Placing::begin(fs, dir, &begun.name).map_err(|error| in_output(dir, error))?;
    Ok((placing, client.tar(&begun.job_id).await?))
}

/// Tells the vault that nobody will read the backup: it would wait for a reader, and others for its place.
async fn give_up(client: &mut Client, job: &str) {
    let path = format!("/backups/{job}");
    let told = client.delete::<wire::BackupState>(&path);
    // What led here is what is reported. A vault that does not hear it gives the backup up later.
    _ = tokio::time::timeout(TOLD_WITHIN, told).await;
}

/// What lies at the root of every target, of the newest archive, so that recovery needs no Holdfast.
fn write_aids(fs: &Arc<dyn Fs>, dir: &Path, json: &[u8]) -> Done {
    let public = Public::from_bytes(json).map_err(holdfast_node::NodeError::from)?;
    let placed = place_aids(&**fs, dir, public.facts.signer.certificate);
    if placed.map_err(|error| in_output(dir, error))? {
        let dir = dir.display();
        output::note(format!(
            "{dir}/cluster.pgp was another one and was replaced: give each vault a directory of its own"
        ));
    }
    Ok(())
}

/// Before the vault begins: that a file can be made there at all.
fn try_out(fs: &Arc<dyn Fs>, dir: &Path) -> Done {
    let tried = Placing::begin(fs, dir, &format!("holdfast-{}", std::process::id())).map(drop);
    tried.map_err(|error| in_output(dir, error))
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
fn in_output(dir: &Path, error: FsError) -> Failure {
    if dir.exists() && !dir.is_dir() {
        let message = format!("{} is not a directory", dir.display());
        return Failure::new(Kind::Exists, message).next("choose another --output DIR");
    }
    let next = match error {
        FsError::NoSpace { .. } => "make room there, or choose another --output DIR",
        FsError::Locked { .. } => "wait for the other holdfast that writes there",
        _ => "choose another --output DIR",
    };
    Failure::from(holdfast_node::NodeError::from(error)).next(next)
}
