//! The fields of a line: cut out of an object's text, sorted, put together again.

use holdfast_types::limits::JSON_INTEGER_MAX;

use super::JsonError;

/// The object with the fields of `text`, an object as it is serialised, and with `more`, sorted by name.
///
/// Errors: as [`cut`].
pub(super) fn sorted(text: &str, more: &[&str]) -> Result<String, JsonError> {
    let mut fields = cut(text)?;
    fields.extend_from_slice(more);
    // As their names: behind a name comes a quotation mark, which is less than all that names have.
    fields.sort_unstable();
    Ok(object(&fields))
}

/// The object with these fields.
pub(super) fn object(fields: &[&str]) -> String {
    let size = fields.iter().map(|field| field.len() + 1).sum::<usize>();
    let mut text = String::with_capacity(size + 2);
    for (n, field) in fields.iter().enumerate() {
        text.push(if n == 0 { '{' } else { ',' });
        text.push_str(field);
    }
    if fields.is_empty() {
        text.push('{');
    }
    text.push('}');
    text
}

/// Cuts the text of an object into its fields, `"name":value`. Whatever it lets pass that is no object without
/// spaces is no line either: it would not come back.
///
/// Errors: [`JsonError::NotCanonical`]; [`JsonError::Integer`] for numbers that not every JSON reader keeps exact,
/// at any depth.
pub(super) fn cut(text: &str) -> Result<Vec<&str>, JsonError> {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = inner.ok_or(JsonError::NotCanonical)?;
    let mut fields = Vec::with_capacity(16);
    let (mut begin, mut at, mut depth) = (0, 0, 0_usize);
    while let Some(byte) = inner.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(inner, at).ok_or(JsonError::NotCanonical)?,
            b'0'..=b'9' | b'-' => at = end_of_number(inner, at)?,
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
    match (depth, inner.is_empty()) {
        (0, true) => Ok(fields),
        (0, false) => {
            fields.push(&inner[begin..]);
            Ok(fields)
        }
        _ => Err(JsonError::NotCanonical),
    }
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

/// The last byte of the number that begins at `begin`.
fn end_of_number(text: &str, begin: usize) -> Result<usize, JsonError> {
    let belongs = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = text.as_bytes()[begin..].iter().take_while(|byte| belongs(byte)).count();
    let number: Option<u64> = text[begin..begin + length].parse().ok();
    match number {
        Some(0..=JSON_INTEGER_MAX) => Ok(begin + length - 1),
        _ => Err(JsonError::Integer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_its_fields_end() {
        let text = r#"{"a":"x,\\\"{","b":{"c":[1,2]},"d":[],"e":"\\","f":7}"#;
        let fields =
            [r#""a":"x,\\\"{""#, r#""b":{"c":[1,2]}"#, r#""d":[]"#, r#""e":"\\""#, r#""f":7"#];
        assert_eq!(cut(text).unwrap(), fields);
        assert_eq!(object(&fields), text);
        assert!(cut("{}").unwrap().is_empty());
        assert_eq!(object(&[]), "{}");
        for bad in ["", "{", "}", "[]", r#"{"a}"#, r#"{"a\"}"#, r#"{"a\"#, "{]}", "{[}"] {
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
            assert!(cut(&format!("{{\"a\":{good}}}")).is_ok(), "{good}");
        }
        for bad in ["9007199254740992", "[{\"b\":9007199254740992}]", "-1", "1.5", "1e3", "1-1"] {
            let cut = format!("{{\"a\":{bad}}}");
            assert!(matches!(super::cut(&cut), Err(JsonError::Integer)), "{bad}");
        }
    }
}
