//! A custodian's certificate: whom archives and slots are sealed to.

use std::collections::BTreeSet;
use std::fmt;

use holdfast_types::{Millis, limits::CERTIFICATE_BYTES_MAX};
use pgp::composed::{PublicOrSecret, SignedPublicKey};
use pgp::ser::Serialize;
use pgp::types::KeyDetails as _;

use crate::merge;
use crate::packets;
use crate::policy::{self, EncryptionKey, Fault};

/// Why a certificate is not taken. All but `Damaged` are for its owner to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Neither armor nor packets, or no key in them.
    #[error("this is not an OpenPGP certificate")]
    NotOpenPgp,
    /// A secret key was given. It was not kept, but it has left its owner's hands.
    #[error(
        "this is a secret key; give the certificate (gpg --export), and keep the key to yourself"
    )]
    SecretKeyGiven,
    /// Several keys in one file.
    #[error("the file holds several certificates; give one")]
    Several,
    /// Too large to be kept.
    #[error("the certificate is larger than {CERTIFICATE_BYTES_MAX} bytes; export it minimal")]
    TooLarge,
    /// It expired.
    #[error("the certificate expired")]
    Expired,
    /// All of its encryption keys expired.
    #[error("all encryption keys of the certificate expired")]
    KeysExpired,
    /// It, or all of its encryption keys or user IDs, are revoked.
    #[error("the certificate is revoked")]
    Revoked,
    /// It has no encryption key: made for signing only.
    #[error("the certificate has no key to encrypt to")]
    CannotEncrypt,
    /// Algorithm, size or hash below the policy.
    #[error("the certificate is weak: {0}")]
    Weak(&'static str),
    /// A version that gpg 2.2 does not read.
    #[error("the certificate is not of version 4")]
    Version,
    /// It does not parse, or no self-signature holds.
    #[error("the certificate is damaged: {0}")]
    Damaged(String),
}

/// What a copy of a certificate says beyond the one that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Something.
    Newer,
    /// Nothing, and its keys or their expiry are other ones: it was exported before.
    Older,
    /// Nothing: it comes to the same.
    Same,
}

/// A certificate that may be sealed to.
#[derive(Clone)]
pub struct Certificate {
    inner: SignedPublicKey,
    /// `now` of the reading, by which its encryption keys are chosen, in seconds since 1970.
    read_at: u32,
    /// Whether expired keys are kept.
    expired_too: bool,
    expires: Option<Millis>,
}

