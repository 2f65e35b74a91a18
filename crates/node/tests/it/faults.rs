//! A disk that is full, or fails, at any one step of init and restore: nothing half-done, and done again.

use holdfast_fs::{Fault, Fs as _, Mem};
use holdfast_node::{NodeError, init_in};
use holdfast_types::Kind;

use crate::crash_restore::source;
use crate::scene::{at, is_vault, nothing_left_over, options, somewhere};

/// Tries `make` with a fault at each of its steps, and again when the disk is well.
fn at_every_step(
    fault: Fault,
    place: impl Fn() -> Mem,
    make: impl Fn(&Mem) -> Result<(), NodeError>,
) {
    let [soft, context, data] = ["keys/soft.key", "config/context.toml", "srv/data"].map(at);
    for step in 0.. {
        let what = format!("{fault:?} at step {step}");
        let mem = place();
        mem.fail_at(step, fault);
        let done = make(&mem);
        mem.heal();
        let whole = is_vault(&mem, &data, &what);
        let there = |path| mem.exists(path).unwrap();
        assert_eq!(there(&soft), whole, "{what}: the soft key, and a vault: {whole}");
        assert_eq!(there(&context), whole, "{what}: the context, and a vault: {whole}");
        let Err(error) = done else {
            assert!(whole && step > 50, "{what}: every step counts");
            return;
        };
        if fault == Fault::NoSpace {
            assert_eq!(error.kind, Kind::NoSpace, "{what}: {error}");
            assert!(error.next.is_some(), "{what}: {error}");
        }
        match make(&mem) {
            Ok(()) => assert!(!whole, "{what}: over a whole vault"),
            Err(error) => assert!(whole && error.kind == Kind::Exists, "{what}: {error}"),
        }
        nothing_left_over(&mem, &what);
    }
}

#[test]
fn init_on_a_disk_that_refuses_one_step() {
    for fault in [Fault::NoSpace, Fault::Once] {
        at_every_step(fault, somewhere, |mem| init_in(&mem.shared(), &options(&[])).map(drop));
    }
}

#[test]
fn restore_on_a_disk_that_refuses_one_step() {
    let (source, _) = source();
    let place = || {
        let mem = somewhere();
        source.copy_to(&mem);
        mem
    };
    for fault in [Fault::NoSpace, Fault::Once] {
        at_every_step(fault, place, |mem| source.restore(mem).map(drop));
    }
}
