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
use pgp::types::{KeyDetails as _, SignedUser, SignedUserAttribute};

/// Adds what `copy` has beyond `held`, which is of the same primary key. Whether that was anything.
pub(crate) fn add(held: &mut SignedPublicKey, copy: &SignedPublicKey) -> bool {
    let (ours, theirs) = (&mut held.details, &copy.details);
    let mut any = signatures(&mut ours.revocation_signatures, &theirs.revocation_signatures);
    any |= signatures(&mut ours.direct_signatures, &theirs.direct_signatures);
    any |= parts(&mut ours.users, &theirs.users);
    any |= parts(&mut ours.user_attributes, &theirs.user_attributes);
    any | parts(&mut held.public_subkeys, &copy.public_subkeys)
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

/// What a certificate has several of, with signatures on each.
trait Part: Clone {
    fn is(&self, other: &Self) -> bool;
    fn signatures(&self) -> &Vec<Signature>;
    fn signatures_mut(&mut self) -> &mut Vec<Signature>;
}

impl Part for SignedUser {
    fn is(&self, other: &Self) -> bool {
        self.id.id() == other.id.id()
    }
    fn signatures(&self) -> &Vec<Signature> {
        &self.signatures
    }
    fn signatures_mut(&mut self) -> &mut Vec<Signature> {
        &mut self.signatures
    }
}

impl Part for SignedUserAttribute {
    fn is(&self, other: &Self) -> bool {
        bytes(&self.attr) == bytes(&other.attr)
    }
    fn signatures(&self) -> &Vec<Signature> {
        &self.signatures
    }
    fn signatures_mut(&mut self) -> &mut Vec<Signature> {
        &mut self.signatures
    }
}

impl Part for SignedPublicSubKey {
    fn is(&self, other: &Self) -> bool {
        self.key.fingerprint() == other.key.fingerprint()
    }
    fn signatures(&self) -> &Vec<Signature> {
        &self.signatures
    }
    fn signatures_mut(&mut self) -> &mut Vec<Signature> {
        &mut self.signatures
    }
}

fn parts<P: Part>(held: &mut Vec<P>, copy: &[P]) -> bool {
    let mut any = false;
    for part in copy {
        if !held.iter().any(|ours| ours.is(part)) {
            let mut new = part.clone();
            new.signatures_mut().clear();
            held.push(new);
            any = true;
        }
        let ours = held.iter_mut().find(|ours| ours.is(part)).expect("pushed above if missing");
        any |= signatures(ours.signatures_mut(), part.signatures());
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
