//! One line of the log: how it is written, how much of one is read back.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use holdfast_crypto::sha256;
use holdfast_types::Millis;
use time::OffsetDateTime;

use super::{ChainHead, Record, Resource};

/// Writes lines and keeps the chain. Remembers the text of the last second, since most lines share it.
#[derive(Default)]
pub(super) struct Formatter {
    second: Option<u64>,
    text: String,
}

/// What the log says about itself.
pub(super) struct Event<'a> {
    pub at: Millis,
    /// `audit.start`, `audit.dropped`, `audit.counted`, `audit.cut`, `audit.damaged`.
    pub action: &'static str,
    pub resource: &'a str,
    pub count: Option<u64>,
}

impl Formatter {
    /// Appends the line of a call to `out` and moves `head`.
    pub(super) fn call(&mut self, out: &mut Vec<u8>, head: &mut ChainHead, record: &Record<'_>) {
        let start = out.len();
        self.open(out, head, record.at);
        match &record.identity {
            Some(identity) => {
                out.extend_from_slice(b",\"identity\":\"");
                out.extend_from_slice(&identity.text());
                out.push(b'"');
            }
            None => out.extend_from_slice(b",\"identity\":null"),
        }
        out.extend_from_slice(b",\"remote\":");
        string(out, record.remote);
        // Actions and outcomes are our own words, without anything to escape.
        out.extend_from_slice(b",\"action\":\"");
        out.extend_from_slice(record.action.as_str().as_bytes());
        out.extend_from_slice(b"\",\"resource\":");
        match record.resource {
            Resource::Text(text) => string(out, text),
            Resource::Within(enclave, name) => {
                string(out, enclave);
                out.pop();
                out.push(b'/');
                let middle = out.len();
                string(out, name);
                out.remove(middle);
            }
        }
        out.extend_from_slice(b",\"result\":\"");
        out.extend_from_slice(record.outcome.as_str().as_bytes());
        out.push(b'"');
        if !record.detail.is_empty() {
            out.extend_from_slice(b",\"detail\":");
            string(out, record.detail);
        }
        close(out, start, head);
    }

    /// Appends a line of the log's own to `out` and moves `head`.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, head: &mut ChainHead, event: &Event<'_>) {
        let start = out.len();
        self.open(out, head, event.at);
        _ = write!(out, ",\"action\":\"{}\",\"resource\":", event.action);
        string(out, event.resource);
        out.extend_from_slice(b",\"result\":\"ok\"");
        if let Some(count) = event.count {
            _ = write!(out, ",\"count\":{count}");
        }
        close(out, start, head);
    }

    fn open(&mut self, out: &mut Vec<u8>, head: &ChainHead, at: Millis) {
        out.extend_from_slice(b"{\"seq\":");
        digits(out, head.count + 1, 1);
        out.extend_from_slice(b",\"prev\":\"");
        let hex = out.len();
        out.resize(hex + 64, 0);
        HEXLOWER.encode_mut(&head.hash, &mut out[hex..]);
        let second = at.0 / 1000;
        if self.second != Some(second) {
            self.text = seconds(second);
            self.second = Some(second);
        }
        out.extend_from_slice(b"\",\"time\":\"");
        out.extend_from_slice(self.text.as_bytes());
        out.push(b'.');
        digits(out, at.0 % 1000, 3);
        out.extend_from_slice(b"Z\"");
    }
}

/// A decimal number, with zeros in front up to `least` digits. Each line has two: the general formatter takes a
/// tenth of its time.
fn digits(out: &mut Vec<u8>, mut number: u64, least: usize) {
    let start = out.len();
    while number > 0 || out.len() < start + least {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out[start..].reverse();
}

fn close(out: &mut Vec<u8>, start: usize, head: &mut ChainHead) {
    out.extend_from_slice(b"}\n");
    *head = ChainHead { count: head.count + 1, hash: sha256(&out[start..]) };
}

/// A JSON string (RFC 8259). Callers choose some of the texts, and people read the log on terminals:
/// everything that is no printable ASCII is escaped.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    // Nearly all texts are such. All bytes are looked at, without a branch for each.
    let plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|c| character(out, c));
    }
    out.push(b'"');
}

