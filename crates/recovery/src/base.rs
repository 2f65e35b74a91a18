//! A base archive from one view: the tar is pulled by the seal, so memory is constant.
//!
//! The digest is computed once more from the rows that were written and compared with the view's head
//! before `END` is written: a base proves that what the store gave back is what was committed.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use holdfast_crypto::Sha256;
use holdfast_machine::{Digest, Digester, View};
use holdfast_records::{Custodian, RootGeneration, Slot, Vault, json};
use holdfast_seal::{Certificate, SessionKey, SigningKey, seal_reader};
use holdfast_types::limits::{MEMBER_BYTES_MAX, RECIPIENTS_MAX, SLOTS_MAX};
use holdfast_types::{ArchiveId, Millis, Revision, Row, TableClass, hex};

use crate::give_way::{GiveWay, give_way};
use crate::manifest::counts;
use crate::members::{self, Sums, archived_tables};
use crate::name::TAR;
use crate::public::{Facts, LedgerHead, PUBLIC_VERSION, Signer};
use crate::walk::all;
use crate::{
    ArchiveError, ArchiveName, Manifest, Public, RECOVER_PY, RootEntry, SlotEntry, aids, tar,
};

/// A member of records is closed when it has this many bytes: far below the limit, so that the
/// next line always fits.
const RECORDS_BYTES: usize = 1 << 20;
/// What the last line of a member usually needs beyond that.
const LINE_USUAL_BYTES: usize = 4096;
const _: () = assert!(RECORDS_BYTES + holdfast_types::limits::LINE_BYTES_MAX < MEMBER_BYTES_MAX);

/// What a base is made of.
pub struct BaseInput<'a, V: View> {
    /// The state.
    pub view: &'a V,
    /// Who signs.
    pub signer: &'a SigningKey,
    /// Whom it is sealed to: custodians of the state, each with a slot inside.
    pub custodians: &'a [Custodian],
    /// Its id.
    pub archive_id: ArchiveId,
    /// When the view was taken, in the state's time, which never goes back.
    pub created: Millis,
    /// When it is signed, by the clock: a state whose time is ahead, since a clock once was, must not date
    /// its archives' signatures into the future, where whoever verifies refuses them.
    pub signed: Millis,
    /// The ledger at the view's revision.
    pub ledger: LedgerHead,
}

/// An archive that was written to its end.
#[derive(Debug)]
pub struct SealedArchive {
    /// Its name, without extension.
    pub name: String,
    /// What `NAME.json` says.
    pub public: Public,
    /// The bytes of `NAME.json`.
    pub json: Vec<u8>,
    /// The bytes of `NAME.json.sig`.
    pub signature: Vec<u8>,
    /// SHA-256 of the sealed tar.
    pub sha256: [u8; 32],
    /// Bytes of the sealed tar.
    pub size: u64,
    /// The state's digest.
    pub digest: Digest,
    /// Opens the outer seal: for byte drills.
    pub session_key: SessionKey,
}

/// Writes the sealed tar to `out`; answers with its sidecars, which are written after it.
///
/// Errors: nobody could open it; the state does not read back as it was committed; `out` fails. On
/// an error `out` holds a cut archive, which is to be removed.
pub fn write_base<V: View>(
    input: &BaseInput<'_, V>,
    out: &mut dyn Write,
) -> Result<SealedArchive, ArchiveError> {
    let certificates = recipients(input)?;
    let contents = Contents::gather(input)?;
    let manifest = contents.manifest.clone();
    let digest = input.view.head().digest(TableClass::Archived);
    let mut source = BaseTar::new(input.view, contents);
    let mut sealed = Hashed { out, hash: Sha256::new(), size: 0 };
    let name = manifest.name().to_string();
    let result = seal_reader(&mut source, &certificates, &mut sealed);
    let session_key = match (result, source.error.take()) {
        (Ok(key), None) => key,
        (_, Some(error)) => return Err(error),
        (Err(error), None) => return Err(error.into()),
    };
    let (sha256, size) = (sealed.hash.finish(), sealed.size);
    let public = manifest.public(hex::encode(&sha256), size);
    let json = public.to_bytes();
    let signature = input.signer.sign_detached(&json, input.signed)?;
    Ok(SealedArchive { name, public, json, signature, sha256, size, digest, session_key })
}

