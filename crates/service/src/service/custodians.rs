//! Custodians and seal slots.

use holdfast_crypto::random_array;
use holdfast_keyring::KeyringError;
use holdfast_keys::{NewCustodian, Renewal, add_custodian, remove_custodian, renew_custodian};
use holdfast_ledger::EntryKind;
use holdfast_machine::View;
use holdfast_records::{Custodian, RootGeneration, Slot, Stored, put};
use holdfast_recovery::seal_slot;
use holdfast_seal::{Certificate, CertificateError, Comparison, certificate_fingerprint};
use holdfast_types::{CustodianId, Expect, Generation, IdentityId, Kind, Millis, Name, SlotId};

use super::read::{get, list, vault};
use super::{Service, archives, said};
use crate::audit::Resource;
use crate::{
    Action, AddCustodian, Caller, CustodianAdded, CustodianInfo, CustodianRemoved,
    CustodianSelector, Error, SlotInfo,
};

impl Service {
    /// All custodians, by name.
    pub async fn list_custodians(&self, caller: &Caller) -> Result<Vec<CustodianInfo>, Error> {
        let call = self.enter(caller, Action::CustodianList, Resource::Text("custodians")).await?;
        let result = self.read(all).await;
        call.end(result)
    }

    /// A custodian.
    pub async fn show_custodian(
        &self,
        caller: &Caller,
        which: &CustodianSelector,
    ) -> Result<CustodianInfo, Error> {
        let text = which.to_string();
        let call = self.enter(caller, Action::CustodianShow, Resource::Text(&text)).await?;
        let result = self.read(|view| find(view, which)).await;
        call.end(result)
    }

    /// All seal slots, this node's soft slot included.
    pub async fn list_slots(&self, caller: &Caller) -> Result<Vec<SlotInfo>, Error> {
        let call = self.enter(caller, Action::SlotList, Resource::Text("slots")).await?;
        let result = self.read(|view| {
            let custodians = list::<Custodian>(view, &[])?;
            let name = |id: CustodianId| {
                let found = custodians.iter().find(|found| found.record.custodian_id == id);
                found.map(|found| found.record.name.clone())
            };
            let slots = list::<Slot>(view, &[])?.into_iter().map(|slot| SlotInfo {
                slot_id: slot.record.slot_id,
                generation: slot.record.generation,
                kind: slot.record.kind.as_str(),
                custodian: slot.record.custodian.and_then(name),
                recipient: slot.record.recipient,
                archived: true,
            });
            Ok(slots.chain(self.soft.clone()).collect())
        });
        let result = result.await;
        call.end(result)
    }
}

impl Service {
    /// Adds a custodian: recipient of archives from now on, and holder of a slot. The certificate of one who
    /// is a custodian is merged into the one they have, and their slot is sealed anew.
    pub async fn add_custodian(
        &self,
        caller: &Caller,
        request: &AddCustodian,
    ) -> Result<CustodianAdded, Error> {
        let action = Action::CustodianAdd;
        let text = request.name.as_ref().map_or("from certificate", |name| name.as_str());
        let call = self.let_in(caller, action, Resource::Text(text)).await?;
        let now = self.clock.now();
        let fingerprint = match certificate_fingerprint(&request.certificate) {
            Ok(fingerprint) => fingerprint,
            Err(error) => return call.end(Err(refused(&error, None))),
        };
        // Who opens the vault from now on is whoever has that key, whatever the name.
        let call = call.begin(format!("fingerprint {fingerprint}")).await?;
        let result = self.add(call.actor.identity, request, &fingerprint, now).await;
        call.end_with(result, |added| said::custodian(&added.custodian))
    }

    async fn add(
        &self,
        actor: IdentityId,
        request: &AddCustodian,
        fingerprint: &str,
        now: Millis,
    ) -> Result<CustodianAdded, Error> {
        let generation = self.keyring.current().ok_or(KeyringError::Sealed)?;
        let (new_id, slot_id) = (CustodianId(random_array()), SlotId(random_array()));
        let rule = |view: &dyn View| {
            let all = list::<Custodian>(view, &[])?;
            let root = get::<RootGeneration>(view, &generation.0.to_be_bytes())?
                .ok_or_else(|| Error::new(Kind::Damaged, "the current root has no record"))?;
            let at = now.max(view.head().at);
            let mut theirs = all.iter();
            let theirs =
                theirs.find(|old| old.record.fingerprint.eq_ignore_ascii_case(fingerprint));
            let certificate =
                &merged(&request.certificate, theirs.map(|which| &which.record), now)?;
            let (sealed, session) = seal_slot(&self.keyring, generation, slot_id, certificate)?;
            let (name, expires) = (request.name.clone(), certificate.expires());
            let (mut draft, record) = if let Some(which) = theirs {
                let certificate = certificate.to_bytes();
                let renewal = Renewal { name, slot_id, certificate, expires, sealed };
                renew_custodian(&root, which, &list::<Slot>(view, &[])?, renewal)?
            } else {
                let new = NewCustodian {
                    custodian_id: new_id,
                    slot_id,
                    name: name.map_or_else(|| name_of(certificate, &all), Ok)?,
                    fingerprint: fingerprint.to_owned(),
                    certificate: certificate.to_bytes(),
                    expires,
                    sealed,
                };
                add_custodian(&vault(view)?, &root, new, &all, at)?
            };
            put(&mut draft, Expect::Absent, &session);
            let Custodian { custodian_id, fingerprint, name, .. } = record;
            let kind = EntryKind::CustodianAdded { custodian_id, fingerprint, name };
            archives::append(view, &mut draft, at, kind)?;
            Ok((draft, custodian_id))
        };
        let (_, custodian_id) = self.decide(actor, Action::CustodianAdd.verb(), rule).await?;
        let which = CustodianSelector::Id(custodian_id);
        let custodian = self.read(|view| find(view, &which)).await?;
        Ok(CustodianAdded { custodian, renewed: custodian_id != new_id })
    }

