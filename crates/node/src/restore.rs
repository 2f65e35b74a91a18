//! `restore`: an archive becomes a vault again, in an empty directory.
//!
//! A restore is a new incarnation: a new epoch whose first transaction makes a new administrator, since
//! whoever opens a recovery slot may, and a new signing subkey under the same primary. The epoch is later than
//! those of all archives that were seen: what was decided in sight of them they do not undo. Rows keep their
//! revisions. Nothing is a vault before the archive agreed with itself to its last byte: until then the
//! directory bears the `INCOMPLETE` marker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use holdfast_client::{ApiKey, Context};
use holdfast_cluster::{Clock as _, SystemClock, seed_id, seed_log, seed_membership};
use holdfast_crypto::random_array;
use holdfast_fs::{Disk, Fs};
use holdfast_keyring::{Keyring, SoftKey};
use holdfast_ledger::{EntryKind, Head as LedgerHead, append};
use holdfast_machine::{Command, Head, Outcome, RowSink, SinkError, Txn, View, apply};
use holdfast_records::{Identity, LedgerRow, Listen, NodeIdentity, Privilege, SoftSlot, put};
use holdfast_recovery::{
    ArchiveFiles, Opened, Public, Signed, Unseal, each, keep_slot, next_signer,
};
use holdfast_service::open_chained;
use holdfast_store::log::Log;
use holdfast_store::{Applied, DataDir, DiskStore, Loader, Marker, StateStore as _};
use holdfast_types::{
    Draft, Epoch, EpochId, Expect, IdentityId, KeyId, Kind, Millis, Name, NodeId, Revision, Row,
    SlotId, TxnId,
};

use crate::address::Listening;
use crate::carry::{Carrying, carry};
use crate::drill::sealed;
use crate::{LISTEN_DEFAULT, NodeError, softkey, tls};

/// The verb of a restore's transaction: beyond those of callers.
const VERB: u16 = 1001;

/// What `restore` is told.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The data directory: missing or empty.
    pub data: PathBuf,
    /// Where the soft key goes.
    pub soft_key: Option<PathBuf>,
    /// Where the client context goes.
    pub context: Option<PathBuf>,
    /// Where the server listens.
    pub listen: Option<String>,
    /// Archives of the vault whose removals count, by [`ArchiveName::heeds`](holdfast_recovery::ArchiveName::heeds),
    /// the newest first, as [`check_json`](holdfast_recovery::check_json) answers: what they took away stays away.
    /// One of each incarnation counts, the first that is whole and opens. The new epoch is later than all of theirs.
    pub newer: Vec<(ArchiveFiles, Signed)>,
    /// Keys that come back as they were, whatever newer archives say.
    pub revive: Vec<KeyId>,
}

/// What `restore` made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The vault, keys and all.
    pub made: crate::Made,
    /// Key versions unwrapped against their check values.
    pub versions: u64,
    /// Rows restored.
    pub rows: u64,
    /// The digest of the restored state, equal to the archive's.
    pub digest: String,
    /// The new epoch.
    pub epoch: u32,
    /// Where its server listens, unless it is told otherwise.
    pub listen: String,
    /// What newer archives took away.
    pub carried: Carrying,
}

/// Takes rows into the new state and remembers the newest time among them.
struct Watched {
    loader: Loader,
    at: Millis,
}

impl RowSink for Watched {
    fn put(&mut self, row: &Row) -> Result<(), SinkError> {
        self.at = self.at.max(row.value.at);
        self.loader.put(row)
    }
}

/// Refuses places where a restore would find something, before anything is asked or read.
///
/// Errors: the data directory is not empty, soft key or context exist, or one of them can be no such place.
pub fn must_be_free(options: &RestoreOptions) -> Result<(), NodeError> {
    let slot = SlotId(random_array());
    let soft_path = softkey::place(options.soft_key.as_deref(), slot, &options.data)?;
    let context_path = crate::init::context_path(options.context.as_ref())?;
    crate::init::free_places(&Disk, &options.data, &soft_path, &context_path).map(drop)
}

