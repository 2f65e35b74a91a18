//! What people and programs see: lines or JSON on standard output, one error on standard error.

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use holdfast_client::ClientError;
use holdfast_fs::is_full;
use holdfast_node::NodeError;
use holdfast_types::Kind;
use serde::Serialize;

/// Why a command ends without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It failed.
    Failed {
        /// The kind; its exit code is the command's.
        kind: Kind,
        /// What happened.
        message: String,
        /// The next step.
        next: Option<String>,
    },
    /// Somebody interrupted it, or nobody reads its output any more: 130, without a word.
    Interrupted,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::Failed { kind, message: message.into(), next: None }
    }

    pub(crate) fn next(self, step: impl Into<String>) -> Self {
        match self {
            Self::Failed { kind, message, .. } => {
                Self::Failed { kind, message, next: Some(step.into()) }
            }
            Self::Interrupted => self,
        }
    }

    /// A failure to read or write `what`.
    pub(crate) fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::Interrupted => return Self::Interrupted,
            ErrorKind::NotFound => Kind::NotFound,
            ErrorKind::AlreadyExists => Kind::Exists,
            _ if is_full(error) => Kind::NoSpace,
            ErrorKind::IsADirectory => Kind::BadInput,
            _ => Kind::Other,
        };
        let failure = Self::new(kind, format!("{what}: {error}"));
        match error.kind() {
            ErrorKind::NotFound => failure.next("check the path"),
            ErrorKind::PermissionDenied => failure.next("check who may use that path"),
            _ if is_full(error) => failure.next("make room there"),
            ErrorKind::IsADirectory => failure.next("give a file, not a directory"),
            ErrorKind::NotADirectory => failure.next("a part of that path is a file: check it"),
            ErrorKind::AlreadyExists => failure.next("choose another path, or move it away"),
            _ => failure,
        }
    }

    /// Says it on standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        let Self::Failed { kind, message, next } = self else {
            kept_notes();
            return ExitCode::from(130);
        };
        if json {
            failure_json(kind.code(), kind.exit_code(), message, next.clone());
        } else {
            to_stderr(format!("holdfast: {message}"));
            if let Some(next) = next {
                to_stderr(format!("  next: {next}"));
            }
        }
        ExitCode::from(kind.exit_code())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed { kind: error.kind, message: error.message, next: error.next }
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::Failed { kind: error.kind, message: error.message, next: error.next }
    }
}

/// Says a failure as one document, with the notes that were kept for it.
fn failure_json(code: &str, exit: u8, message: &str, next: Option<String>) {
    #[derive(Serialize)]
    struct Document {
        #[serde(flatten)]
        failure: holdfast_api::wire::Failure,
        notes: Vec<String>,
    }
    let (code, message) = (code.to_owned(), message.to_owned());
    let error = holdfast_api::wire::FailureBody { code, exit, message, next };
    let failure = holdfast_api::wire::Failure { error };
    let document = Document { failure, notes: kept().take().unwrap_or_default() };
    to_stderr(serde_json::to_string(&document).unwrap_or_default());
}

/// A usage error, for programs.
pub(crate) fn usage_json(message: &str) {
    failure_json("usage", 2, message, Some("see holdfast --help".to_owned()));
}

/// Writes bytes to standard output as they are.
pub(crate) fn raw(bytes: &[u8]) -> crate::Done {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| Failure::io("standard output", &error))
}

/// Writes one line.
pub(crate) fn line(text: impl std::fmt::Display) -> crate::Done {
    raw(format!("{text}\n").as_bytes())
}

/// Writes a value as one JSON document.
pub(crate) fn json(value: &impl Serialize) -> crate::Done {
    let text = serde_json::to_string_pretty(value);
    line(text.map_err(|error| Failure::new(Kind::Internal, format!("JSON: {error}")))?)
}

/// Writes rows in columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> crate::Done {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    raw(text.as_bytes())
}

/// Notes that wait for the end of the command, where they are kept.
static KEPT: Mutex<Option<Vec<String>>> = Mutex::new(None);

fn kept() -> std::sync::MutexGuard<'static, Option<Vec<String>>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on notes are kept, so that standard error is one document.
pub(crate) fn keep_notes() {
    kept().get_or_insert_default();
}

/// Shows notes at once again, those that were kept first: somebody is asked, and should know.
pub(crate) fn show_notes() {
    kept().take().unwrap_or_default().iter().for_each(to_stderr);
}

/// Says the notes that were kept, where there are any and no failure said them.
pub(crate) fn kept_notes() {
    let notes = kept().take().unwrap_or_default();
    if !notes.is_empty() {
        to_stderr(serde_json::json!({ "notes": notes }));
    }
}

/// A note on standard error; under `--json` in its document.
pub(crate) fn note(text: impl std::fmt::Display) {
    match kept().as_mut() {
        Some(notes) => notes.push(text.to_string()),
        None => to_stderr(text),
    }
}

/// A line on standard error, at once. Nothing can be done where that is gone, too.
fn to_stderr(text: impl std::fmt::Display) {
    _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether somebody sits in front of it.
pub(crate) fn interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Milliseconds since 1970 as RFC 3339, to the second.
pub(crate) fn when(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text =
        time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_else(|| format!("{millis} ms"))
}

/// A revision as people see it.
pub(crate) fn revision(number: u64) -> String {
    holdfast_types::Revision(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_kinds() {
        assert_eq!(when(0), "1970-01-01T00:00:00Z");
        let pipe = std::io::Error::from(ErrorKind::BrokenPipe);
        assert_eq!(Failure::io("x", &pipe), Failure::Interrupted);
        let full = std::io::Error::from(ErrorKind::StorageFull);
        assert!(matches!(Failure::io("x", &full), Failure::Failed { kind: Kind::NoSpace, .. }));
    }
}