    /// Drops a custodian as recipient, and their slots.
    pub async fn remove_custodian(
        &self,
        caller: &Caller,
        which: &CustodianSelector,
    ) -> Result<CustodianRemoved, Error> {
        let action = Action::CustodianRemove;
        let text = which.to_string();
        let call = self.enter(caller, action, Resource::Text(&text)).await?;
        let now = self.clock.now();
        let rule = |view: &dyn View| {
            let custodian = find(view, which)?;
            let custodian_id = custodian.custodian_id;
            let all = list::<Custodian>(view, &[])?;
            let found = all.iter().find(|found| found.record.custodian_id == custodian_id);
            let found = found.ok_or_else(|| no_custodian(which))?;
            let slots = list::<Slot>(view, &[])?;
            let (mut draft, _) = remove_custodian(found, &all, &slots)?;
            let at = now.max(view.head().at);
            archives::append(view, &mut draft, at, EntryKind::CustodianRemoved { custodian_id })?;
            Ok((draft, custodian))
        };
        let result = self.decide(call.actor.identity, action.verb(), rule).await;
        let result = result.map(|(_, custodian)| {
            let note = format!(
                "archives made until now still open with the key of {}; after a compromise rotate the keys",
                custodian.name
            );
            CustodianRemoved { custodian, note }
        });
        call.end_with(result, |removed| said::custodian(&removed.custodian))
    }
}

/// The certificate that is given, with all that is known of it already: a copy of before a renewal must not bring
/// back what its holder has revoked.
///
/// Errors: it is not taken; the one that is held says all of it, and more.
fn merged(given: &[u8], held: Option<&Custodian>, now: Millis) -> Result<Certificate, Error> {
    let Some(held) = held else {
        return Certificate::read(given, now).map_err(|error| refused(&error, None));
    };
    let name = &held.name;
    match Certificate::read_renewed(&held.certificate, given, now) {
        Ok((_, Comparison::Older)) => {
            let message = format!("this certificate is older than the one that {name} has here");
            Err(Error::new(Kind::Refused, message)
                .next("export the newest one: gpg --armor --export NAME"))
        }
        Ok((certificate, _)) => Ok(certificate),
        Err(error) => Err(refused(&error, Some(name))),
    }
}

/// Why a certificate is not taken. Of a custodian's that is revoked archives are sealed to what is held all the same.
fn refused(error: &CertificateError, custodian: Option<&Name>) -> Error {
    let next = match custodian {
        Some(name) if *error == CertificateError::Revoked => format!(
            "archives are sealed to the keys that {name} has here until they get others, or go: \
             holdfast custodian rm {name}"
        ),
        _ => error.advice().to_owned(),
    };
    Error::new(Kind::BadInput, format!("the certificate: {error}")).next(next)
}

/// A free name from the first user id: `John Doe <john@example.org>` becomes `John-Doe`.
fn name_of(certificate: &Certificate, taken: &[Stored<Custodian>]) -> Result<Name, Error> {
    let slug = certificate.suggested_name();
    let numbered =
        (1..=taken.len() + 1).map(|n| if n == 1 { slug.clone() } else { format!("{slug}-{n}") });
    let is_free = |name: &String| taken.iter().all(|other| other.record.name.as_str() != name);
    let free = numbered.into_iter().find(is_free).unwrap_or_default();
    free.parse().map_err(|error| Error::new(Kind::BadInput, format!("{error}")))
}

/// All custodians, by name.
pub(super) fn all(view: &dyn View) -> Result<Vec<CustodianInfo>, Error> {
    let current = current_root(view)?;
    let slots = list::<Slot>(view, &[])?;
    let slot_of = |id: CustodianId| {
        let mut slots = slots.iter().map(|slot| &slot.record);
        let own = slots.find(|slot| slot.custodian == Some(id) && Some(slot.generation) == current);
        own.map(|slot| slot.slot_id)
    };
    let mut found: Vec<CustodianInfo> = list::<Custodian>(view, &[])?
        .into_iter()
        .map(|custodian| {
            let slot = slot_of(custodian.record.custodian_id);
            let Custodian { custodian_id, name, fingerprint, added, expires, .. } =
                custodian.record;
            CustodianInfo { name, custodian_id, fingerprint, added, expires, slot }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The generation of the current root.
pub(super) fn current_root(view: &dyn View) -> Result<Option<Generation>, Error> {
    let roots = list::<RootGeneration>(view, &[])?;
    Ok(roots
        .into_iter()
        .map(|root| root.record)
        .find(|root| root.current)
        .map(|root| root.generation))
}

fn find(view: &dyn View, which: &CustodianSelector) -> Result<CustodianInfo, Error> {
    let matches = |custodian: &CustodianInfo| {
        which.names(&custodian.name, custodian.custodian_id, &custodian.fingerprint)
    };
    all(view)?.into_iter().find(matches).ok_or_else(|| no_custodian(which))
}

/// Whoever is named is none of them.
pub(super) fn no_custodian(which: &CustodianSelector) -> Error {
    Error::missing(format!("there is no custodian {which}")).next("holdfast custodian ls")
}
