//! Custodians: who there is, and whether their certificates last.

use super::{DAY, Facts, warning};
use crate::{Level, Warning};

/// How long before its end a custodian's certificate is mentioned.
const EXPIRY_NOTICE: u64 = 60 * DAY;

pub(super) fn points(facts: &Facts, found: &mut Vec<Warning>) {
    let add = "holdfast custodian add CERTIFICATE_FILE";
    match facts.custodians.as_slice() {
        [] => found.push(warning(
            Level::Critical,
            "no custodian: nobody could restore this vault, and no archive can be made",
            add,
        )),
        [one] => found.push(warning(
            Level::Warning,
            format!("one custodian, {}: if that key is lost, no archive opens", one.name),
            add,
        )),
        _ => {}
    }
    for custodian in &facts.custodians {
        let name = &custodian.name;
        if custodian.slot.is_none() {
            found.push(warning(
                Level::Critical,
                format!("custodian {name} holds no slot of the current root: archives open for them only halfway"),
                add,
            ));
        }
        let Some(expires) = custodian.expires else { continue };
        let renew = "holdfast custodian add RENEWED_CERTIFICATE_FILE";
        if expires <= facts.now {
            let what = format!(
                "the certificate of custodian {name} has expired; archives are still sealed to it"
            );
            found.push(warning(Level::Warning, what, renew));
        } else if expires.since(facts.now) < EXPIRY_NOTICE {
            let days = expires.since(facts.now) / DAY;
            let what = format!("the certificate of custodian {name} expires in {days} days");
            found.push(warning(Level::Warning, what, renew));
        }
    }
}
