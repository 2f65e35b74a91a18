//! OpenPGP, and nothing else of it than archives and slots need.
//!
//! - [`Certificate`]: a custodian's certificate, read under a policy of our own. rPGP parses and
//!   checks single signatures; which certificate may be sealed to is decided in `policy.rs`.
//! - [`seal_reader`], [`seal_bytes`]: SEIPDv1, AES-256, PKESK v3, uncompressed, so that stock gpg 2.2
//!   opens it; constant memory. [`open_reader`], [`open_bytes`]: the way back, with a secret key, a
//!   session key or the caller's own gpg.
//! - [`SigningKey`], [`verify_detached`]: the vault's signing key and its detached signatures. A
//!   signature of ours has one encoding only; every other is refused.
//! - [`generate_custodian`]: a key pair for recovery.
//!
//! Invariants: plaintext of a stream is *unauthenticated until the reader answered end of file*;
//! callers keep it in scratch until then. Times come in as arguments; random bytes come from
//! `holdfast_crypto`. Session keys and secret keys are wiped on drop and have no readable `Debug`.
//!
//! Sources: RFC 9580 (packets, signatures), RFC 4880 §5.13 (SEIPDv1). Format: `formats/archive.md`.

mod certificate;
mod custodian;
mod decrypt;
mod framing;
mod gpg;
mod head;
mod identity;
mod inside;
mod mdc;
mod merge;
mod open;
mod packets;
mod policy;
mod rng;
mod seal;
mod session;
mod signing;
mod source;
mod stream;
mod verify;

pub use certificate::{Certificate, CertificateError, Comparison, certificate_fingerprint};
pub use custodian::generate_custodian;
pub use gpg::GpgAgent;
pub use identity::{Identity, IdentityError};
pub use open::{OpenError, OpenedStream, Opener, open_bytes, open_reader};
pub use seal::{SealError, seal_bytes, seal_reader};
pub use session::SessionKey;
pub use signing::{SigningError, SigningKey, SigningPart};
pub use verify::{VerifyError, merge_signers, verify_detached};