/// The custodians' certificates; expired ones are sealed to still, since their holders can decrypt.
fn recipients<V: View>(input: &BaseInput<'_, V>) -> Result<Vec<Certificate>, ArchiveError> {
    if input.custodians.is_empty() {
        return Err(ArchiveError::NoCustodian);
    }
    let (found, max) = (input.custodians.len(), RECIPIENTS_MAX);
    if found > max {
        return Err(ArchiveError::TooManyCustodians { found, max });
    }
    let read = |custodian: &Custodian| {
        Certificate::read_stored(&custodian.certificate, input.created)
            .map_err(|error| ArchiveError::Certificate(custodian.name.to_string(), error))
    };
    input.custodians.iter().map(read).collect()
}

/// The small members, gathered before the first byte is written.
struct Contents {
    manifest: Manifest,
    slots: Vec<(String, Vec<u8>)>,
}

impl Contents {
    fn gather<V: View>(input: &BaseInput<'_, V>) -> Result<Self, ArchiveError> {
        let head = input.view.head();
        let vault: Vec<Vault> = all(input.view)?;
        let [vault] = vault.as_slice() else {
            return Err(ArchiveError::damaged("the state has no vault record"));
        };
        let roots: Vec<RootGeneration> = all(input.view)?;
        let slots: Vec<Slot> = all(input.view)?;
        if slots.len() > SLOTS_MAX {
            return Err(ArchiveError::damaged(format!("more than {SLOTS_MAX} slots")));
        }
        let current = roots.iter().find(|root| root.current);
        let current =
            current.ok_or_else(|| ArchiveError::damaged("no root generation is current"))?;
        let opens = |custodian: &&Custodian| {
            let theirs = |slot: &&Slot| slot.custodian == Some(custodian.custodian_id);
            slots.iter().filter(theirs).any(|slot| slot.generation == current.generation)
        };
        let openers: Vec<_> =
            input.custodians.iter().filter(opens).map(|custodian| custodian.custodian_id).collect();
        if openers.is_empty() {
            return Err(ArchiveError::NoCustodian);
        }
        let name = ArchiveName {
            vault_id: vault.vault_id,
            incarnation: head.epoch.id,
            from: Revision::ZERO,
            to: head.revision,
        };
        let entry = |slot: &Slot| SlotEntry {
            custodian: slot.custodian,
            generation: slot.generation,
            kind: slot.kind.as_str().to_owned(),
            recipient: slot.recipient.clone(),
            slot_id: slot.slot_id,
        };
        let facts = Facts {
            archive_id: input.archive_id,
            base_sha256: None,
            created: input.created,
            epoch: head.revision.epoch(),
            file: format!("{name}{TAR}"),
            format: Facts::format(),
            from: Revision::ZERO,
            incarnation: head.epoch.id,
            kind: "base".to_owned(),
            ledger: input.ledger.clone(),
            min_reader: PUBLIC_VERSION,
            prev_sha256: None,
            recipients: input.custodians.iter().map(|who| who.fingerprint.clone()).collect(),
            seal: "openpgp".to_owned(),
            signer: Signer {
                certificate: input.signer.certificate_bytes(),
                fingerprint: input.signer.fingerprint(),
            },
            to: head.revision,
            vault_id: vault.vault_id,
            version: PUBLIC_VERSION,
        };
        let manifest = Manifest {
            facts,
            canary: current.canary.clone(),
            counts: counts(&head.tables),
            digest: head.digest(TableClass::Archived).to_string(),
            openers,
            roots: roots.iter().map(root_entry).collect(),
            slots: slots.iter().map(entry).collect(),
            tombstone_horizon: head.prune_floor,
        };
        let slots = slots.into_iter().map(|slot| (entry(&slot).member(), slot.sealed)).collect();
        Ok(Self { manifest, slots })
    }
}

/// A root generation, as the manifest has it.
pub(crate) fn root_entry(root: &RootGeneration) -> RootEntry {
    RootEntry { current: root.current, generation: root.generation, kcv: root.kcv.to_vec() }
}

