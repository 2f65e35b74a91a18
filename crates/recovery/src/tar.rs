//! The part of ustar (POSIX.1-1988) that archives use: regular files, mode 0600, uid, gid and mtime 0.
//!
//! Writing and reading share one header function: a header is accepted only if it is, byte for byte,
//! the one that would have been written. So links, devices, long names and other owners are refused
//! without a rule for each.

use std::io::Read;

use holdfast_types::limits::{MEMBER_BYTES_MAX, MEMBER_NAME_BYTES_MAX};

use crate::ArchiveError;

/// Bytes of a tar block.
const BLOCK: usize = 512;
/// Two blocks of zeros end a tar.
pub const TRAILER: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Whether `name` may stand in an archive: `[A-Za-z0-9._/-]`, at most 99, relative, no `..`.
pub fn name_is_good(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    !name.is_empty()
        && name.len() <= MEMBER_NAME_BYTES_MAX
        && name.bytes().all(good)
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Appends a member: header, data, zeros to the next block.
pub fn append(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    out.extend_from_slice(&header(name, data.len()));
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

/// The header of a member. `name` is good and `size` at most [`MEMBER_BYTES_MAX`].
fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Reads members one at a time.
pub struct Members<R> {
    source: R,
}

impl<R: Read> Members<R> {
    pub const fn new(source: R) -> Self {
        Self { source }
    }

    /// The next member; `None` at the end of the tar, after which nothing may follow.
    pub fn next(&mut self) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block == [0; BLOCK] {
            return self.end().map(|()| None);
        }
        let (name, size) = parse(&block)?;
        let mut data = vec![0; size.next_multiple_of(BLOCK)];
        self.fill(&mut data)?;
        if data[size..].iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::damaged(format!("bytes follow member {name}")));
        }
        data.truncate(size);
        Ok(Some((name, data)))
    }

    /// The second block of zeros, then the end of the stream, which makes its integrity check.
    fn end(&mut self) -> Result<(), ArchiveError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        let mut more = [0; 1];
        let trailing = self.source.read(&mut more).map_err(|error| cut(&error))?;
        if block != [0; BLOCK] || trailing != 0 {
            return Err(ArchiveError::damaged("bytes follow the end of the tar"));
        }
        Ok(())
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), ArchiveError> {
        self.source.read_exact(buf).map_err(|error| cut(&error))
    }
}

fn cut(error: &std::io::Error) -> ArchiveError {
    ArchiveError::of_reading("the tar is cut or changed", error)
}

fn parse(block: &[u8; BLOCK]) -> Result<(String, usize), ArchiveError> {
    let refuse = || ArchiveError::damaged("the tar has a member that archives never have");
    let end = block[..100].iter().position(|byte| *byte == 0).ok_or_else(refuse)?;
    let name = std::str::from_utf8(&block[..end]).map_err(|_| refuse())?;
    let digits = std::str::from_utf8(&block[124..135]).map_err(|_| refuse())?;
    let size = usize::from_str_radix(digits, 8).map_err(|_| refuse())?;
    if !name_is_good(name) || size > MEMBER_BYTES_MAX || header(name, size) != *block {
        return Err(refuse());
    }
    Ok((name.to_owned(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, data) in members {
            append(&mut out, name, data);
        }
        out.extend_from_slice(&TRAILER);
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut members = Members::new(bytes);
        let mut out = Vec::new();
        while let Some(member) = members.next()? {
            out.push(member);
        }
        Ok(out)
    }

    #[test]
    fn members_read_back() {
        let bytes = tar(&[("a", b""), ("b/c.txt", &[7; 512]), ("d", &[9; 513])]);
        let found = read(&bytes).unwrap();
        assert_eq!(found[1], ("b/c.txt".to_owned(), vec![7; 512]));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn every_flip_of_a_header_or_of_padding_and_every_cut_is_refused() {
        let bytes = tar(&[("a", b"x")]);
        let data = 512..513;
        for at in (0..bytes.len()).filter(|at| !data.contains(at)) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                // A name is covered by the header's sum, so even that is noticed.
                assert!(read(&flipped).is_err(), "byte {at} bit {bit}");
            }
        }
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(read(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn stock_tar_headers_of_other_kinds_are_refused() {
        for (at, value) in [(156, b'2'), (156, b'1'), (156, b'3'), (156, b'5'), (100, b'7')] {
            let mut bytes = tar(&[("a", b"x")]);
            bytes[at] = value;
            bytes[148..156].fill(b' ');
            let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(read(&bytes).is_err());
        }
        for name in ["../x", "/x", "a/../b", "a//b", ".", "a\nb", "a b", "", &"n".repeat(100)] {
            assert!(!name_is_good(name), "{name:?}");
        }
    }
}