/// Restores a checked archive. `progress` hears the number of rows from time to time.
pub fn restore(
    files: &ArchiveFiles,
    signed: &Signed,
    unseal: &Unseal,
    options: &RestoreOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, NodeError> {
    crate::interrupt::watch_interruptions()?;
    restore_in(&Disk::shared(), files, signed, unseal, options, progress)
}

/// As [`restore`], on another file system.
pub fn restore_in(
    fs: &Arc<dyn Fs>,
    files: &ArchiveFiles,
    signed: &Signed,
    unseal: &Unseal,
    options: &RestoreOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, NodeError> {
    let public = &signed.public;
    let plan = Plan::of(options, public)?;
    let left = crate::init::free_places(&**fs, &options.data, &plan.soft_path, &plan.context_path)?;
    let existed = fs.exists(&options.data)?;

    let node_id = NodeId(u64::from_be_bytes(random_array()));
    let marker = Marker { vault_id: public.vault_id, node_id };
    let data = DataDir::create(Arc::clone(fs), &options.data, marker)
        .map_err(|error| NodeError::of_data(&options.data, error))?;
    // Whatever goes wrong from here on leaves no trace, so that the same command can be given again.
    left.clear(&**fs)?;
    let archive = Archive { files, signed, unseal };
    let made = rebuild(fs, &archive, options, &plan, &data, progress);
    if made.is_err() {
        crate::init::abandon(&**fs, data, existed);
    }
    made
}

/// What is decided before anything is made.
struct Plan {
    listen: Listening,
    slot: SlotId,
    soft_path: PathBuf,
    context_path: PathBuf,
    epoch: Epoch,
}

impl Plan {
    fn of(options: &RestoreOptions, public: &Public) -> Result<Self, NodeError> {
        let listen = options.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
        let listen = Listening::parse(listen)?;
        let context_path = crate::init::context_path(options.context.as_ref())?;
        let slot = SlotId(random_array());
        let soft_path = softkey::place(options.soft_key.as_deref(), slot, &options.data)?;
        let n = next_epoch(public, &options.newer);
        let base = Revision::epoch_base(n)
            .ok_or_else(|| NodeError::new(Kind::Refused, "this vault was restored too often"))?;
        let epoch = Epoch { n, id: EpochId(random_array()), parent: public.incarnation, base };
        Ok(Self { listen, slot, soft_path, context_path, epoch })
    }
}

/// What is restored, and what opens it.
struct Archive<'a> {
    files: &'a ArchiveFiles,
    signed: &'a Signed,
    unseal: &'a Unseal,
}

/// Fills the directory that [`restore_in`] made.
fn rebuild(
    fs: &Arc<dyn Fs>,
    &Archive { files, signed, unseal }: &Archive<'_>,
    options: &RestoreOptions,
    plan: &Plan,
    data: &DataDir,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, NodeError> {
    let public = &signed.public;
    let &Plan { ref listen, slot, ref soft_path, ref context_path, epoch } = plan;
    let node_id = data.marker().node_id;
    let head = Head { at: public.created, ..Head::new(epoch) };
    let membership = seed_membership(node_id, &listen.to_string());
    let applied = Applied { log: Some(seed_id(node_id)), membership };
    let loader = DiskStore::loader(Arc::clone(fs), &data.state(), head, applied.clone())?;
    let mut sink = Watched { loader, at: public.created };
    let archive = sealed(&**fs, files)?;
    let (opened, ledger) = open_chained(archive, public, unseal, &mut sink, progress)?;
    let now = SystemClock.now().max(sink.at);
    let mut store = sink.loader.finish(None)?;
    let digest = store.view().head().digest(holdfast_types::TableClass::Archived);
    if digest != opened.digest {
        let message = "the restored state has another digest than the archive";
        return Err(NodeError::new(Kind::Damaged, message));
    }

    let api_key = ApiKey::generate().map_err(crate::init::key_failed)?;
    let identity = api_key.identity().map_err(crate::init::key_failed)?;
    let mut first = Transactions { store: &mut store, applied, epoch, at: now, ledger };
    let signer = be_born(&mut first, signed, &opened, identity)?;
    let carried = carry(&**fs, &mut first, &opened.keyring, unseal, options)?;
    let soft_key = SoftKey::generate();
    local_rows(&mut store, &opened.keyring, node_id, slot, (&soft_key, soft_path), listen)?;
    let ca = ca_certificate(&store.view())?;
    store.checkpoint()?;
    drop(store);
    let (mut log, _) = Log::open(Arc::clone(fs), &data.log())?;
    seed_log(&mut log, node_id)?;
    drop(log);

    let context = Context {
        server: listen.server(),
        vault_id: public.vault_id.to_string(),
        signer: signer.clone(),
        api_key: api_key.expose_text(),
        ca: tls::pem(&ca),
    };
    crate::interrupt::go_on()?;
    crate::init::publish(&**fs, data, (soft_path, &soft_key), (context_path, &context))?;
    let made = crate::Made {
        vault_id: public.vault_id,
        signer,
        soft_key: soft_path.clone(),
        context: context_path.clone(),
        first: None,
        first_failed: None,
    };
    let (versions, rows) = (opened.versions, opened.rows);
    let (digest, listen) = (digest.to_string(), listen.to_string());
    Ok(Restored { made, versions, rows, digest, epoch: epoch.n, listen, carried })
}

/// The epoch that a restore of `public` begins where these other archives of its vault are known: the one after
/// the latest of them.
#[must_use]
pub fn next_epoch(public: &Public, others: &[(ArchiveFiles, Signed)]) -> u32 {
    let others = others.iter().map(|(_, other)| other.public.epoch);
    others.fold(public.epoch, u32::max).saturating_add(1)
}

/// The transactions of a restore, as the state machine would apply them.
pub(crate) struct Transactions<'a> {
    pub(crate) store: &'a mut DiskStore,
    applied: Applied,
    epoch: Epoch,
    at: Millis,
    ledger: LedgerHead,
}

impl Transactions<'_> {
    /// Appends to the ledger, with `draft`.
    pub(crate) fn record(&mut self, draft: &mut Draft, kind: EntryKind) {
        let entry = append(&self.ledger, self.at, kind);
        self.ledger = LedgerHead::after(&entry);
        put(draft, Expect::Absent, &LedgerRow { seq: entry.seq, entry: entry.encode() });
    }

    pub(crate) fn apply(&mut self, draft: Draft) -> Result<(), NodeError> {
        let bad = |why: String| {
            NodeError::new(Kind::Internal, format!("the restore's transaction: {why}"))
        };
        let txn = Txn {
            id: TxnId(random_array()),
            epoch: self.epoch.id,
            at: self.at,
            actor: IdentityId::SYSTEM,
            verb: VERB,
            expect: draft.expect,
            write: draft.write,
        };
        let view = self.store.view();
        let mut head = view.head().clone();
        let (outcome, changes) =
            apply(&view, &mut head, &Command::Txn(txn)).map_err(|error| bad(error.to_string()))?;
        match (outcome, changes) {
            (Outcome::Done(_), Some(changes)) => {
                Ok(self.store.commit(self.applied.clone(), &[Arc::new(changes)], &head)?)
            }
            (other, _) => Err(bad(format!("{other:?}"))),
        }
    }
}

