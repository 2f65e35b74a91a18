//! Following a log from its first file to its last line.

use std::path::{Path, PathBuf};

use holdfast_fs::{Fs, Open};

use super::files::{enter, lines, numbers, path};
use super::line::follow;
use super::{AuditError, ChainHead};

/// Where a chain breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Break {
    /// In which file.
    pub file: PathBuf,
    /// At which line of it, from 1.
    pub line: u64,
    /// The last line that was good.
    pub good: ChainHead,
}

/// Follows the chain through all files of `dir`. Where the oldest files were moved away, the oldest one
/// left is believed to begin rightly. A last line without its newline is a [`Break`], too.
pub fn verify(fs: &dyn Fs, dir: &Path) -> Result<Result<ChainHead, Break>, AuditError> {
    let mut head: Option<ChainHead> = None;
    for number in numbers(fs, dir)? {
        let path = path(dir, number);
        let file = fs.open(&path, Open::Read)?;
        let (mut line_number, mut good_bytes, mut broken) = (0, 0, false);
        lines(&*file, &mut |line| {
            let start =
                if number == 1 { ChainHead::default() } else { enter(line).unwrap_or_default() };
            let at = head.get_or_insert(start);
            broken = broken || !follow(at, line);
            if !broken {
                line_number += 1;
                good_bytes += line.len() as u64;
            }
        })?;
        if broken || file.len()? != good_bytes {
            let good = head.unwrap_or_default();
            return Ok(Err(Break { file: path, line: line_number + 1, good }));
        }
    }
    Ok(Ok(head.unwrap_or_default()))
}

/// Whether the log holds the line that `head` was taken after, in a chain that is whole from the beginning of
/// its file to it.
pub(super) fn holds(fs: &dyn Fs, dir: &Path, head: &ChainHead) -> Result<bool, AuditError> {
    for number in numbers(fs, dir)?.into_iter().rev() {
        let file = fs.open(&path(dir, number), Open::Read)?;
        let (mut start, mut whole) = (None, true);
        let mut at = ChainHead::default();
        lines(&*file, &mut |line| {
            if start.is_none() {
                at = if number == 1 { at } else { enter(line).unwrap_or_default() };
                start = Some(at.count);
            }
            whole = whole && (at.count >= head.count || follow(&mut at, line));
        })?;
        // The newest file that begins before it has it, or none.
        if start.is_some_and(|start| start < head.count) {
            return Ok(at == *head);
        }
    }
    Ok(false)
}
