//! What a slot holds is nowhere in memory that was freed: neither where it was sealed nor where it was opened.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_seal::{Certificate, Identity, Opener, generate_custodian, open_bytes, seal_bytes};
use holdfast_types::Millis;

/// Stands for a root; shorter than a block of AES, and than what a hash holds back.
const SECRET: &[u8] = b"root=5ecre7";

/// The system's allocator, but for what lies in blocks that come back.
struct Watching;

static FOUND: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on as it came; a block is read within its size, before it is given back.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that a block holds nothing of whoever had it before, and all of it may be read.
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: it is the caller's block of this size, and was zeroed when it was given out.
        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
        if bytes.windows(SECRET.len()).any(|window| window == SECRET) {
            FOUND.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise is ours.
        unsafe { System.dealloc(block, layout) }
    }
    // `realloc` is the default one: a new block, a copy, and `dealloc`.
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

#[test]
fn nothing_of_a_slot_stays_in_freed_memory() {
    drop(std::hint::black_box(SECRET.to_vec()));
    assert_eq!(FOUND.swap(0, Ordering::Relaxed), 1, "it is noticed");

    let now = Millis(1_764_059_363_000);
    let (secret, certificate) = generate_custodian("Ada", now).unwrap();
    let opener = Opener::Identity(Identity::read(secret.as_bytes(), None).unwrap());
    let certificate = Certificate::read(&certificate, now).unwrap();
    // Around the sizes of a hash's block, and in more than one piece. At the beginning and the end of it.
    for length in (22..150).step_by(5).chain([300, 70_000]) {
        let mut plain = zeroize::Zeroizing::new(vec![b'x'; length]);
        plain[..SECRET.len()].copy_from_slice(SECRET);
        plain[length - SECRET.len()..].copy_from_slice(SECRET);
        let (sealed, session) = seal_bytes(&plain, std::slice::from_ref(&certificate)).unwrap();
        for opener in [&opener, &Opener::Session(session)] {
            let (opened, _) = open_bytes(&sealed, opener, 80_000).unwrap();
            assert!(opened.expose_secret() == &plain[..]);
        }
    }
    assert_eq!(FOUND.load(Ordering::Relaxed), 0, "blocks were freed with a secret in them");
}
