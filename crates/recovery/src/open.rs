//! The strict reader: from a sealed tar to rows in a sink, with every key version unwrapped.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use holdfast_crypto::{SecretBytes, Sha256};
use holdfast_keyring::Keyring;
use holdfast_machine::{Digest, Digester, RowSink, SinkError};
use holdfast_records::{RootGeneration, archive_name};
use holdfast_seal::{OpenError, OpenedStream, Opener, SessionKey, open_bytes, open_reader};
use holdfast_types::limits::{MANIFEST_BYTES_MAX, SLOT_BYTES_MAX, SLOTS_MAX};
use holdfast_types::{Generation, Row, SlotId, Table, TableClass, hex};

use crate::base::root_entry;
use crate::give_way::{PIECE_BYTES, give_way};
use crate::manifest::counts;
use crate::members::{self, Sums, archived_tables};
use crate::readers::{Lines, Piece, Readers, all_cores, out_of_order};
use crate::tar::Members;
use crate::{ArchiveError, Count, Manifest, Public, SlotEntry};

/// The four lines of a slot are shorter than this.
const PAYLOAD_BYTES_MAX: usize = 1024;

/// What both layers are opened with.
pub enum Unseal {
    /// A custodian, who opens both.
    Custodian(Opener),
    /// Session keys that were kept when it was sealed: a byte drill.
    Sessions {
        /// Of the archive.
        archive: SessionKey,
        /// Of the slots.
        slots: Vec<(SlotId, SessionKey)>,
    },
}

/// Takes rows and keeps none: to check an archive.
pub struct Nowhere;

impl RowSink for Nowhere {
    fn put(&mut self, _: &Row) -> Result<(), SinkError> {
        Ok(())
    }
}

/// An archive that was opened, with everything in agreement.
pub struct Opened {
    /// What it holds.
    pub manifest: Manifest,
    /// Its roots, opened.
    pub keyring: Keyring,
    /// Key versions that were unwrapped against their check values.
    pub versions: u64,
    /// Rows that went into the sink.
    pub rows: u64,
    /// The digest, computed from the rows that were read.
    pub digest: Digest,
    /// The slot that opened the current root.
    pub slot: SlotId,
    /// The session keys of the slots that opened, one for each root generation.
    pub sessions: Vec<(SlotId, SessionKey)>,
}

/// Opens `sealed`, puts its rows into `sink`, ascending by table and key, and calls `progress` with
/// the number of rows so far from time to time. Every core helps.
///
/// `signed` is what [`crate::check_sidecars`] answered: the bytes read here must be those bytes.
/// Without it the result is *unsigned*, which callers must say.
///
/// Errors: nothing in `sink` may be used.
pub fn open_archive<R: BufRead + Send>(
    sealed: R,
    signed: Option<&Public>,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
    progress: &mut dyn FnMut(u64),
) -> Result<Opened, ArchiveError> {
    open_on(all_cores(), sealed, signed, unseal, sink, progress)
}

/// As [`open_archive`], but on the caller's thread alone, and in silence: where a vault checks what it sealed
/// while it serves, the other cores are its callers'.
pub fn check_archive<R: BufRead + Send>(
    sealed: R,
    signed: Option<&Public>,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
) -> Result<Opened, ArchiveError> {
    open_on(1, sealed, signed, unseal, sink, &mut |_| ())
}

fn open_on<R: BufRead + Send>(
    threads: usize,
    sealed: R,
    signed: Option<&Public>,
    unseal: &Unseal,
    sink: &mut dyn RowSink,
    progress: &mut dyn FnMut(u64),
) -> Result<Opened, ArchiveError> {
    let mut hashed = Hashed { inner: sealed, hash: Sha256::new(), size: 0 };
    let outer = outer(BufReader::with_capacity(PIECE_BYTES, &mut hashed), unseal)?;
    let mut reading = Reading { threads, ..Reading::new(outer, unseal, signed) };
    let opened = reading.run(sink, progress)?;
    drop(reading);
    // The stream was read to its end; what it was must be what was signed.
    let size = hashed.size;
    let sha256 = hex::encode(&hashed.hash.finish());
    match signed {
        Some(public) if public.sha256 != sha256 || public.size != size => {
            Err(ArchiveError::damaged("the sealed tar changed while it was read"))
        }
        _ => Ok(opened),
    }
}

/// The roots that the slots opened.
struct Roots {
    keyring: Keyring,
    slot: SlotId,
    sessions: Vec<(SlotId, SessionKey)>,
}

/// The manifest alone, of a tar that is not read to its end: nothing vouches for it yet.
pub(crate) fn read_manifest<R: BufRead + Send>(
    sealed: R,
    unseal: &Unseal,
) -> Result<Manifest, ArchiveError> {
    let mut reading = Reading::new(outer(sealed, unseal)?, unseal, None);
    reading.named(members::README)?;
    reading.named(members::RECOVER)?;
    reading.manifest()
}

