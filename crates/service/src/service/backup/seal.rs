//! What is sealed, to whom, signed by whom.

use std::io::Write;

use holdfast_machine::View;
use holdfast_records::{Custodian, Slot};
use holdfast_recovery::{
    ArchiveError, ArchiveName, BaseInput, LedgerHead, SealedArchive, kept_slots, signer, write_base,
};
use holdfast_seal::{SealError, SessionKey};
use holdfast_types::{ArchiveId, Kind, Revision, SlotId};

use super::Service;
use super::vault::{CHECK_DISK, ROOM};
use crate::service::archives::ledger_head;
use crate::service::custodians::{current_root, no_custodian};
use crate::service::read::list;
use crate::{CustodianSelector, Error};

/// What to do where there are more custodians than an archive can be sealed to.
const FEWER: &str = "holdfast backup --custodian NAME, once for each of those who shall open it; \
                     or holdfast custodian rm NAME";

/// What to do where the vault's own archive directory holds another vault's archives.
const OWN_DIRECTORY: &str =
    "move what lies there elsewhere, or back up to another directory: holdfast backup --output DIR";

/// An archive that was sealed, and to whom.
pub(super) type Sealed = SealedArchive;

type Make = Box<dyn Fn(&mut dyn Write) -> Result<SealedArchive, ArchiveError> + Send + Sync>;

/// What makes one archive, holding the view it is made from.
pub(super) struct Maker {
    name: String,
    to: Revision,
    custodians: Vec<Custodian>,
    slots: Vec<(SlotId, SessionKey)>,
    make: Make,
}

impl Maker {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The revision it holds.
    pub(super) fn to(&self) -> Revision {
        self.to
    }

    pub(super) fn custodians(&self) -> &[Custodian] {
        &self.custodians
    }

    /// The session keys of slots that are kept: with the archive's own they open it again.
    pub(super) fn slots(&self) -> &[(SlotId, SessionKey)] {
        &self.slots
    }

    /// Writes the sealed tar. Blocks. Each time it is another one, with other session keys.
    pub(super) fn seal(&self, out: &mut dyn Write) -> Result<Sealed, Error> {
        Ok((self.make)(out)?)
    }
}

/// Those custodians, or all. At least one must be able to open both layers.
pub(super) fn choose(
    view: &dyn View,
    those: Option<&[CustodianSelector]>,
) -> Result<Vec<Custodian>, Error> {
    let all = list::<Custodian>(view, &[])?.into_iter().map(|found| found.record);
    let chosen: Vec<Custodian> = match those {
        None => all.collect(),
        Some(those) => {
            let all: Vec<Custodian> = all.collect();
            let one = |which: &CustodianSelector| {
                let named =
                    |one: &&Custodian| which.names(&one.name, one.custodian_id, &one.fingerprint);
                all.iter().find(named).ok_or_else(|| no_custodian(which))
            };
            let mut chosen: Vec<Custodian> = Vec::new();
            for which in those {
                let found = one(which)?;
                // Named twice is meant once.
                if chosen.iter().all(|other| other.custodian_id != found.custodian_id) {
                    chosen.push(found.clone());
                }
            }
            chosen
        }
    };
    let current = current_root(view)?;
    let slots = list::<Slot>(view, &[])?;
    let opens = |custodian: &Custodian| {
        slots.iter().any(|slot| {
            slot.record.custodian == Some(custodian.custodian_id)
                && Some(slot.record.generation) == current
        })
    };
    if chosen.iter().any(opens) {
        return Ok(chosen);
    }
    Err(Error::new(Kind::Refused, "no custodian could open this archive through both layers")
        .next("add one first: holdfast custodian add CERTIFICATE_FILE"))
}

impl Service {
    /// Takes a view now; everything the archive holds is in it.
    pub(super) fn maker(
        &self,
        archive_id: ArchiveId,
        those: Option<&[CustodianSelector]>,
    ) -> Result<Maker, Error> {
        let view = self.cluster.view();
        let custodians = choose(&view, those)?;
        let signer = signer(&view, &self.keyring)?;
        let slots = kept_slots(&view, &self.keyring)?;
        let head = view.head();
        let to = head.revision;
        let name = ArchiveName {
            vault_id: self.vault_id,
            incarnation: head.epoch.id,
            from: Revision::ZERO,
            to,
        };
        let signed = self.clock.now();
        let created = head.at.max(signed);
        let ledger = ledger_head(&view)?;
        let ledger = LedgerHead { head: ledger.hex(), size: ledger.size };
        let recipients = custodians.clone();
        let make: Make = Box::new(move |out| {
            let (view, signer, custodians) = (&view, &signer, recipients.as_slice());
            let input = BaseInput {
                view,
                signer,
                custodians,
                archive_id,
                created,
                signed,
                ledger: ledger.clone(),
            };
            write_base(&input, out)
        });
        Ok(Maker { name: name.to_string(), to, custodians, slots, make })
    }

    /// The fingerprint that archives are signed under.
    pub(in crate::service) fn signer_fingerprint(&self, view: &dyn View) -> Result<String, Error> {
        Ok(signer(view, &self.keyring)?.fingerprint())
    }

    /// The certificate that archives are signed with.
    pub(super) fn signer_certificate(&self) -> Result<Vec<u8>, Error> {
        Ok(signer(&self.cluster.view(), &self.keyring)?.certificate_bytes())
    }
}

impl From<ArchiveError> for Error {
    fn from(error: ArchiveError) -> Self {
        let failed = Self::new(error.kind(), error.to_string());
        match error {
            ArchiveError::TooManyCustodians { .. } => failed.next(FEWER),
            ArchiveError::AnotherTarget { .. } => failed.next(OWN_DIRECTORY),
            ArchiveError::Fs(error) => error.into(),
            ArchiveError::Keys(error) => Self { message: failed.message, ..error.into() },
            _ if failed.kind == Kind::NoSpace => failed.next(ROOM),
            ArchiveError::Seal(SealError::Destination(_)) => failed.next(CHECK_DISK),
            _ => failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_fs::FsError;

    use super::*;

    #[test]
    fn who_has_too_many_custodians_is_told_how_to_name_fewer() {
        let error = Error::from(ArchiveError::TooManyCustodians { found: 17, max: 16 });
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.next.unwrap().contains("--custodian"));
    }

    #[test]
    fn whoever_has_no_room_is_told_to_make_some_wherever_it_was_missing() {
        let path = || "/srv/vault/archives/a.json".into();
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failures = [
            Error::from(FsError::NoSpace { path: path() }),
            Error::from(ArchiveError::from(FsError::NoSpace { path: path() })),
            Error::from(ArchiveError::from(SealError::Destination(full()))),
        ];
        for error in failures {
            assert_eq!(error.kind, Kind::NoSpace, "{error}");
            assert_eq!(error.next.as_deref(), Some(ROOM), "{error}");
        }
    }
}
