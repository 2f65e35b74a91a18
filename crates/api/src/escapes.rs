//! Escapes that JSON does not need, taken out where they stand: PHP writes `\/` for `/`, .NET `\u002B` for `+`,
//! both in base64. serde_json copies a text with escapes into a buffer that nobody wipes, and it may be a plaintext.

/// Takes them out of a JSON text (RFC 8259 §7), of the same meaning and length: blanks follow. Escapes of what must
/// be escaped, or is no ASCII, stay.
pub(crate) fn take_out(text: &mut [u8]) {
    let (mut from, mut to) = (0, 0);
    while let Some(&byte) = text.get(from) {
        let (plain, read) = match text.get(from..).and_then(escape) {
            Some((plain, read)) => (plain, read),
            None => (byte, 1),
        };
        text[to] = plain;
        (from, to) = (from + read, to + 1);
        if byte == b'\\' && read == 1 {
            // What follows belongs to it, a second backslash as well.
            let Some(&next) = text.get(from) else { break };
            text[to] = next;
            (from, to) = (from + 1, to + 1);
        }
    }
    text[to..].fill(b' ');
}

/// The byte that the escape at the beginning of `text` stands for, and how long it is.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [b'\\', b'/', ..] => Some((b'/', 2)),
        [b'\\', b'u', b'0', b'0', high @ b'2'..=b'7', low, ..] => {
            let low = (low as char).to_digit(16)?;
            let plain = (high - b'0') << 4 | u8::try_from(low).ok()?;
            (!matches!(plain, b'"' | b'\\' | 0x7f)).then_some((plain, 6))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        take_out(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_other_encoders_escape() {
        let check = |text: &str, want: &str| assert_eq!(plain(text).trim_end(), want, "{text}");
        check(r#"{"plaintext":"\/wAB"}"#, r#"{"plaintext":"/wAB"}"#);
        check(r#"{"plaintext":"\u002FwA\u002b\u003D"}"#, r#"{"plaintext":"/wA+="}"#);
        for same in [
            r#""\\/""#,
            r#""\\u002f""#,
            r#""\"\\\n\u0022\u005c\u007f\u0000\u00e9\ud83d""#,
            r#""\u002""#,
            r#""\u00"#,
            r#""\u002g""#,
            "\\",
            "é",
            "",
        ] {
            check(same, same);
        }
    }

    proptest! {
        #[test]
        fn the_meaning_stays(pieces in prop::collection::vec(prop::sample::select(vec![
            "\\/", "\\\\", "\\\"", "/", "a", "u002f", "\\u002f", "\\u0022", "\\u005C", "\\n", "é", " ",
        ]), 0..12)) {
            let text = format!("\"{}\"", pieces.concat());
            let want: String = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&plain(&text)).unwrap(), want);
        }
    }
}