fn outer<'a, R: BufRead + Send + 'a>(
    sealed: R,
    unseal: &Unseal,
) -> Result<OpenedStream<'a>, OpenError> {
    match unseal {
        Unseal::Custodian(opener) => open_reader(sealed, opener),
        Unseal::Sessions { archive, .. } => open_reader(sealed, &Opener::Session(archive.clone())),
    }
}

struct Reading<'a, R> {
    members: Members<R>,
    unseal: &'a Unseal,
    signed: Option<&'a Public>,
    sums: Sums,
    digester: Digester,
    roots: Vec<RootGeneration>,
    last: Option<(Table, Vec<u8>)>,
    rows: u64,
    versions: u64,
    threads: usize,
}

impl<'a, R: Read> Reading<'a, R> {
    fn new(outer: R, unseal: &'a Unseal, signed: Option<&'a Public>) -> Self {
        Self {
            members: Members::new(outer),
            unseal,
            signed,
            sums: Sums::default(),
            digester: Digester::new(),
            roots: Vec::new(),
            last: None,
            rows: 0,
            versions: 0,
            threads: 1,
        }
    }

    fn run(
        &mut self,
        sink: &mut dyn RowSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Opened, ArchiveError> {
        self.named(members::README)?;
        self.named(members::RECOVER)?;
        let manifest = self.manifest()?;
        if self.named(members::CLUSTER)? != manifest.signer.certificate {
            return Err(ArchiveError::damaged("cluster.pgp is not the signer of the manifest"));
        }
        let Roots { keyring, slot, sessions } = self.slots(&manifest)?;
        let closing = self.records(&keyring, sink, progress)?;
        self.close(&closing)?;
        let digest = self.agree(&manifest, &keyring)?;
        let (versions, rows) = (self.versions, self.rows);
        Ok(Opened { manifest, keyring, versions, rows, digest, slot, sessions })
    }

    fn next(&mut self) -> Result<(String, Vec<u8>), ArchiveError> {
        self.members.next()?.ok_or_else(|| ArchiveError::damaged("the tar ends before END"))
    }

    /// The next member, which must have this name; counted into the sums.
    fn named(&mut self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let (found, data) = self.next()?;
        if found != name {
            return Err(ArchiveError::damaged(format!(
                "member {found} stands where {name} belongs"
            )));
        }
        self.sums.add(name, &data)?;
        Ok(data)
    }

    fn manifest(&mut self) -> Result<Manifest, ArchiveError> {
        let bytes = self.named(members::MANIFEST)?;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ArchiveError::damaged("manifest.json is too large"));
        }
        let manifest = Manifest::from_bytes(&bytes)?;
        if manifest.slots.len() > SLOTS_MAX {
            return Err(ArchiveError::damaged(format!("more than {SLOTS_MAX} slots")));
        }
        if self.signed.is_some_and(|public| manifest.facts != public.facts) {
            return Err(ArchiveError::damaged("the manifest is not that of the signed JSON"));
        }
        Ok(manifest)
    }

    /// Reads the slots and opens one for every root generation.
    fn slots(&mut self, manifest: &Manifest) -> Result<Roots, ArchiveError> {
        let keyring = Keyring::new(manifest.vault_id);
        let mut opened: BTreeMap<Generation, (SlotId, SessionKey)> = BTreeMap::new();
        let (mut holders, mut refused) = (Vec::new(), None);
        for entry in &manifest.slots {
            let sealed = self.named(&entry.member())?;
            if sealed.len() > SLOT_BYTES_MAX {
                return Err(ArchiveError::damaged(format!("{} is too large", entry.member())));
            }
            holders.push(entry.recipient.clone());
            if opened.contains_key(&entry.generation) {
                continue;
            }
            let (payload, session) = match self.open_slot(entry, &sealed) {
                Ok(Some(opened)) => opened,
                Ok(None) => continue,
                // gpg may have the keys of several slots, and be allowed to use one of them only.
                Err(error @ OpenError::Gpg { .. }) => {
                    refused.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let root = manifest.roots.iter().find(|root| root.generation == entry.generation);
            let kcv = root.and_then(|root| root.kcv.as_slice().try_into().ok());
            let kcv =
                kcv.ok_or_else(|| ArchiveError::damaged("a slot of an unknown generation"))?;
            keyring.load_slot_payload(payload.expose_secret(), &kcv)?;
            opened.insert(entry.generation, (entry.slot_id, session));
        }
        let current = manifest.roots.iter().find(|root| root.current);
        let current = current.ok_or_else(|| ArchiveError::damaged("no root is current"))?;
        match (opened.get(&current.generation), refused) {
            (Some(&(slot, _)), _) => {
                Ok(Roots { keyring, slot, sessions: opened.into_values().collect() })
            }
            (None, Some(error)) => Err(error.into()),
            (None, None) => Err(ArchiveError::WrongIdentity(format!(
                "it opens the outer seal, and none of the slots inside, which are sealed to {}",
                holders.join(", ")
            ))),
        }
    }

    /// A slot's payload and session key; `None` where it is somebody else's.
    fn open_slot(
        &self,
        entry: &SlotEntry,
        sealed: &[u8],
    ) -> Result<Option<(SecretBytes, SessionKey)>, OpenError> {
        let opened = match self.unseal {
            Unseal::Custodian(opener) => open_bytes(sealed, opener, PAYLOAD_BYTES_MAX),
            Unseal::Sessions { slots, .. } => {
                let Some((_, key)) = slots.iter().find(|(id, _)| *id == entry.slot_id) else {
                    return Ok(None);
                };
                open_bytes(sealed, &Opener::Session(key.clone()), PAYLOAD_BYTES_MAX)
            }
        };
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(OpenError::NotForThisIdentity { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads members of records, tables ascending, numbers from 1, up to `SHA256SUMS`, whose data it
    /// answers with.
    fn records(
        &mut self,
        keyring: &Keyring,
        sink: &mut dyn RowSink,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Vec<u8>, ArchiveError> {
        let mut tables = archived_tables().peekable();
        let mut number = 0;
        std::thread::scope(|scope| {
            let mut readers = Readers::start(scope, keyring, self.threads);
            loop {
                let (name, data) = self.next()?;
                if name == members::SUMS {
                    while let Some(lines) = readers.next()? {
                        self.take(lines, sink)?;
                    }
                    progress(self.rows);
                    return Ok(data);
                }
                loop {
                    let Some((_, table_name)) = tables.peek() else {
                        let why = format!("member {name} is out of place");
                        return Err(ArchiveError::damaged(why));
                    };
                    if name == members::records(table_name, number + 1) {
                        break;
                    }
                    number = 0;
                    tables.next();
                }
                number += 1;
                let (table, table_name) = tables.peek().copied().expect("the loop above found it");
                self.sums.add(&name, &data)?;
                for piece in Piece::cut(table, table_name, data)? {
                    if let Some(lines) = readers.give(piece)? {
                        self.take(lines, sink)?;
                        progress(self.rows);
                    }
                }
            }
        })
    }

    /// Puts rows into the sink, in their order.
    fn take(&mut self, lines: Lines, sink: &mut dyn RowSink) -> Result<(), ArchiveError> {
        let Lines { rows, digester, versions, roots } = lines;
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let place = |row: &Row| Some((row.table, row.key.clone()));
            if place(first) <= self.last {
                return Err(out_of_order(archive_name(first.table).unwrap_or_default()));
            }
            self.last = place(last);
        }
        for row in &rows {
            sink.put(row)?;
        }
        self.rows += rows.len() as u64;
        self.versions += versions;
        self.roots.extend(roots);
        self.digester.merge(digester);
        Ok(())
    }

    /// SHA256SUMS, END, the end of the tar, and with it the seal's integrity check.
    fn close(&mut self, sums: &[u8]) -> Result<(), ArchiveError> {
        if sums != self.sums.sums() {
            return Err(ArchiveError::damaged("SHA256SUMS does not fit the members"));
        }
        let (name, data) = self.next()?;
        if name != members::END || data != self.sums.end() {
            return Err(ArchiveError::damaged("END does not fit the members"));
        }
        match self.members.next()? {
            None => Ok(()),
            Some((name, _)) => Err(ArchiveError::damaged(format!("member {name} follows END"))),
        }
    }

    /// Counts, digest, roots and canary.
    fn agree(&mut self, manifest: &Manifest, keyring: &Keyring) -> Result<Digest, ArchiveError> {
        let tables = std::mem::take(&mut self.digester).finish();
        let said = manifest.counts.iter().filter(|(_, count)| **count != Count::default());
        if !counts(&tables).iter().eq(said) {
            return Err(ArchiveError::damaged("the rows are not as many as the manifest says"));
        }
        let digest = Digest::of(&tables, TableClass::Archived);
        if digest.to_string() != manifest.digest {
            return Err(ArchiveError::damaged(format!(
                "the rows have digest {digest}, the manifest says {}",
                manifest.digest
            )));
        }
        let rows: Vec<_> = self.roots.iter().map(root_entry).collect();
        let current = self.roots.iter().find(|root| root.current);
        let current = current.ok_or_else(|| ArchiveError::damaged("no root is current"))?;
        if rows != manifest.roots || current.canary != manifest.canary {
            return Err(ArchiveError::damaged("the roots are not those of the manifest"));
        }
        keyring.check_canary(current.generation, &current.canary)?;
        Ok(digest)
    }
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        give_way();
        let read = self.inner.read(buf)?;
        self.hash.update(&buf[..read]);
        self.size += read as u64;
        Ok(read)
    }
}