/// The tar, made member by member as it is read.
struct BaseTar<'a, V: View> {
    view: &'a V,
    pending: Vec<u8>,
    read: usize,
    small: VecDeque<(String, Vec<u8>)>,
    tables: VecDeque<(holdfast_types::Table, &'static str)>,
    cursor: Vec<u8>,
    number: u32,
    sums: Sums,
    digester: Digester,
    closed: bool,
    error: Option<ArchiveError>,
}

impl<'a, V: View> BaseTar<'a, V> {
    fn new(view: &'a V, contents: Contents) -> Self {
        let manifest = contents.manifest;
        let mut small = VecDeque::from([
            (members::README.to_owned(), aids::readme().to_vec()),
            (members::RECOVER.to_owned(), RECOVER_PY.to_vec()),
            (members::MANIFEST.to_owned(), manifest.to_bytes()),
            (members::CLUSTER.to_owned(), manifest.facts.signer.certificate),
        ]);
        small.extend(contents.slots);
        Self {
            view,
            pending: Vec::new(),
            read: 0,
            small,
            tables: archived_tables().collect(),
            cursor: Vec::new(),
            number: 1,
            sums: Sums::default(),
            digester: Digester::new(),
            closed: false,
            error: None,
        }
    }

    /// Puts the next member into `pending`; at the end it stays empty.
    fn advance(&mut self) -> Result<(), ArchiveError> {
        self.pending.clear();
        self.read = 0;
        if let Some((name, data)) = self.small.pop_front() {
            return self.member(&name, &data);
        }
        while let Some((table, name)) = self.tables.front().copied() {
            let (lines, next) = self.lines(table)?;
            let member = members::records(name, self.number);
            match next {
                Some(cursor) => {
                    self.cursor = cursor;
                    self.number += 1;
                }
                None => {
                    self.tables.pop_front();
                    self.cursor.clear();
                    self.number = 1;
                }
            }
            if !lines.is_empty() {
                return self.member(&member, &lines);
            }
        }
        if !self.closed {
            self.closed = true;
            self.close()?;
        }
        Ok(())
    }

    fn member(&mut self, name: &str, data: &[u8]) -> Result<(), ArchiveError> {
        self.sums.add(name, data)?;
        tar::append(&mut self.pending, name, data);
        Ok(())
    }

    /// A member's worth of rows from the cursor on, and where the next one begins.
    fn lines(
        &mut self,
        table: holdfast_types::Table,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), ArchiveError> {
        let mut lines = Vec::with_capacity(RECORDS_BYTES + LINE_USUAL_BYTES);
        let mut next = None;
        let mut failed = None;
        let digester = &mut self.digester;
        let mut give_way = GiveWay::default();
        self.view.scan(table, &self.cursor, &mut |key, value| {
            if lines.len() >= RECORDS_BYTES {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            give_way.row();
            let row = Row { table, key: key.to_vec(), value };
            match json::line(&row) {
                Ok(line) => {
                    lines.extend_from_slice(line.as_bytes());
                    lines.push(b'\n');
                    digester.add(&row);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(ArchiveError::Row(table, error));
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok((lines, next)), Err)
    }

    /// The digest agrees, or there is no END.
    fn close(&mut self) -> Result<(), ArchiveError> {
        let tables = std::mem::take(&mut self.digester).finish();
        let written = Digest::of(&tables, TableClass::Archived);
        let committed = self.view.head().digest(TableClass::Archived);
        if written != committed {
            return Err(ArchiveError::damaged(format!(
                "the stored rows have digest {written}, the committed state has {committed}"
            )));
        }
        tar::append(&mut self.pending, members::SUMS, self.sums.sums());
        tar::append(&mut self.pending, members::END, &self.sums.end());
        self.pending.extend_from_slice(&tar::TRAILER);
        Ok(())
    }
}

impl<V: View> Read for BaseTar<'_, V> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read == self.pending.len()
            && let Err(error) = self.advance()
        {
            let message = error.to_string();
            self.error = Some(error);
            return Err(io::Error::other(message));
        }
        let rest = &self.pending[self.read..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

struct Hashed<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
    size: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        give_way();
        let written = self.out.write(data)?;
        self.hash.update(&data[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
