//! Archives, backups and drills.

use axum::body::Body as ResponseBody;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use holdfast_service::{
    Action, ArchiveInfo, BackupInfo, BackupPhase, BackupProgress, BackupTo, DrillMode, DrillReport,
    Error, Recipient, StartBackup, StoredReport,
};
use holdfast_types::{Kind, hex};

use crate::error::{Answer, Failed, Reply};
use crate::extract::{Body, Call, On, Path};
use crate::wire;

pub(crate) async fn list(call: Call) -> Answer<wire::Archives> {
    let archives = call.service.list_archives(&call.caller).await?;
    Ok(Reply(wire::Archives { archives: archives.into_iter().map(Into::into).collect() }))
}

pub(crate) async fn show(call: Call, Path(which): Path<String>) -> Answer<wire::Archive> {
    Ok(Reply(call.service.show_archive(&call.caller, &which).await?.into()))
}

pub(crate) async fn start(call: Call, body: Body) -> Answer<wire::Backup> {
    let action = Action::BackupStart;
    let new: wire::NewBackup = call.body(action, On::Other("backups"), body).await?;
    let to = match new.to.as_str() {
        "vault" => BackupTo::Vault,
        "client" => BackupTo::Client,
        _ => {
            let error = Error::new(Kind::BadInput, "a backup goes to \"vault\" or \"client\"");
            return Err(call.reject(action, "backups", error));
        }
    };
    let those = |all: Vec<String>| all.iter().map(|one| call.custodian(action, one)).collect();
    let custodians = new.custodians.map(those).transpose()?;
    let begun = call.service.start_backup(&call.caller, &StartBackup { to, custodians }).await?;
    Ok(Reply(wire::Backup {
        job_id: begun.job.to_string(),
        archive_id: begun.archive_id.to_string(),
        name: begun.name,
        file: begun.file,
    }))
}

pub(crate) async fn progress(call: Call, Path(job): Path<String>) -> Answer<wire::BackupState> {
    let job = call.parse(Action::BackupRead, &job)?;
    Ok(Reply(call.service.backup_progress(&call.caller, job).await?.into()))
}

pub(crate) async fn cancel(call: Call, Path(job): Path<String>) -> Answer<wire::BackupState> {
    let job = call.parse(Action::BackupCancel, &job)?;
    Ok(Reply(call.service.cancel_backup(&call.caller, job).await?.into()))
}

/// Streams the sealed tar. A failure in the middle breaks the connection off, so that nobody takes a
/// part for the whole; the signature, which is asked for afterwards, is never made then.
pub(crate) async fn tar(call: Call, Path(job): Path<String>) -> Result<Response, Failed> {
    let job = call.parse(Action::BackupRead, &job)?;
    let tar = call.service.backup_stream(&call.caller, job).await?;
    let pieces = stream::unfold(tar, |mut tar| async move {
        let piece = tar.next().await?;
        let piece = piece.map(Bytes::from).map_err(|error| std::io::Error::other(error.message));
        Some((piece, tar))
    });
    let mut response = Response::new(ResponseBody::from_stream(pieces));
    let octets = http::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(http::header::CONTENT_TYPE, octets);
    Ok(response)
}

pub(crate) async fn sidecars(call: Call, Path(job): Path<String>) -> Answer<wire::Sidecars> {
    let job = call.parse(Action::BackupRead, &job)?;
    let beside = call.service.backup_sidecars(&call.caller, job).await?;
    Ok(Reply(wire::Sidecars {
        name: beside.name,
        json: wire::Base64(beside.json),
        signature: wire::Base64(beside.signature),
        sha256: hex::encode(&beside.sha256),
        size: beside.size,
    }))
}