/// The new epoch's first transaction: a new administrator, a new subkey that signs this epoch's archives, and
/// the session keys of the slots that opened, so that the vault can open its archives again. Answers with the
/// fingerprint of the signer, which is the one of before.
fn be_born(
    first: &mut Transactions<'_>,
    signed: &Signed,
    opened: &Opened,
    identity: IdentityId,
) -> Result<String, NodeError> {
    let Signed { public, unsigned, .. } = signed;
    let unsigned = *unsigned;
    let (epoch, at) = (first.epoch, first.at);
    let view = first.store.view();
    let record = Identity {
        identity,
        name: free_name(&view, epoch.n)?,
        privilege: Privilege::Admin,
        enclave: None,
        policy: None,
        created: at,
    };
    let mut draft = Draft::default();
    put(&mut draft, Expect::Absent, &record);
    // By the clock, where the state's time is ahead: no archive could be signed by it before that time.
    let (subkey, signer) = next_signer(&view, &opened.keyring, SystemClock.now())?;
    if signer.fingerprint() != public.signer.fingerprint {
        let message = "the archive's own signing key is not the one that its JSON names";
        return Err(NodeError::new(Kind::Damaged, message));
    }
    put(&mut draft, Expect::Absent, &subkey);
    for (slot, key) in &opened.sessions {
        put(&mut draft, Expect::Absent, &keep_slot(&opened.keyring, *slot, key)?);
    }
    let (archive, vault_id) = (Some(public.archive_id), public.vault_id);
    let Epoch { n, id: incarnation, parent, .. } = epoch;
    let reborn = EntryKind::Epoch { archive, incarnation, n, parent, unsigned, vault_id };
    for kind in [reborn, EntryKind::Administrator { identity }] {
        first.record(&mut draft, kind);
    }
    first.apply(draft)?;
    Ok(signer.fingerprint())
}

/// What the new administrator is called: `admin-` and the epoch, or the next number that nobody has. There are
/// few identities.
fn free_name(view: &impl View, epoch: u32) -> Result<Name, NodeError> {
    let mut taken = BTreeSet::new();
    each::<Identity>(view, |found| {
        taken.insert(found.record.name);
        Ok(())
    })?;
    let numbered = (epoch..).filter_map(|n| format!("admin-{n}").parse().ok());
    let free = numbered.into_iter().find(|name| !taken.contains(name));
    free.ok_or_else(|| NodeError::new(Kind::Internal, "no name is free for an administrator"))
}

fn local_rows(
    store: &mut DiskStore,
    keyring: &Keyring,
    node_id: NodeId,
    slot_id: SlotId,
    (soft_key, soft_path): (&SoftKey, &std::path::Path),
    listen: &Listening,
) -> Result<(), NodeError> {
    let sealed = NodeError::new(Kind::Internal, "the archive's root did not open");
    let generation = keyring.current().ok_or(sealed)?;
    let sealed = keyring.seal_soft(generation, slot_id, soft_key)?;
    let key_path = soft_path.display().to_string();
    let soft = SoftSlot { slot_id, generation, key_path, sealed };
    store.put_local(SoftSlot::KEY, &soft.to_bytes())?;
    store.put_local(Listen::KEY, &Listen { addr: listen.to_string() }.to_bytes())?;
    store.put_local(NodeIdentity::KEY, &NodeIdentity { node_id, boot: 0 }.to_bytes())?;
    Ok(())
}

/// The newest CA's certificate: clients of before trust this vault still.
fn ca_certificate(view: &impl View) -> Result<Vec<u8>, NodeError> {
    let newest = tls::newest_ca(view)?;
    let none = || NodeError::new(Kind::Damaged, "the archive holds no certificate authority");
    newest.map(|ca| ca.public).ok_or_else(none)
}

#[cfg(test)]
mod tests;
