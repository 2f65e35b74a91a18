//! How far long work is, on standard error: a bar on a terminal, a plain line now and then elsewhere,
//! nothing where nobody reads it (`--quiet`, `--json`).

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::Global;
use crate::output;

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Rows,
    Bytes,
}

/// Progress that is shown while it lives.
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: Option<Plain>,
}

struct Plain {
    what: Cell<&'static str>,
    unit: Unit,
    began: Instant,
    said: Cell<Instant>,
}

impl Progress {
    /// `what` is under way: "restoring".
    pub(crate) fn new(global: &Global, what: &'static str, unit: Unit) -> Self {
        if global.quiet || global.json {
            return Self { bar: ProgressBar::hidden(), plain: None };
        }
        if !std::io::stderr().is_terminal() {
            let now = Instant::now();
            let plain = Plain { what: Cell::new(what), unit, began: now, said: Cell::new(now) };
            return Self { bar: ProgressBar::hidden(), plain: Some(plain) };
        }
        let template = match unit {
            Unit::Rows => "{spinner} {msg}: {human_pos} rows, {elapsed}",
            Unit::Bytes => "{spinner} {msg}: {bytes}, {bytes_per_sec}, {elapsed}",
        };
        let bar = ProgressBar::new_spinner().with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, plain: None }
    }

    /// Another part of the work is under way: "verifying".
    pub(crate) fn go_over_to(&self, what: &'static str) {
        self.bar.set_message(what);
        if let Some(plain) = &self.plain {
            plain.what.set(what);
        }
    }

    /// It has come to `position`.
    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
        let Some(plain) = &self.plain else { return };
        if plain.said.get().elapsed() >= PLAIN_EVERY {
            plain.said.set(Instant::now());
            output::note(plain.line(position));
        }
    }
}

impl Plain {
    fn line(&self, position: u64) -> String {
        let unit = match self.unit {
            Unit::Rows => "rows",
            Unit::Bytes => "bytes",
        };
        format!("{}: {position} {unit} after {} s", self.what.get(), self.began.elapsed().as_secs())
    }
}

impl Drop for Progress {
    /// Whether it went well or not, what follows begins on a line of its own.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_says_what_and_how_far() {
        let now = Instant::now();
        let (what, said) = (Cell::new("restoring"), Cell::new(now));
        let plain = Plain { what, unit: Unit::Rows, began: now, said };
        assert!(plain.line(7).starts_with("restoring: 7 rows after "), "{}", plain.line(7));
        let progress = Progress { bar: ProgressBar::hidden(), plain: Some(plain) };
        progress.go_over_to("verifying");
        let line = progress.plain.as_ref().unwrap().line(8);
        assert!(line.starts_with("verifying: 8 rows after "), "{line}");
    }
}