impl Certificate {
    /// Reads one certificate, armored or binary, and checks that it may be sealed to at `now`.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read(bytes: &[u8], now: Millis) -> Result<Self, CertificateError> {
        Self::check(parse(bytes)?, now, false)
    }

    /// Reads a certificate of a custodian that was added before. It may have expired since: archives
    /// are still sealed to it, for its holder can still open them, and a warning is due
    /// ([`Certificate::is_expired`]). A revoked one is refused.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read_stored(bytes: &[u8], now: Millis) -> Result<Self, CertificateError> {
        Self::check(parse(bytes)?, now, true)
    }

    /// Reads a copy of a certificate that is held already: the held one with everything that the copy adds, for
    /// what was revoked in either is revoked. A held one that does not parse counts for nothing.
    ///
    /// # Errors
    /// See [`CertificateError`], of both together.
    pub fn read_renewed(
        held: &[u8],
        copy: &[u8],
        now: Millis,
    ) -> Result<(Self, Comparison), CertificateError> {
        Self::renewed(held, copy, now, false)
    }

    /// As [`Certificate::read_renewed`], but it may have expired, as in [`Certificate::read_stored`].
    ///
    /// # Errors
    /// See [`CertificateError`], of both together.
    pub fn read_renewed_stored(
        held: &[u8],
        copy: &[u8],
        now: Millis,
    ) -> Result<(Self, Comparison), CertificateError> {
        Self::renewed(held, copy, now, true)
    }

    fn renewed(
        held: &[u8],
        copy: &[u8],
        now: Millis,
        expired_too: bool,
    ) -> Result<(Self, Comparison), CertificateError> {
        let copy = parse(copy)?;
        let (merged, is_new) = merged(held, &copy)?;
        let merged = Self::check(merged, now, expired_too)?;
        if is_new {
            return Ok((merged, Comparison::Newer));
        }
        // gpg leaves signatures away that later ones replaced: what counts is what follows from all of them.
        let says_all = Self::check(copy, now, expired_too).is_ok_and(|alone| {
            let keys = |of: &Self| BTreeSet::from_iter(of.encryption_key_ids());
            alone.expires == merged.expires && keys(&alone) == keys(&merged)
        });
        Ok((merged, if says_all { Comparison::Same } else { Comparison::Older }))
    }

    fn check(
        inner: SignedPublicKey,
        now: Millis,
        expired_too: bool,
    ) -> Result<Self, CertificateError> {
        let read_at = now.as_secs_u32();
        let primary = policy::primary(&inner, read_at).map_err(refuse)?;
        if primary.is_expired(read_at) && !expired_too {
            return Err(CertificateError::Expired);
        }
        let (keys, passed_over) = policy::encryption_keys(&inner, &primary, read_at);
        if keys.is_empty() {
            return Err(passed_over.map_or(CertificateError::CannotEncrypt, refuse));
        }
        if !expired_too && keys.iter().all(|(_, bound)| bound.is_expired(read_at)) {
            return Err(CertificateError::KeysExpired);
        }
        // It is of use until its last encryption key expires, or the whole of it does.
        let last = keys.iter().map(|(_, bound)| bound.expires.unwrap_or(u64::MAX)).max();
        let expires = last.into_iter().chain(primary.expires).min().filter(|at| *at != u64::MAX);
        let expires = expires.map(|seconds| Millis(seconds.saturating_mul(1000)));
        Ok(Self { inner, read_at, expired_too, expires })
    }

    /// The primary key's fingerprint, 40 upper-case hex digits as gpg prints them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        packets::fingerprint(&self.inner.primary_key)
    }

    /// Its user IDs as text, in its own order. Whoever made it wrote them: nothing vouches for them.
    #[must_use]
    pub fn user_ids(&self) -> Vec<String> {
        let users = &self.inner.details.users;
        users.iter().map(|user| String::from_utf8_lossy(user.id.id()).into_owned()).collect()
    }

    /// A name for its holder, from the first user ID: `John Doe <john@example.org>` becomes `John-Doe`.
    /// At most 60 characters of `[A-Za-z0-9._-]`; `custodian` where nothing is left.
    #[must_use]
    pub fn suggested_name(&self) -> String {
        let ids = self.user_ids();
        let id = ids.first().map(String::as_str).unwrap_or_default();
        let text = id.split(['<', '(']).next().map(str::trim).filter(|text| !text.is_empty());
        let text = text.unwrap_or(id).trim_matches(['<', '>', ' ']);
        let allowed =
            |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let slug: String = text.chars().map(allowed).take(60).collect();
        let slug = slug.trim_matches(['-', '.']);
        if slug.is_empty() { "custodian".to_owned() } else { slug.to_owned() }
    }

    /// When nothing can be sealed to it any more; `None` is never.
    #[must_use]
    pub fn expires(&self) -> Option<Millis> {
        self.expires
    }

    /// Whether it has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The certificate in binary, as it is kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.to_bytes().expect("writing to memory does not fail")
    }

    /// Key ids of its encryption keys, 16 upper-case hex digits each: what a sealed stream names.
    #[must_use]
    pub fn encryption_key_ids(&self) -> Vec<String> {
        let id = |key: EncryptionKey<'_>| match key {
            EncryptionKey::Primary(key) => key.legacy_key_id(),
            EncryptionKey::Subkey(key) => key.legacy_key_id(),
        };
        let ids = self.encryption_keys().into_iter().map(id);
        ids.map(|id| id.to_string().to_ascii_uppercase()).collect()
    }

    /// The keys to seal to: every good one, so that a card and a laptop both open it. When all have
    /// expired (and that is allowed), all of them.
    pub(crate) fn encryption_keys(&self) -> Vec<EncryptionKey<'_>> {
        let Ok(primary) = policy::primary(&self.inner, self.read_at) else { return Vec::new() };
        let (keys, _) = policy::encryption_keys(&self.inner, &primary, self.read_at);
        let all_expired = keys.iter().all(|(_, bound)| bound.is_expired(self.read_at));
        let keep = |bound: &policy::Bound| {
            !bound.is_expired(self.read_at) || (self.expired_too && all_expired)
        };
        keys.into_iter().filter(|(_, bound)| keep(bound)).map(|(key, _)| key).collect()
    }
}

