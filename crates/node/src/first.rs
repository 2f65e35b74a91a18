//! The first archive of a new vault, taken in process, and its first drills: a byte drill always, a full one
//! where a custodian's secret key is at hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::Fs;
use holdfast_recovery::{ArchiveFiles, Trust, Unseal, check_sidecars};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{Caller, DrillMode, DrillReport};
use holdfast_types::Kind;

use crate::NodeError;
use crate::drill::drill_in;
use crate::open::open;

/// The first archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct First {
    /// The sealed tar.
    pub archive: PathBuf,
    /// How long it took, in milliseconds.
    pub archive_ms: u64,
    /// How long its byte drill took, in milliseconds: restored with the session keys that were kept.
    pub byte_drill_ms: u64,
    /// How long its full drill took; `None` where no custodian's secret was at hand.
    pub drill_ms: Option<u64>,
}

/// Opens the vault without a listener, takes an archive, and drills it: with the session keys that were kept,
/// then with a custodian's secret key, if there is one.
pub(crate) fn take(
    fs: &Arc<dyn Fs>,
    data: &Path,
    archives: Option<PathBuf>,
    signer: &str,
    secret: Option<&[u8]>,
) -> Result<First, NodeError> {
    crate::serve::runtime()?.block_on(async {
        let node = open(fs, data, None, archives)?;
        let taken = archive_and_drill(fs, &node.service, signer, secret).await;
        let closed = node.close().await;
        closed.and(taken)
    })
}

async fn archive_and_drill(
    fs: &Arc<dyn Fs>,
    service: &Arc<holdfast_service::Service>,
    signer: &str,
    secret: Option<&[u8]>,
) -> Result<First, NodeError> {
    let began = Instant::now();
    let info = service.backup_to_vault(&Caller::system(), None).await?;
    let archive_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let directory = info.directory.as_deref().unwrap_or(".");
    let archive = Path::new(directory).join(&info.file);
    let files = ArchiveFiles::of(&archive);
    let trust = Trust::Fingerprint(signer.to_owned());
    let signed = check_sidecars(&**fs, &files, &trust, SystemClock.now())?;
    let drilled = async |unseal: &Unseal, mode| -> Result<u64, NodeError> {
        let scratch = std::env::temp_dir();
        let tried = drill_in(fs, &files, &signed.public, unseal, &scratch, &mut |_| ())?;
        let report = DrillReport {
            archive_id: info.archive_id,
            mode,
            elapsed_ms: tried.elapsed_ms,
            versions: tried.versions,
            digest: tried.digest,
            sha256: info.sha256,
            custodian: tried.custodian,
        };
        service.record_drill(&Caller::system(), &report).await?;
        Ok(tried.elapsed_ms)
    };
    let kept = service.kept_sessions(info.archive_id)?.ok_or_else(|| {
        NodeError::new(Kind::Internal, "the session keys of the first archive were not kept")
    })?;
    let byte_drill_ms = drilled(&kept, DrillMode::Byte).await?;
    let mut drill_ms = None;
    if let Some(secret) = secret {
        let identity = Identity::read(secret, None)
            .map_err(|error| NodeError::new(Kind::WrongIdentity, error.to_string()))?;
        let unseal = Unseal::Custodian(Opener::Identity(identity));
        drill_ms = Some(drilled(&unseal, DrillMode::Full).await?);
    }
    Ok(First { archive, archive_ms, byte_drill_ms, drill_ms })
}