fn character(out: &mut Vec<u8>, c: char) {
    match c {
        '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
        ' '..='~' => out.push(c as u8),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a Vec does not fail.
                _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

/// As much of `text` as takes at most `bytes_max` between the quotes that [`string`] writes.
pub(super) fn cut_as_written(text: &str, bytes_max: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += match c {
            '"' | '\\' => 2,
            ' '..='~' => 1,
            _ => 6 * c.len_utf16(),
        };
        taken > bytes_max
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// `2026-11-25T08:22:43` of a second since 1970, in UTC (RFC 3339 without fraction and zone).
fn seconds(second: u64) -> String {
    let time = i64::try_from(second).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The `seq` and `prev` that a whole line (with its newline) carries; `None` where it is no line of ours.
pub(super) fn read(line: &[u8]) -> Option<(u64, [u8; 32])> {
    let rest = line.strip_suffix(b"}\n")?.strip_prefix(b"{\"seq\":")?;
    let digits = rest.iter().position(|b| !b.is_ascii_digit())?;
    let seq = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let hex = rest[digits..].strip_prefix(b",\"prev\":\"")?.first_chunk::<64>()?;
    let prev = HEXLOWER.decode(hex).ok()?;
    Some((seq, prev.try_into().ok()?))
}

/// Takes one line (with its newline) into the chain; whether it is the next one.
pub(super) fn follow(head: &mut ChainHead, line: &[u8]) -> bool {
    let next = read(line) == Some((head.count + 1, head.hash));
    if next {
        *head = ChainHead { count: head.count + 1, hash: sha256(line) };
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;
    use crate::audit::Outcome;
    use holdfast_types::{IdentityId, Kind};

    #[test]
    fn a_string_is_json_in_printable_ascii() {
        let text = "a \"b\" \\ \u{1b}[2J\u{9b}\u{202e}\u{1f511}\u{7f}é";
        let mut out = Vec::new();
        string(&mut out, text);
        assert!(out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn digits_are_those_of_the_general_formatter() {
        for number in [0, 1, 9, 10, 99, 100, 7_000, 999_999, u64::MAX] {
            let mut out = Vec::new();
            digits(&mut out, number, 1);
            out.push(b' ');
            digits(&mut out, number, 3);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number} {number:03}"));
        }
    }

    #[test]
    fn what_is_cut_takes_no_more_than_it_may_as_written() {
        let text = "ab\"\\ \u{1f511}\u{7f}é\u{1}z".repeat(3);
        for bytes_max in 0..=200 {
            let cut = cut_as_written(&text, bytes_max);
            let mut out = Vec::new();
            string(&mut out, cut);
            assert!(text.starts_with(cut) && out.len() <= bytes_max + 2, "{bytes_max}: {cut:?}");
            // One more character would not fit.
            let next = &text[..text.ceil_char_boundary((cut.len() + 1).min(text.len()))];
            out.clear();
            string(&mut out, next);
            assert!(next == cut || out.len() > bytes_max + 2, "{bytes_max}: {cut:?}");
        }
        assert_eq!(cut_as_written(&text, 200), text);
    }

    #[test]
    fn a_line_is_the_documented_one() {
        let mut head = ChainHead::default();
        let mut out = Vec::new();
        let mut formatter = Formatter::default();
        let record = Record {
            at: Millis(1_764_059_363_007),
            identity: Some(IdentityId([0; 32])),
            remote: "192.0.2.1:9",
            action: Action::KeyEncrypt,
            resource: Resource::Within("default", "orders"),
            outcome: Outcome::Failed(Kind::NotFound),
            detail: "a \"quote\"\n",
        };
        formatter.call(&mut out, &mut head, &record);
        let expected = concat!(
            "{\"seq\":1,\"prev\":\"",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "\",\"time\":\"2025-11-25T08:29:23.007Z\",\"identity\":\"h1:",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"remote\":\"192.0.2.1:9\",",
            "\"action\":\"key.encrypt\",\"resource\":\"default/orders\",\"result\":\"not_found\",",
            "\"detail\":\"a \\\"quote\\\"\\u000a\"}\n"
        );
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        let mut again = ChainHead::default();
        assert!(follow(&mut again, &out));
        assert_eq!(again, head);
        assert!(!follow(&mut again, &out), "the same line does not follow itself");
    }
}
