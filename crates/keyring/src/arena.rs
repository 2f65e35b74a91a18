//! Locked memory for secrets: cells of 32 bytes in one mapping, never swapped, never dumped, wiped.
//!
//! The mapping is the arena's own, between two pages that nobody may touch: no buffer of the heap
//! lies beside a key, and running past an end stops the process. A system that refuses to lock
//! (`RLIMIT_MEMLOCK` is 8 MiB by default, less in some containers) is warned about once, and served
//! all the same: refusing to run would cost more than a page in swap, which should be encrypted
//! anyway.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Once};

use holdfast_crypto::AtHand;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mlock, mmap_anonymous, mprotect, munmap,
};
use zeroize::Zeroize;

/// Bytes of a cell: an AES-256 key, a root.
pub const CELL_BYTES: usize = 32;

/// What a cell holds.
type Cell = [u8; CELL_BYTES];

/// A run of cells of one arena, all zero at first. Wiped on drop; the last one frees the arena.
pub struct Cells {
    arena: Arc<Mapping>,
    first: usize,
    count: usize,
}

/// Maps and locks one arena and divides it into runs of so many cells.
///
/// # Panics
/// When the system has no memory left, as every allocation does.
pub fn arena(runs: &[usize]) -> Vec<Cells> {
    let arena = Arc::new(Mapping::new(runs.iter().sum::<usize>() * CELL_BYTES));
    let mut next = 0;
    let run = |count: &usize| {
        let first = next;
        next += count;
        Cells { arena: Arc::clone(&arena), first, count: *count }
    };
    runs.iter().map(run).collect()
}

impl Cells {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Copies a cell out; the copy is wiped on drop.
    pub fn read(&self, cell: usize) -> AtHand<CELL_BYTES> {
        // SAFETY: `at` points to a cell of this run, which nobody writes while `self` is borrowed.
        AtHand::new(unsafe { self.at(cell).read() })
    }

    /// Overwrites a cell.
    pub fn write(&mut self, cell: usize, bytes: &Cell) {
        // SAFETY: `at` points to a cell of this run, and `&mut self` is the only way to it.
        unsafe { self.at(cell).write(*bytes) }
    }

    /// Wipes a cell.
    pub fn wipe(&mut self, cell: usize) {
        // SAFETY: as in `write`; the reference does not outlive this call.
        unsafe { &mut *self.at(cell) }.zeroize();
    }

    fn at(&self, cell: usize) -> *mut Cell {
        assert!(cell < self.count, "cell {cell} of {}", self.count);
        // SAFETY: `arena` gave out this run within the mapping, and no two runs share a cell.
        unsafe { self.arena.cells().add(self.first + cell) }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        (0..self.count).for_each(|cell| self.wipe(cell));
    }
}

/// Whole pages of the system, with a guard page at each end.
struct Mapping {
    start: *mut c_void,
    bytes: usize,
    page: usize,
}

// SAFETY: plain memory that belongs to nobody else; `Cells` says who may read and write which part.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(usable: usize) -> Self {
        let page = rustix::param::page_size();
        let usable = usable.next_multiple_of(page);
        let bytes = usable + 2 * page;
        // SAFETY: a new mapping at an address of the system's choice aliases nothing.
        let start = unsafe {
            mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE)
        };
        let arena = Self { start: start.expect("the system has memory"), bytes, page };
        let cells = arena.cells().cast();
        // SAFETY: whole pages of our own mapping, to which no reference exists yet.
        unsafe { mprotect(cells, usable, MprotectFlags::READ | MprotectFlags::WRITE) }
            .expect("a mapping of our own may be opened");
        // Best effort: keeps the pages out of core dumps. The server also forbids dumps altogether.
        // SAFETY: the same pages; the advice changes nothing that they hold.
        let _ = unsafe { madvise(cells, usable, Advice::LinuxDontDump) };
        // SAFETY: the same pages; locking changes where they may live, never what they hold.
        if let Err(error) = unsafe { mlock(cells, usable) } {
            static WARNED: Once = Once::new();
            WARNED.call_once(|| {
                tracing::warn!(%error, "cannot lock keys in memory: they may be swapped out; raise RLIMIT_MEMLOCK");
            });
        }
        arena
    }

    /// The first cell, behind the first guard page.
    fn cells(&self) -> *mut Cell {
        self.start.cast::<u8>().wrapping_add(self.page).cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Every run is gone and has wiped its cells; unmapping unlocks.
        // SAFETY: the whole mapping, to which no pointer is left.
        let _ = unsafe { munmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(first: usize, second: usize) -> [Cells; 2] {
        arena(&[first, second]).try_into().ok().expect("two runs")
    }

    #[test]
    fn cells_are_apart_and_wiped() {
        let [mut cells, other] = two(256, 3);
        assert_eq!((cells.len(), other.len()), (256, 3));
        for cell in [0, 1, 127, 128, 255] {
            cells.write(cell, &[u8::try_from(cell).expect("small"); 32]);
        }
        assert_eq!(*cells.read(127), [127; 32]);
        assert_eq!(*cells.read(128), [128; 32]);
        assert_eq!(*cells.read(129), [0; 32]);
        assert_eq!(*other.read(0), [0; 32], "the next run begins after cell 255");
        cells.wipe(127);
        assert_eq!(*cells.read(127), [0; 32]);
        assert_eq!(*cells.read(255), [255; 32]);
    }

    #[test]
    fn a_run_that_is_dropped_leaves_zeros_behind() {
        let [mut first, second] = two(4, 4);
        first.write(3, &[9; 32]);
        let arena = Arc::clone(&second.arena);
        drop(first);
        // SAFETY: the arena is alive, and its first run, which owned these cells, is gone.
        let left = unsafe { std::slice::from_raw_parts(arena.cells(), 4) };
        assert_eq!(left, [[0; 32]; 4]);
    }

    #[test]
    #[should_panic(expected = "cell 3 of 3")]
    fn a_run_ends_where_the_next_begins() {
        let [run, _next] = two(3, 3);
        let _ = run.read(3);
    }

    /// The kernel's own list of mappings: the cells may be read and written, what lies before and behind
    /// them may not.
    #[test]
    fn guard_pages_stand_at_both_ends() {
        let [run, _next] = two(5, 5);
        let (page, cells) = (run.arena.page, run.arena.cells() as usize);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        let rights = |address: usize| {
            maps.lines().find_map(|line| {
                let (range, rest) = line.split_once(' ')?;
                let (from, to) = range.split_once('-')?;
                let number = |text| usize::from_str_radix(text, 16).expect("hex");
                (number(from)..number(to)).contains(&address).then(|| rest[..3].to_owned())
            })
        };
        assert_eq!(rights(cells).as_deref(), Some("rw-"));
        assert_eq!(rights(cells - 1).as_deref(), Some("---"));
        assert_eq!(rights(cells + page).as_deref(), Some("---"));
    }
}
