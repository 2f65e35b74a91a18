//! Walks over the live records of a table.

use std::ops::ControlFlow;

use holdfast_machine::{View, ViewExt as _};
use holdfast_records::{Record, Stored};

use crate::ArchiveError;

/// Shows every live record of a table to `look`, by row key, until that fails.
///
/// Errors: the state cannot be read, a record does not parse, or what `look` says.
pub fn each<R: Record>(
    view: &(impl View + ?Sized),
    mut look: impl FnMut(Stored<R>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut seen = Ok(());
    view.scan_live(R::TABLE, &[], &mut |key, value| {
        let record = R::decode(value.schema, key, &value.body).map_err(ArchiveError::from);
        let stored = record.map(|record| Stored { rev: value.rev, at: value.at, record });
        seen = stored.and_then(&mut look);
        if seen.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    seen
}

/// All live records of a table, with their revisions; for tables of few.
pub(crate) fn stored<R: Record>(
    view: &(impl View + ?Sized),
) -> Result<Vec<Stored<R>>, ArchiveError> {
    let mut found = Vec::new();
    each(view, |record| {
        found.push(record);
        Ok(())
    })?;
    Ok(found)
}

/// As [`stored`], the records alone.
pub(crate) fn all<R: Record>(view: &(impl View + ?Sized)) -> Result<Vec<R>, ArchiveError> {
    Ok(stored(view)?.into_iter().map(|found| found.record).collect())
}
