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
use holdfast_client::{Client, ClientError, TarStream, failed_backup};
use holdfast_fs::{Disk, Fs, FsError};
use holdfast_recovery::{
    ArchiveError, ArchiveName, Placing, Public, must_be_own_target, place_aids,
};
use holdfast_types::Kind;

use super::End;
use crate::Done;
use crate::cli::Global;
use crate::output::{self, Failure};
use crate::progress::{Progress, Unit};

/// How long the vault is told that a backup is given up.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// How far a backup is that ended well: read back, or opened as well.
const STORED: &str = "stored";
const VERIFIED: &str = "verified";
/// How often it is asked how far one is.
const POLLED_EVERY: Duration = Duration::from_millis(50);

/// Make an archive of everything, sealed to the custodians and signed
///
/// The vault serves on meanwhile. "Stored" means that the whole object was read back and its hash is equal:
/// by this command in --output DIR. Without it the vault does so in its own archive directory, and opens what
/// it reads: "verified". Ctrl-C does not stop that; it gives up what goes to --output. --quiet prints the path.
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

    /// Begins one. Whoever asks for the end after it was asked for still hears what the vault began: it goes
    /// on with it, or waits for its reader. Whether somebody asked is the second answer.
    async fn begin(
        &self,
        client: &mut Client,
        end: &mut End,
        to: &str,
    ) -> Result<(wire::Backup, Result<(), Failure>), Failure> {
        end.or(async { Ok(client.connect().await?) }).await?;
        let some = (!self.custodian.is_empty()).then(|| self.custodian.clone());
        let new = wire::NewBackup { to: to.to_owned(), custodians: some };
        let mut begun = std::pin::pin!(client.post("/backups", &new));
        let asked = tokio::select! {
            biased;
            begun = begun.as_mut() => return Ok((begun?, Ok(()))),
            asked = end.asked() => asked,
        };
        match tokio::time::timeout(TOLD_WITHIN, begun).await {
            Ok(Ok(begun)) => Ok((begun, asked)),
            _ => Err(Failure::Interrupted),
        }
    }

    async fn to_vault(&self, global: &Global, client: &mut Client) -> Result<Made, Failure> {
        let mut end = End::watch()?;
        let (begun, asked) = self.begin(client, &mut end, "vault").await?;
        let made = match asked {
            Ok(()) => end.or(made_by_vault(global, client, &begun)).await,
            Err(asked) => Err(asked),
        };
        if let Err(Failure::Interrupted) = &made {
            let name = &begun.name;
            output::note(format!(
                "the vault goes on with backup {name}; holdfast archive ls shows it"
            ));
        }
        made
    }

    async fn to_directory(
        &self,
        global: &Global,
        client: &mut Client,
        dir: &Path,
    ) -> Result<Made, Failure> {
        // Before there is something to take away.
        let mut end = End::watch()?;
        holdfast_node::path_text(&std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()))?;
        not_in_a_vault(dir)?;
        let fs = Disk::shared();
        let signer = &client.context().signer;
        if !signer.is_empty() {
            must_be_own_target(&Disk, dir, signer).map_err(|error| refused_target(dir, error))?;
        }
        try_out(&fs, dir)?;
        let (begun, asked) = self.begin(client, &mut end, "client").await?;
        let taken = match asked {
            Ok(()) => end.or(take(global, client, &fs, dir, &begun)).await,
            Err(asked) => Err(asked),
        };
        let report = match taken {
            Ok(report) => report,
            Err(failure) => {
                let left = left_behind(client, &begun).await;
                return Err(saying(failure, left));
            }
        };
        let path = format!("/backups/{}/stored", begun.job_id);
        let told = async { Ok(client.post::<wire::Archive>(&path, &report).await?) };
        if let Err(failure) = end.or(told).await {
            let place = &report.place;
            let why = format!("the archive is whole at {place}, but the vault was not told");
            return Err(saying(failure, Some(why)));
        }
        let wire::Stored { sha256, size, place } = report;
        let (name, archive_id) = (begun.name, begun.archive_id);
        let (place, sha256) = (Some(place), Some(sha256));
        Ok(Made { name, archive_id, place, sha256, size, state: STORED })
    }
}