/// The fingerprint of a certificate's primary key, as [`Certificate::fingerprint`], whatever its state.
///
/// # Errors
/// It does not parse, or is none.
pub fn certificate_fingerprint(bytes: &[u8]) -> Result<String, CertificateError> {
    parse(bytes).map(|certificate| packets::fingerprint(&certificate.primary_key))
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Result<SignedPublicKey, CertificateError> {
    if bytes.len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLarge);
    }
    let binary = packets::dearmor(bytes).ok_or(CertificateError::NotOpenPgp)?;
    let armored = bytes.first().is_some_and(|first| first & 0x80 == 0);
    if armored && packets::armored_blocks(bytes) > 1 {
        return Err(CertificateError::Several);
    }
    let mut keys = packets::keys(&binary).map_err(CertificateError::Damaged)?;
    if keys.iter().any(|key| matches!(key, PublicOrSecret::Secret(_))) {
        return Err(CertificateError::SecretKeyGiven);
    }
    match (keys.pop(), keys.len()) {
        (Some(PublicOrSecret::Public(key)), 0) => Ok(merge::fold(key)),
        (Some(_), _) => Err(CertificateError::Several),
        (None, _) => Err(CertificateError::NotOpenPgp),
    }
}

/// `held` with what `copy` adds, and whether that is anything. Where it is too large to be kept, without what says nothing of its keys.
fn merged(
    held: &[u8],
    copy: &SignedPublicKey,
) -> Result<(SignedPublicKey, bool), CertificateError> {
    let Ok(held) = parse(held) else { return Ok((copy.clone(), true)) };
    if held.primary_key.fingerprint() != copy.primary_key.fingerprint() {
        return Err(CertificateError::Damaged("it is another one's".to_owned()));
    }
    let mut merged = held;
    if !merge::add(&mut merged, copy) {
        return Ok((merged, false));
    }
    if merged.write_len() > CERTIFICATE_BYTES_MAX {
        merged = merge::minimal(merged);
    }
    if merged.write_len() > CERTIFICATE_BYTES_MAX {
        return Err(CertificateError::TooLarge);
    }
    Ok((merged, true))
}

impl CertificateError {
    /// What whoever gave it does next.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::SecretKeyGiven => {
                "gpg --export --armor NAME writes the certificate: give that, and a secret key to nobody"
            }
            Self::Expired | Self::KeysExpired => {
                "ask its holder to extend it: gpg --quick-set-expire FINGERPRINT 2y, and once more with '*' at the end for \
                 its subkeys; then: gpg --armor --export NAME"
            }
            _ => {
                "ask for a current OpenPGP certificate that can encrypt: gpg --armor --export NAME"
            }
        }
    }
}

fn refuse(fault: Fault) -> CertificateError {
    match fault {
        Fault::Unbound => CertificateError::Damaged("no self-signature of it holds".to_owned()),
        Fault::Weak(why) => CertificateError::Weak(why),
        Fault::Revoked => CertificateError::Revoked,
        Fault::Version => CertificateError::Version,
    }
}
