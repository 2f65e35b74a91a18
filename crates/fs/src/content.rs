//! A file's bytes in memory, cheap to copy into a crash image.

use std::sync::Arc;

/// Bytes of a page: contents are shared page by page between a file and its crash images.
const PAGE: u64 = 4096;

/// A file's bytes, by pages; a missing page is zeros.
#[derive(Clone, Default, Debug)]
pub(crate) struct Content {
    pub(crate) len: u64,
    pages: Vec<Option<Arc<[u8; PAGE as usize]>>>,
}

impl Content {
    /// Reads from `at`; how many bytes there were.
    pub(crate) fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let n = (self.len.saturating_sub(at)).min(buf.len() as u64);
        for (page, within, range) in spans(at, n) {
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(bytes) => {
                    let end = within + range.len();
                    buf[range].copy_from_slice(&bytes[within..end]);
                }
                None => buf[range].fill(0),
            }
        }
        usize::try_from(n).unwrap_or(buf.len())
    }

    pub(crate) fn write(&mut self, at: u64, data: &[u8]) {
        self.len = self.len.max(at + data.len() as u64);
        for (page, within, range) in spans(at, data.len() as u64) {
            if self.pages.len() <= page {
                self.pages.resize(page + 1, None);
            }
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE as usize]));
            let end = within + range.len();
            Arc::make_mut(bytes)[within..end].copy_from_slice(&data[range]);
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            // What comes back later must be zeros.
            let rest = (len.next_multiple_of(PAGE)).min(self.len) - len;
            let zeros = vec![0; usize::try_from(rest).unwrap_or(0)];
            self.write(len, &zeros);
            self.pages.truncate(usize::try_from(len.div_ceil(PAGE)).unwrap_or(usize::MAX));
        }
        self.len = len;
    }
}

/// Splits `len` bytes at `at` into (page, offset in it, range of the buffer).
fn spans(at: u64, len: u64) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let (page, within) = ((at + done) / PAGE, (at + done) % PAGE);
        let n = (PAGE - within).min(len - done);
        let range = done as usize..(done + n) as usize;
        done += n;
        Some((page as usize, within as usize, range))
    })
}