/// Waits for what the vault makes by itself.
async fn made_by_vault(
    global: &Global,
    client: &mut Client,
    begun: &wire::Backup,
) -> Result<Made, Failure> {
    let progress = Progress::new(global, "sealing", Unit::Bytes);
    loop {
        let state = state(client, begun).await?;
        if state.phase.as_deref() == Some("verifying") {
            progress.go_over_to("verifying");
        }
        progress.set(state.size);
        match state.state.as_str() {
            STORED => {
                let (name, archive_id) = (begun.name.clone(), begun.archive_id.clone());
                let wire::BackupState { size, place, sha256, verified, .. } = state;
                let state = if verified { VERIFIED } else { STORED };
                return Ok(Made { name, archive_id, place, sha256, size, state });
            }
            "failed" => return Err(failed_backup(state).into()),
            _ => tokio::time::sleep(POLLED_EVERY).await,
        }
    }
}

async fn state(
    client: &mut Client,
    begun: &wire::Backup,
) -> Result<wire::BackupState, ClientError> {
    client.get(&format!("/backups/{}", begun.job_id)).await
}

/// Takes the tar and puts it in its place, whole: what the vault is told of it.
async fn take(
    global: &Global,
    client: &mut Client,
    fs: &Arc<dyn Fs>,
    dir: &Path,
    begun: &wire::Backup,
) -> Result<wire::Stored, Failure> {
    let failed = |error| in_output(dir, error);
    let (mut placing, mut stream) = both_ends(client, fs, dir, begun).await?;
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
    write_aids(fs, dir, &beside.json.0)?;
    placing.finish(&beside.json.0, &beside.signature.0).map_err(failed)?;
    let place = std::path::absolute(&target).unwrap_or_else(|_| target.clone());
    let place = place.display().to_string();
    Ok(wire::Stored { sha256, size, place })
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

/// What a backup that nobody takes leaves in the vault, for people. One that waits for its reader is given up: it
/// would hold the place of another one. A vault that does not hear it gives it up later.
async fn left_behind(client: &Client, begun: &wire::Backup) -> Option<String> {
    // Another connection: a request may be under way on the client's own.
    let mut client = Client::new(client.context().clone());
    let settled = async {
        loop {
            match state(&mut client, begun).await.ok()?.state.as_str() {
                "waiting" => {
                    let path = format!("/backups/{}", begun.job_id);
                    // Where somebody reads it by now, its state says what becomes of it.
                    _ = client.delete::<wire::BackupState>(&path).await;
                }
                "running" => {}
                state => return Some(state == "written"),
            }
            tokio::time::sleep(POLLED_EVERY).await;
        }
    };
    // What led here is what is reported: nobody waits long for this.
    let settled = tokio::time::timeout(TOLD_WITHIN, settled).await;
    let name = &begun.name;
    matches!(settled, Ok(Some(true)))
        .then(|| format!("the vault knows of an archive {name}, written, that lies nowhere"))
}

/// A failure that says what is left, too; an interruption says it in a note.
fn saying(failure: Failure, left: Option<String>) -> Failure {
    match (failure, left) {
        (Failure::Failed { kind, message, next }, Some(left)) => {
            Failure::Failed { kind, message: format!("{message}; {left}"), next }
        }
        (Failure::Interrupted, Some(left)) => {
            output::note(left);
            Failure::Interrupted
        }
        (failure, None) => failure,
    }
}

/// What lies at the root of every target, of the newest archive, so that recovery needs no Holdfast.
fn write_aids(fs: &Arc<dyn Fs>, dir: &Path, json: &[u8]) -> Done {
    let public = Public::from_bytes(json).map_err(holdfast_node::NodeError::from)?;
    place_aids(&**fs, dir, public.facts.signer.certificate)
        .map_err(|error| refused_target(dir, error))
}

fn refused_target(dir: &Path, error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Fs(error) => in_output(dir, error),
        error => holdfast_node::NodeError::from(error).into(),
    }
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
