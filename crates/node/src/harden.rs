//! No core dumps: they would hold keys, passphrases, API keys.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Switches core dumps off for this process: whichever command it runs may hold secrets. Where the system
/// refuses, that is only logged.
pub fn no_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(dumpable) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}
