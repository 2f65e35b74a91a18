//! The fields of a line: what a record serialises to, each by itself, and a line cut into them again.

use std::io;

use holdfast_types::limits::JSON_INTEGER_MAX;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use super::JsonError;

/// The fields of an object, `"name":value`, one behind the other.
pub(crate) struct Fields {
    text: String,
    /// Where each begins.
    begins: Vec<usize>,
}

impl Fields {
    /// Those of a value that serialises to an object.
    ///
    /// Errors: [`JsonError::Integer`], also for a number that is no integer; an object inside that has more
    /// fields than one, whose order would be nobody's.
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, JsonError> {
        let mut apart = Apart { text: Vec::with_capacity(256), begins: Vec::with_capacity(16) };
        let exact = Exact { depth: 0 };
        let mut serializer = serde_json::Serializer::with_formatter(&mut apart, exact);
        value.serialize(&mut serializer).map_err(|error| match error.is_io() {
            // Nothing but our formatter refuses to write.
            true => JsonError::Integer,
            false => error.into(),
        })?;
        let Apart { text, begins } = apart;
        let text = String::from_utf8(text).map_err(|_| JsonError::NotCanonical)?;
        Ok(Self { text, begins })
    }

    /// The object with these and `more` fields, sorted by name.
    pub(crate) fn line(&self, more: &[&str]) -> String {
        let ends = self.begins.iter().copied().skip(1).chain([self.text.len()]);
        let own = self.begins.iter().zip(ends).map(|(begin, end)| &self.text[*begin..end]);
        let mut fields = Vec::with_capacity(self.begins.len() + more.len());
        fields.extend(own.chain(more.iter().copied()));
        // As their names: behind a name comes a quotation mark, which is less than all that names have.
        fields.sort_unstable();
        let size = fields.iter().map(|field| field.len() + 1).sum::<usize>();
        let mut line = String::with_capacity(size + 1);
        for (n, field) in fields.iter().enumerate() {
            line.push(if n == 0 { '{' } else { ',' });
            line.push_str(field);
        }
        line.push('}');
        line
    }
}

/// Cuts the text of an object into its fields; `None` where that cannot be one without spaces. Whatever it lets
/// pass that is no such object is no line either: it would not come back.
pub(super) fn cut(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = Vec::with_capacity(16);
    let (mut begin, mut at, mut depth) = (0, 0, 0_usize);
    while let Some(byte) = inner.as_bytes().get(at) {
        match byte {
            b'"' => at = end_of_string(inner, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                fields.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    fields.push(&inner[begin..]);
    (depth == 0).then_some(fields)
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

/// Writes the fields of the outermost object each behind [`NEXT`]; refuses what lines have not.
struct Exact {
    depth: usize,
}

/// Says that a field begins. No JSON text without spaces has it inside.
const NEXT: &[u8] = b"\n";

/// Takes the fields apart that [`Exact`] writes.
struct Apart {
    text: Vec<u8>,
    begins: Vec<usize>,
}

impl io::Write for Apart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes == NEXT {
            self.begins.push(self.text.len());
        } else {
            self.text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refusals are found again by their being errors of writing.
fn refused() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Numbers that no line has.
macro_rules! refuse {
    ($($write:ident $number:ty),*) => {$(
        fn $write<W: ?Sized + io::Write>(&mut self, _: &mut W, _: $number) -> io::Result<()> {
            Err(refused())
        }
    )*};
}

impl Formatter for Exact {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.depth == 1 { Ok(()) } else { CompactFormatter.begin_object(writer) }
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.depth == 0 { Ok(()) } else { CompactFormatter.end_object(writer) }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        match (self.depth, first) {
            (1, _) => writer.write_all(NEXT),
            (_, true) => Ok(()),
            (_, false) => Err(refused()),
        }
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: u64) -> io::Result<()> {
        if number > JSON_INTEGER_MAX {
            return Err(refused());
        }
        CompactFormatter.write_u64(writer, number)
    }

    refuse!(write_i8 i8, write_i16 i16, write_i32 i32, write_i64 i64, write_i128 i128, write_u128 u128);
    refuse!(write_f32 f32, write_f64 f64);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_cut_where_its_fields_end() {
        let text = r#"{"a":"x,\\\"{","b":{"c":[1,2]},"d":[],"e":"\\"}"#;
        let fields = [r#""a":"x,\\\"{""#, r#""b":{"c":[1,2]}"#, r#""d":[]"#, r#""e":"\\""#];
        assert_eq!(cut(text).unwrap(), fields);
        assert_eq!(cut("{}").unwrap(), [""]);
        for bad in ["", "{", "}", "[]", r#"{"a}"#, r#"{"a\"}"#, "{]}", "{[}"] {
            assert!(cut(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn fields_are_sorted_by_their_names() {
        let fields =
            Fields::of(&json!({"b_c": 1, "b": {"x": "a\nb"}, "bc": [true, null]})).unwrap();
        let line = fields.line(&[r#""a":1"#, r#""c":2"#]);
        assert_eq!(line, r#"{"a":1,"b":{"x":"a\nb"},"b_c":1,"bc":[true,null],"c":2}"#);
        assert_eq!(Fields::of(&json!({})).unwrap().line(&[r#""a":1"#]), r#"{"a":1}"#);
    }

    #[test]
    fn what_lines_do_not_have_is_refused() {
        let max = JSON_INTEGER_MAX;
        for good in [json!({"a": max}), json!({"a": {"b": max}}), json!({"a": [{"b": 1}]})] {
            assert!(Fields::of(&good).is_ok(), "{good}");
        }
        for bad in [
            json!({"a": max + 1}),
            json!({"a": [{"b": max + 1}]}),
            json!({"a": -1}),
            json!({"a": 1.5}),
            json!({"a": {"b": 1, "c": 1}}),
        ] {
            assert!(matches!(Fields::of(&bad), Err(JsonError::Integer)), "{bad}");
        }
    }
}
