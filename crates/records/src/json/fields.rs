//! The fields of a line: cut out of an object's text, sorted, put together again.

use holdfast_types::limits::JSON_INTEGER_MAX;

use super::JsonError;

/// The object with the fields of `text`, an object as it is serialised, and with `more`, sorted by name. Objects
/// inside keep their order: records have none with more fields than one.
///
/// Errors: as [`cut`]; [`JsonError::Integer`] for numbers that not every JSON reader keeps exact, at any depth.
pub(super) fn sorted(text: &str, more: &[&str]) -> Result<String, JsonError> {
    let Cut { mut fields, exact } = cut(text)?;
    if !exact {
        return Err(JsonError::Integer);
    }
    fields.extend_from_slice(more);
    // As their names: behind a name comes a quotation mark, which is less than all that names of fields have.
    fields.sort_unstable();
    Ok(object(&fields))
}

/// The object with these fields.
pub(super) fn object(fields: &[&str]) -> String {
    let size = fields.iter().map(|field| field.len() + 1).sum::<usize>();
    let mut text = String::with_capacity(size + 2);
    text.push('{');
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            text.push(',');
        }
        text.push_str(field);
    }
    text.push('}');
    text
}

/// What [`cut`] finds.
pub(super) struct Cut<'a> {
    /// `"name":value`.
    pub(super) fields: Vec<&'a str>,
    /// Whether all numbers are integers that every JSON reader keeps exact.
    pub(super) exact: bool,
}

/// Cuts the text of an object into its fields. It lets much pass that is no object: what was read of it must come
/// back as the same text.
///
/// Errors: [`JsonError::NotCanonical`], where there is space outside of strings, too.
pub(super) fn cut(text: &str) -> Result<Cut<'_>, JsonError> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or(JsonError::NotCanonical)?;
    let mut fields = Vec::with_capacity(16);
    let (mut begin, mut at, mut depth, mut exact) = (0, 0, 0_usize, true);
    while let Some(byte) = inner.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(inner, at).ok_or(JsonError::NotCanonical)?,
            b'0'..=b'9' | b'-' => {
                let number = number(&inner[at..]);
                exact &= number.parse().is_ok_and(|number: u64| number <= JSON_INTEGER_MAX);
                at += number.len() - 1;
            }
            b' ' | b'\t' | b'\n' | b'\r' => return Err(JsonError::NotCanonical),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1).ok_or(JsonError::NotCanonical)?,
            b',' if depth == 0 => {
                fields.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if !inner.is_empty() {
        fields.push(&inner[begin..]);
    }
    if depth == 0 { Ok(Cut { fields, exact }) } else { Err(JsonError::NotCanonical) }
}

/// Where the string ends that begins at `begin`: at its second quotation mark.
fn end_of_string(text: &str, begin: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = begin + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What belongs to the number that `text` begins with.
fn number(text: &str) -> &str {
    let belongs = |c: char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E');
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_its_fields_end() {
        let text = r#"{"a":"x,\\\"{","b":{"c":[1,2]},"d":[],"e":"\\","f":7}"#;
        let fields =
            [r#""a":"x,\\\"{""#, r#""b":{"c":[1,2]}"#, r#""d":[]"#, r#""e":"\\""#, r#""f":7"#];
        assert_eq!(cut(text).unwrap().fields, fields);
        assert_eq!(object(&fields), text);
        assert!(cut("{}").unwrap().fields.is_empty());
        assert_eq!(object(&[]), "{}");
        for bad in [
            "",
            "{",
            "}",
            "[]",
            r#"{"a}"#,
            r#"{"a\"}"#,
            r#"{"a\"#,
            "{]}",
            "{[}",
            "{ }",
            "{\"a\": 1}",
        ] {
            assert!(matches!(cut(bad), Err(JsonError::NotCanonical)), "{bad}");
        }
    }

    #[test]
    fn fields_are_sorted_by_their_names() {
        let line =
            sorted(r#"{"b_c":1,"b":{"x":"\n"},"bc":[true,null]}"#, &[r#""a":1"#, r#""c":2"#]);
        assert_eq!(line.unwrap(), r#"{"a":1,"b":{"x":"\n"},"b_c":1,"bc":[true,null],"c":2}"#);
        assert_eq!(sorted("{}", &[r#""a":1"#]).unwrap(), r#"{"a":1}"#);
    }

    #[test]
    fn numbers_that_not_every_reader_keeps_are_refused() {
        for good in ["0", "9007199254740991", r#""9007199254740992""#, "[1,9007199254740991]"] {
            assert!(sorted(&format!("{{\"a\":{good}}}"), &[]).is_ok(), "{good}");
        }
        for bad in ["9007199254740992", "[{\"b\":9007199254740992}]", "-1", "1.5", "1e3", "1-1"] {
            let sorted = sorted(&format!("{{\"a\":{bad}}}"), &[]);
            assert!(matches!(sorted, Err(JsonError::Integer)), "{bad}");
        }
    }
}
