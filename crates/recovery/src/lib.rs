//! Archives: a sealed, signed tar that holds the whole state at a revision, and the way back from it.
//!
//! - [`write_base`]: from one view to a sealed tar in constant memory, its public JSON and signature.
//! - [`check_sidecars`]: signature, signer, size and SHA-256, without any secret.
//! - [`accept_unsigned`]: where these are lost, what the tar says of itself, on the caller's own word.
//! - [`open_archive`]: decrypts into a [`RowSink`](holdfast_machine::RowSink), strict in every byte, and
//!   unwraps every key version against its check value. A drill and a restore are this, into a
//!   scratch or a new data directory.
//! - [`Carry`]: what a newer archive took away, for the restore of an older one.
//! - [`kept_sessions`]: what the vault kept to open its own archives with: a byte drill.
//! - [`signer`], [`next_signer`]: who signs, from the wrapped parts; a new subkey for a new epoch.
//! - [`Placing`]: an archive's way into a directory, whole or not at all.
//! - [`give_way_by`]: how the long work of a thread lets others have its core.
//! - [`aids`]: what lies at the root of every target, so that recovery needs no Holdfast.
//!
//! Invariant: nothing that [`open_archive`] put into a sink may be used before it answered `Ok`: only
//! then did the integrity check, END, sums, counts, digest, root check value and canary agree.
//!
//! The format is `formats/archive.md`.

mod aids;
mod base;
mod canonical;
mod carry;
mod error;
mod give_way;
mod manifest;
mod members;
mod name;
mod open;
mod placing;
mod public;
mod readers;
mod sessions;
mod sidecars;
mod signer;
mod tar;
mod walk;

pub use aids::{RECOVER_PY, aids};
pub use base::{BaseInput, SealedArchive, write_base};
pub use carry::{ApplyDraft, Carried, Carry, Foreseen, Foresight, TakenKey};
pub use error::ArchiveError;
pub use give_way::give_way_by;
pub use manifest::{Count, Manifest, RootEntry, SlotEntry};
pub use name::{ArchiveName, without_extension};
pub use open::{Nowhere, Opened, Unseal, check_archive, open_archive};
pub use placing::{Placing, must_be_own_target, place_aids};
pub use public::{Facts, LedgerHead, PUBLIC_VERSION, Public, Signer};
pub use sessions::{keep_archive, keep_slot, kept_sessions, kept_slots, seal_slot};
pub use sidecars::{
    ArchiveFiles, Signed, Trust, accept_unsigned, check_json, check_sidecars, check_tar,
};
pub use signer::{next_signer, signer, signer_user_id};
pub use walk::each;
