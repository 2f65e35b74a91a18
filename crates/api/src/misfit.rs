//! Why a body is not the JSON that is wanted, in words that repeat nothing of it.

use holdfast_service::Error;
use holdfast_types::Kind;
use serde_json::error::Category;

/// What a message may say of a value: its type.
const TYPES: [&str; 9] = [
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "byte array",
    "null",
    "sequence",
    "map",
];
/// What comes behind that which is quoted: what was wanted instead, which is ours, and the position.
const TAILS: [&str; 3] = [", expected ", ", there are no fields", ", there are no variants"];

/// The failure for what serde found. The message names the type that stands there, what belongs there, and
/// where; never a value or a name from the request: they may be somebody's plaintext.
pub(crate) fn bad_json(error: &serde_json::Error) -> Error {
    let text = without_quotes(&error.to_string());
    let (message, next) = match error.classify() {
        Category::Data => (
            format!("the request does not fit: {text}"),
            "correct that field; bytes are base64 with padding (RFC 4648, section 4)",
        ),
        _ => (format!("the request is not JSON: {text}"), "send one JSON object in UTF-8"),
    };
    Error::new(Kind::BadInput, message).next(next)
}

/// A message of serde's without what it quotes of the request. What begins otherwise quotes nothing: a field
/// that is missing or given twice is one of ours.
fn without_quotes(message: &str) -> String {
    for what in ["unknown field", "unknown variant"] {
        if message.starts_with(what) {
            return format!("{what}{}", tail(message));
        }
    }
    for what in ["invalid type: ", "invalid value: "] {
        if let Some(found) = message.strip_prefix(what) {
            let of = TYPES.into_iter().find(|of| found.starts_with(of)).unwrap_or("something else");
            return format!("{what}{of}{}", tail(message));
        }
    }
    message.to_owned()
}

/// The end of a message, behind what it quotes. That may hold the same words, so the last ones count: behind
/// them nothing is quoted.
fn tail(message: &str) -> &str {
    let at = TAILS.iter().filter_map(|tail| message.rfind(tail)).max();
    at.and_then(|at| message.get(at..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::wire;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is never read")]
    struct Wants {
        size: u64,
        #[serde(default)]
        really: bool,
        #[serde(default)]
        how: How,
    }

    #[derive(serde::Deserialize, Debug, Default)]
    #[serde(rename_all = "lowercase")]
    enum How {
        #[default]
        Well,
        Badly,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    /// What serde says, and what becomes of it.
    fn said<T: DeserializeOwned>(text: &str) -> (String, String) {
        let error = serde_json::from_str::<T>(text).err().expect("it does not fit");
        (error.to_string(), bad_json(&error).message)
    }

    #[test]
    fn a_message_says_what_is_wrong_and_repeats_nothing() {
        let check = |(serde, message): (String, String), hidden: &str, want: &str| {
            assert!(serde.contains(hidden), "{serde}");
            assert!(!message.contains(hidden), "{message}");
            assert_eq!(message, format!("the request does not fit: {want}"));
        };
        let (integer, float) = ("4111111111111111", "4111.25");
        check(
            said::<wire::Encrypt>(r#"{"plaintext":4111111111111111}"#),
            integer,
            "invalid type: integer, expected base64 with padding at line 1 column 29",
        );
        check(
            said::<wire::Encrypt>(r#"{"plaintext":4111.25}"#),
            float,
            "invalid type: floating point, expected base64 with padding at line 1 column 20",
        );
        check(
            said::<wire::Encrypt>(r#"{"plaintext":true}"#),
            "true",
            "invalid type: boolean, expected base64 with padding at line 1 column 17",
        );
        check(
            said::<Wants>(r#"{"size":"attack at \", expected dawn"}"#),
            "attack",
            "invalid type: string, expected u64 at line 1 column 37",
        );
        check(
            said::<Wants>(r#"{"size":-4111111111111111}"#),
            integer,
            "invalid value: integer, expected u64 at line 1 column 25",
        );
        check(
            said::<wire::Encrypt>(r#"{"attack`, expected `at dawn":1}"#),
            "attack",
            "unknown field, expected `plaintext` or `context` at line 1 column 29",
        );
        check(
            said::<Nothing>(r#"{"attack, expected dawn":1}"#),
            "attack",
            "unknown field, there are no fields at line 1 column 24",
        );
        check(
            said::<Wants>(r#"{"size":1,"how":"attack`, there are no variants"}"#),
            "attack",
            "unknown variant, expected `well` or `badly` at line 1 column 48",
        );
        let (_, missing) = said::<Wants>(r#"{"really":true}"#);
        assert_eq!(missing, "the request does not fit: missing field `size` at line 1 column 15");
    }

    /// A text made of all that a message is cut by.
    fn hostile() -> impl Strategy<Value = String> {
        let pieces = [
            "`",
            "\"",
            "\\",
            "\n",
            "\u{9b}",
            "é",
            "4111",
            "ATTACK",
            "DAWN",
            ", expected ",
            ", there are no fields",
            ", there are no variants",
            "integer `",
            "` at line 1 column 2",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..12)
            .prop_map(|pieces| pieces.concat())
    }

    /// Nothing of a value or a name is repeated: the message is the one that a harmless one of the same type
    /// gets, but for the position.
    fn same<T: DeserializeOwned>(body: &str, harmless: &str) {
        let ((_, message), (_, plain)) = (said::<T>(body), said::<T>(harmless));
        let (message, position) = message.rsplit_once(" at line 1 column ").unwrap();
        assert_eq!(Some(message), plain.rsplit_once(" at line ").map(|(front, _)| front), "{body}");
        assert!(position.len() <= 3 && position.parse::<u16>().is_ok(), "{position}");
    }

    proptest! {
        #[test]
        fn nothing_of_what_was_sent_is_repeated(text in hostile(), int: i64, float: f64, wide: u64) {
            let quoted = serde_json::to_string(&text).unwrap();
            same::<Wants>(&format!("{{\"size\":{quoted}}}"), r#"{"size":"x"}"#);
            same::<Wants>(&format!("{{{quoted}:1}}"), r#"{"x":1}"#);
            same::<Nothing>(&format!("{{{quoted}:1}}"), r#"{"x":1}"#);
            let how = format!("{{\"size\":1,\"how\":{quoted}}}");
            same::<Wants>(&how, r#"{"size":1,"how":"x"}"#);
            let really = format!("{{\"size\":1,\"really\":{quoted}}}");
            same::<Wants>(&really, r#"{"size":1,"really":"x"}"#);
            same::<wire::Named>(&format!("{{{quoted}:1}}"), r#"{"x":1}"#);
            let plaintext = |value: &str| format!("{{\"plaintext\":{value}}}");
            for (sent, harmless) in [
                (int.to_string(), "-1"),
                (wide.to_string(), "1"),
                (serde_json::to_string(&float).unwrap(), "1.5"),
            ] {
                if sent != "null" {
                    same::<wire::Encrypt>(&plaintext(&sent), &plaintext(harmless));
                }
            }
        }
    }
}
