//! The first archive of a new vault, taken in process, and its first drill.

use std::path::{Path, PathBuf};
use std::time::Instant;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::Disk;
use holdfast_recovery::{ArchiveFiles, Trust, Unseal, check_sidecars};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{Caller, DrillMode, DrillReport};
use holdfast_types::Kind;

use crate::open::open;
use crate::{NodeError, drill};

/// The first archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct First {
    /// The sealed tar.
    pub archive: PathBuf,
    /// How long it took, in milliseconds.
    pub archive_ms: u64,
    /// How long its full drill took; `None` where no custodian's secret was at hand.
    pub drill_ms: Option<u64>,
}

/// Opens the vault without a listener, takes an archive, and drills it with a custodian's secret key.
pub(crate) fn take(
    data: &Path,
    archives: Option<PathBuf>,
    signer: &str,
    secret: Option<&[u8]>,
) -> Result<First, NodeError> {
    crate::serve::runtime()?.block_on(async {
        let node = open(data, None, archives)?;
        let taken = archive_and_drill(&node.service, signer, secret).await;
        let closed = node.close().await;
        closed.and(taken)
    })
}

async fn archive_and_drill(
    service: &std::sync::Arc<holdfast_service::Service>,
    signer: &str,
    secret: Option<&[u8]>,
) -> Result<First, NodeError> {
    let began = Instant::now();
    let info = service.backup_to_vault(&Caller::system(), None).await?;
    let archive_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let directory = info.directory.as_deref().unwrap_or(".");
    let archive = Path::new(directory).join(&info.file);
    let Some(secret) = secret else { return Ok(First { archive, archive_ms, drill_ms: None }) };

    let identity = Identity::read(secret, None)
        .map_err(|error| NodeError::new(Kind::WrongIdentity, error.to_string()))?;
    let unseal = Unseal::Custodian(Opener::Identity(identity));
    let files = ArchiveFiles::of(&archive);
    let trust = Trust::Fingerprint(signer.to_owned());
    let signed = check_sidecars(&Disk, &files, &trust, SystemClock.now())?;
    let scratch = std::env::temp_dir();
    let tried = drill(&files, &signed.public, &unseal, &scratch, &mut |_| ())?;
    let report = DrillReport {
        archive_id: info.archive_id,
        mode: DrillMode::Full,
        elapsed_ms: tried.elapsed_ms,
        versions: tried.versions,
        digest: tried.digest,
        sha256: info.sha256,
        custodian: tried.custodian,
    };
    service.record_drill(&Caller::system(), &report).await?;
    Ok(First { archive, archive_ms, drill_ms: Some(tried.elapsed_ms) })
}