pub(crate) async fn stored(
    call: Call,
    Path(job): Path<String>,
    body: Body,
) -> Answer<wire::Archive> {
    let action = Action::BackupStored;
    let report: wire::Stored = call.body(action, On::Other(&job), body).await?;
    let sha256 = hash(&call, action, &report.sha256)?;
    let job = call.parse(action, &job)?;
    let report = StoredReport { sha256, size: report.size, place: report.place };
    Ok(Reply(call.service.backup_stored(&call.caller, job, &report).await?.into()))
}

pub(crate) async fn drill(call: Call, body: Body) -> Answer<wire::Drilled> {
    let action = Action::DrillRecord;
    let drill: wire::Drill = call.body(action, On::Other("drills"), body).await?;
    let mode = match drill.mode.as_str() {
        "byte" => DrillMode::Byte,
        "full" => DrillMode::Full,
        _ => {
            let error = Error::new(Kind::BadInput, "a drill's mode is \"byte\" or \"full\"");
            return Err(call.reject(action, &drill.archive_id, error));
        }
    };
    let report = DrillReport {
        archive_id: call.parse(action, &drill.archive_id)?,
        mode,
        elapsed_ms: drill.elapsed_ms,
        versions: drill.versions,
        digest: drill.digest,
        sha256: hash(&call, action, &drill.sha256)?,
        custodian: drill.custodian_id.map(|id| call.parse(action, &id)).transpose()?,
    };
    let record = call.service.record_drill(&call.caller, &report).await?;
    let archive = record.archive.into();
    Ok(Reply(wire::Drilled { seq: record.seq, at: record.at.0, archive }))
}

fn hash(call: &Call, action: Action, text: &str) -> Result<[u8; 32], Failed> {
    hex::decode(text).ok_or_else(|| {
        let error = Error::new(Kind::BadInput, "a SHA-256 value is 64 lower-case hex digits");
        call.reject(action, "", error)
    })
}

impl From<ArchiveInfo> for wire::Archive {
    fn from(archive: ArchiveInfo) -> Self {
        Self {
            archive_id: archive.archive_id.to_string(),
            name: archive.name,
            from: archive.from.0,
            to: archive.to.0,
            sha256: hex::encode(&archive.sha256),
            size: archive.size,
            written: archive.written.map(|at| at.0),
            stored: archive.stored.map(|at| at.0),
            stored_by: archive.stored_by,
            verified: archive.verified.map(|at| at.0),
            drilled: archive.drilled.map(|at| at.0),
            drilled_full: archive.drilled_full.is_some(),
            gone: archive.gone,
            place: archive.place,
            custodians: archive.custodians.into_iter().map(name_or_id).collect(),
        }
    }
}

fn name_or_id(to: Recipient) -> String {
    to.name.map_or_else(|| to.custodian_id.to_string(), |name| name.to_string())
}

impl From<BackupProgress> for wire::BackupState {
    fn from(progress: BackupProgress) -> Self {
        let state = |state: &str, size| Self {
            state: state.to_owned(),
            size,
            phase: None,
            verified: false,
            place: None,
            sha256: None,
            code: None,
            message: None,
            next: None,
        };
        let whole = |name: &str, info: BackupInfo| Self {
            place: info.directory.map(|directory| format!("{directory}/{}", info.file)),
            sha256: Some(hex::encode(&info.sha256)),
            verified: info.verified,
            ..state(name, info.size)
        };
        match progress {
            BackupProgress::Waiting => state("waiting", 0),
            BackupProgress::Running { phase, bytes } => {
                let phase = match phase {
                    BackupPhase::Sealing => "sealing",
                    BackupPhase::Verifying => "verifying",
                };
                Self { phase: Some(phase.to_owned()), ..state("running", bytes) }
            }
            BackupProgress::Written(info) => whole("written", info),
            BackupProgress::Stored(info) => whole("stored", info),
            BackupProgress::Failed { kind, message, next } => Self {
                code: Some(kind.code().to_owned()),
                message: Some(message),
                next,
                ..state("failed", 0)
            },
        }
    }
}
