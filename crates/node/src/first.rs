//! The first archive of a new vault, taken in process, and its first drills: a byte drill always, a full one
//! where a custodian's secret key is at hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use holdfast_cluster::{Clock as _, SystemClock};
use holdfast_fs::Fs;
use holdfast_recovery::{ArchiveFiles, Trust, Unseal, check_sidecars};
use holdfast_seal::{Identity, Opener};
use holdfast_service::{ArchiveInfo, Caller, DrillMode, DrillReport, Service};
use holdfast_types::Kind;

use crate::NodeError;
use crate::drill::drill_in;
use crate::open::open;

/// The first archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct First {
    /// The sealed tar.
    pub archive: PathBuf,
    /// How long it took, in milliseconds; `None` where a start before this one had taken it.
    pub archive_ms: Option<u64>,
    /// How long its byte drill took, in milliseconds: restored with the session keys that were kept. `None` where
    /// it was drilled before.
    pub byte_drill_ms: Option<u64>,
    /// How long its full drill took; `None` where that was done before, or no custodian's secret is at hand.
    pub drill_ms: Option<u64>,
}

/// Opens the vault without a listener, takes an archive, and drills it: with the session keys that were kept,
/// then with a custodian's secret key, if there is one. What the ledger knows to be done is not done again.
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
    service: &Arc<Service>,
    signer: &str,
    secret: Option<&[u8]>,
) -> Result<First, NodeError> {
    let (known, archive_ms) = archive(&**fs, service).await?;
    let archive = PathBuf::from(&known.place);
    let files = ArchiveFiles::of(&archive);
    let trust = Trust::Fingerprint(signer.to_owned());
    let signed = check_sidecars(&**fs, &files, &trust, SystemClock.now())?;
    let drilled = async |unseal: &Unseal, mode| -> Result<u64, NodeError> {
        let scratch = std::env::temp_dir();
        let tried = drill_in(fs, &files, &signed.public, unseal, &scratch, &mut |_| ())?;
        let report = DrillReport {
            archive_id: known.archive_id,
            mode,
            elapsed_ms: tried.elapsed_ms,
            versions: tried.versions,
            digest: tried.digest,
            sha256: known.sha256,
            custodian: tried.custodian,
        };
        service.record_drill(&Caller::system(), &report).await?;
        Ok(tried.elapsed_ms)
    };
    let mut byte_drill_ms = None;
    if known.drilled.is_none() {
        let kept = service.kept_sessions(known.archive_id)?.ok_or_else(|| {
            NodeError::new(Kind::Internal, "the session keys of the first archive were not kept")
        })?;
        byte_drill_ms = Some(drilled(&kept, DrillMode::Byte).await?);
    }
    let mut drill_ms = None;
    if let Some(secret) = secret.filter(|_| known.drilled_full.is_none()) {
        let identity = Identity::read(secret, None)
            .map_err(|error| NodeError::new(Kind::WrongIdentity, error.to_string()))?;
        let unseal = Unseal::Custodian(Opener::Identity(identity));
        drill_ms = Some(drilled(&unseal, DrillMode::Full).await?);
    }
    Ok(First { archive, archive_ms, byte_drill_ms, drill_ms })
}

/// What the ledger says of the first archive, which is taken where there is none; and how long that took.
async fn archive(
    fs: &dyn Fs,
    service: &Arc<Service>,
) -> Result<(ArchiveInfo, Option<u64>), NodeError> {
    let stored = async || -> Result<Option<ArchiveInfo>, NodeError> {
        for known in service.list_archives(&Caller::system()).await? {
            if known.stored.is_some() && fs.exists(Path::new(&known.place))? {
                return Ok(Some(known));
            }
        }
        Ok(None)
    };
    if let Some(known) = stored().await? {
        return Ok((known, None));
    }
    let began = Instant::now();
    service.backup_to_vault(&Caller::system(), None).await?;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let none = || NodeError::new(Kind::Internal, "the ledger does not know the first archive");
    Ok((stored().await?.ok_or_else(none)?, Some(took)))
}
