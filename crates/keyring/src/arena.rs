//! Locked memory for secrets: runs of 32-byte cells, never swapped, never dumped, wiped.
//!
//! The cells lie in whole pages of their own, so that locking and unlocking them touches nobody
//! else's memory. A system that refuses to lock (`RLIMIT_MEMLOCK` is 8 MiB by default, less in some
//! containers) is warned about once, and served all the same: refusing to run would cost more than a
//! page in swap, which should be encrypted anyway.

use std::ffi::c_void;
use std::sync::Once;

use rustix::mm::{Advice, madvise, mlock, munlock};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a cell: an AES-256 key, a root.
pub const CELL_BYTES: usize = 32;
/// Cells of a page.
pub const CELLS_PER_PAGE: usize = 4096 / CELL_BYTES;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([[u8; CELL_BYTES]; CELLS_PER_PAGE]);

/// A run of locked cells, all zero at first.
pub struct Cells {
    pages: Box<[Page]>,
    locked: bool,
}

impl Cells {
    /// Allocates and locks `pages` pages of 4 KiB.
    pub fn new(pages: usize) -> Self {
        let pages = vec![Page([[0; CELL_BYTES]; CELLS_PER_PAGE]); pages].into_boxed_slice();
        let (start, bytes) = range(&pages);
        // SAFETY: the range is this box's own allocation, aligned to 4 KiB and whole multiples of it
        // long; locking changes where it may live, never what it holds. Where pages of the system
        // are larger the kernel rounds outwards, which locks more and harms nothing.
        let lock = unsafe { mlock(start, bytes) };
        if let Err(error) = &lock {
            static WARNED: Once = Once::new();
            WARNED.call_once(|| {
                tracing::warn!(%error, "cannot lock keys in memory: they may be swapped out; raise RLIMIT_MEMLOCK");
            });
        }
        // Best effort: keeps the pages out of core dumps. The server also forbids dumps altogether.
        // SAFETY: as above; this advice changes no content. Misaligned ranges are refused by the kernel.
        let _ = unsafe { madvise(start, bytes, Advice::LinuxDontDump) };
        Self { pages, locked: lock.is_ok() }
    }

    /// How many cells.
    pub fn len(&self) -> usize {
        self.pages.len() * CELLS_PER_PAGE
    }

    /// Copies a cell out; the copy is wiped on drop.
    pub fn read(&self, cell: usize) -> Zeroizing<[u8; CELL_BYTES]> {
        Zeroizing::new(self.pages[cell / CELLS_PER_PAGE].0[cell % CELLS_PER_PAGE])
    }

    /// Overwrites a cell.
    pub fn write(&mut self, cell: usize, bytes: &[u8; CELL_BYTES]) {
        self.at(cell).copy_from_slice(bytes);
    }

    /// Wipes a cell.
    pub fn wipe(&mut self, cell: usize) {
        self.at(cell).zeroize();
    }

    fn at(&mut self, cell: usize) -> &mut [u8; CELL_BYTES] {
        &mut self.pages[cell / CELLS_PER_PAGE].0[cell % CELLS_PER_PAGE]
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        for page in &mut self.pages {
            page.0.as_flattened_mut().zeroize();
        }
        let (start, bytes) = range(&self.pages);
        // SAFETY: the range that `new` advised and locked, still allocated; the allocator gets it
        // back as it was lent.
        let _ = unsafe { madvise(start, bytes, Advice::LinuxDoDump) };
        if self.locked {
            // SAFETY: as above.
            let _ = unsafe { munlock(start, bytes) };
        }
    }
}

fn range(pages: &[Page]) -> (*mut c_void, usize) {
    (pages.as_ptr().cast_mut().cast(), size_of_val(pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_apart_and_wiped() {
        let mut cells = Cells::new(2);
        assert_eq!(cells.len(), 256);
        for cell in [0, 1, 127, 128, 255] {
            cells.write(cell, &[u8::try_from(cell).expect("small"); 32]);
        }
        assert_eq!(*cells.read(127), [127; 32]);
        assert_eq!(*cells.read(128), [128; 32]);
        assert_eq!(*cells.read(129), [0; 32]);
        cells.wipe(127);
        assert_eq!(*cells.read(127), [0; 32]);
        assert_eq!(*cells.read(255), [255; 32]);
    }
}
