//! Two copies of one certificate as one: every key, user ID and signature that either has.
//!
//! Holders add to their certificates and take nothing away: what is replaced is signed anew, what is given up
//! is revoked. So the copies of one certificate have a union, in which no revocation is lost whichever copy came
//! first, and what holds the policy decides over it. A key or user ID that comes twice becomes one, too: else a
//! revocation behind the second would not be heard of at the first.

use std::collections::BTreeSet;

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails as _, SignedUser};

/// Adds what `copy` has beyond `held`, which is of the same primary key. Whether that was anything.
pub(crate) fn add(held: &mut SignedPublicKey, copy: &SignedPublicKey) -> bool {
    let (ours, theirs) = (&mut held.details, &copy.details);
    let mut any = signatures(&mut ours.revocation_signatures, &theirs.revocation_signatures);
    any |= signatures(&mut ours.direct_signatures, &theirs.direct_signatures);
    let is_user = |ours: &SignedUser, theirs: &SignedUser| ours.id.id() == theirs.id.id();
    any |= parts(&mut ours.users, &theirs.users, is_user, |user| &mut user.signatures);
    let (ours, theirs) = (&mut ours.user_attributes, &theirs.user_attributes);
    any |= parts(ours, theirs, |a, b| bytes(&a.attr) == bytes(&b.attr), |it| &mut it.signatures);
    let (ours, theirs) = (&mut held.public_subkeys, &copy.public_subkeys);
    let is_key = |ours: &SignedPublicSubKey, theirs: &SignedPublicSubKey| {
        ours.key.fingerprint() == theirs.key.fingerprint()
    };
    any | parts(ours, theirs, is_key, |subkey| &mut subkey.signatures)
}

/// What comes twice, once.
pub(crate) fn fold(certificate: SignedPublicKey) -> SignedPublicKey {
    let mut folded = SignedPublicKey { public_subkeys: Vec::new(), ..certificate.clone() };
    let details = &mut folded.details;
    details.revocation_signatures.clear();
    details.direct_signatures.clear();
    details.users.clear();
    details.user_attributes.clear();
    add(&mut folded, &certificate);
    folded
}

/// Without what says nothing of its keys: pictures, and what others signed.
pub(crate) fn minimal(mut certificate: SignedPublicKey) -> SignedPublicKey {
    let id = certificate.primary_key.legacy_key_id();
    let fingerprint = certificate.primary_key.fingerprint();
    let is_own = |signature: &Signature| {
        signature.typ() == Some(SignatureType::CertRevocation)
            || signature.issuer_key_id().contains(&&id)
            || signature.issuer_fingerprint().contains(&&fingerprint)
    };
    let details = &mut certificate.details;
    details.user_attributes.clear();
    details.users.iter_mut().for_each(|user| user.signatures.retain(is_own));
    details.users.retain(|user| !user.signatures.is_empty());
    certificate
}

/// Of what a certificate has several of, with signatures on each. `same` tells whether two are one.
fn parts<P: Clone>(
    held: &mut Vec<P>,
    copy: &[P],
    same: impl Fn(&P, &P) -> bool,
    on: impl Fn(&mut P) -> &mut Vec<Signature>,
) -> bool {
    let mut any = false;
    for part in copy {
        let mut new = part.clone();
        let theirs = std::mem::take(on(&mut new));
        let place = held.iter().position(|ours| same(ours, part)).unwrap_or_else(|| {
            held.push(new);
            any = true;
            held.len() - 1
        });
        any |= signatures(on(&mut held[place]), &theirs);
    }
    any
}

/// Behind those that are there: of two made in one second the later one counts.
fn signatures(held: &mut Vec<Signature>, copy: &[Signature]) -> bool {
    // By their bytes without the header, which has several forms.
    let mut known: BTreeSet<_> = held.iter().map(bytes).collect();
    let before = held.len();
    held.extend(copy.iter().filter(|signature| known.insert(bytes(signature))).cloned());
    held.len() > before
}

fn bytes(of: &impl Serialize) -> Vec<u8> {
    of.to_bytes().expect("writing to memory does not fail")
}
