//! What was measured, where, and by which command: Markdown.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A table with a title, and remarks below it.
pub struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// An empty table.
    pub fn new(title: &str, head: &[&str]) -> Self {
        let head = head.iter().map(|text| (*text).to_owned()).collect();
        Self { title: title.to_owned(), head, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Adds a remark.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        // A column whose cells are numbers is set to the right.
        let numbers = |column: usize| {
            self.rows
                .iter()
                .all(|row| row[column].starts_with(|first: char| first.is_ascii_digit()))
        };
        let rule = |column| if numbers(column) { "--:" } else { "---" }.to_owned();
        let rules: Vec<String> = (0..self.head.len()).map(rule).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let notes: String = self.notes.iter().map(|note| format!("\n{note}\n")).collect();
        format!("### {}\n\n{}{}{rows}{notes}", self.title, line(&self.head), line(&rules))
    }
}

/// The machine, the date, the commit and the command, as Markdown.
pub fn machine(scratch: &Path) -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let command: Vec<String> = std::env::args().skip(1).collect();
    let commit = output("git", &["describe", "--always", "--dirty"]).unwrap_or_default();
    let rust = output("rustc", &["--version"]).unwrap_or_default();
    format!(
        "- machine: {cpu}, {cores} cores, {memory} of memory, Linux {}\n\
         - disk: {}\n\
         - {} UTC, commit {commit}, {rust}\n\
         - `cargo xtask bench{}`\n",
        kernel.trim(),
        disk(scratch),
        date(SystemTime::now()),
        command.iter().map(|word| format!(" {word}")).collect::<String>(),
    )
}

/// File system and device that a directory lies on.
fn disk(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = read("/proc/mounts").unwrap_or_default();
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = lines.filter(|parts| parts.len() > 3 && dir.starts_with(parts[1]));
    // The deepest mount holds it; of equals, the later lies on top.
    let Some(parts) = holding.max_by_key(|parts| parts[1].len()) else {
        return "unknown".to_owned();
    };
    let name = parts[0].rsplit('/').next().unwrap_or_default();
    let model = read(&format!("/sys/block/{name}/device/model")).unwrap_or_default();
    let model = model.trim();
    let model = if model.is_empty() { String::new() } else { format!(" ({model})") };
    format!("{} on {}{model}, {}", parts[2], parts[0], parts[3])
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(crate::root()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `YYYY-MM-DD HH:MM` in UTC, by the proleptic Gregorian calendar.
fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02}", days + 1, minutes / 60, minutes % 60)
}

/// A count or a rate, in groups of three digits.
pub fn number(value: f64) -> String {
    let digits = format!("{:.0}", value.round());
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Microseconds.
pub fn micros(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { number(value) }
}

/// A latency, in milliseconds.
pub fn millis(value: Duration) -> String {
    let millis = value.as_secs_f64() * 1e3;
    if millis < 100.0 { format!("{millis:.2}") } else { number(millis) }
}

/// Seconds.
pub fn seconds(value: Duration) -> String {
    format!("{:.2}", value.as_secs_f64())
}

/// Bytes, in MiB.
pub fn mebibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 100.0 { format!("{mebibytes:.1}") } else { number(mebibytes) }
}

/// A ratio.
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_numbers() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00");
        assert_eq!(at(951_782_400), "2000-02-29 00:00");
        assert_eq!(at(1_798_761_599), "2026-12-31 23:59");
        assert_eq!(number(1_234_567.4), "1 234 567");
        assert_eq!(number(999.6), "1 000");
    }

    #[test]
    fn numbers_are_set_to_the_right() {
        let mut table = Table::new("T", &["what", "n"]);
        table.row(vec!["x".into(), "1.5".into()]);
        assert_eq!(table.markdown(), "### T\n\n| what | n |\n| --- | --: |\n| x | 1.5 |\n");
    }
}
