//! Writing values: canonically, and as JSON that any library reads.

use super::value::Value;

/// The canonical bytes of a value.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(value, &mut out, Style::Canonical);
    out
}

/// The value as compact JSON (RFC 8259): as [`encode`], with control characters escaped. Its canonical form is
/// [`encode`]'s.
pub fn encode_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(value, &mut out, Style::Json);
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Canonical,
    Json,
}

fn write_value(value: &Value, out: &mut Vec<u8>, style: Style) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_string(text, out, style),
        Value::Array(values) => {
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(value, out, style);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (i, (name, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(name, out, style);
                out.push(b':');
                write_value(value, out, style);
            }
            out.push(b'}');
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>, style: Style) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' if style == Style::Json => out.extend_from_slice(b"\\n"),
            0..0x20 if style == Style::Json => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::canonical::{Limits, parse_lenient};

    #[test]
    fn only_quote_and_backslash_are_escaped_and_members_are_sorted_by_decoded_key() {
        let value = Value::from([
            ("b", Value::Null),
            ("a!", Value::Bool(false)),
            ("a b", Value::Integer(i64::MIN)),
            ("a", Value::Array(vec![Value::from("\u{0}\n\u{7f}\"\\é\u{1f600}"), Value::Array(vec![])])),
            ("\u{1f600}", Value::Integer(0)),
            ("\u{ffff}", Value::Bool(true)),
        ]);
        let expected = "{\"a\":[\"\u{0}\n\u{7f}\\\"\\\\é\u{1f600}\",[]],\"a b\":-9223372036854775808,\"a!\":false,\
                        \"b\":null,\"\u{ffff}\":true,\"\u{1f600}\":0}";
        assert_eq!(String::from_utf8(encode(&value)).unwrap(), expected);
    }

    #[test]
    fn what_is_written_as_json_is_read_by_any_json_library_and_says_the_same() {
        let every_low_character: String = (0..0x90).filter_map(char::from_u32).collect();
        let value =
            Value::from([("pem", Value::from("-----\nAA\n")), ("all", Value::from(every_low_character.as_str()))]);
        let json = encode_json(&value);
        let other: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(other["all"], every_low_character);
        assert_eq!(parse_lenient(&json, Limits::of_bytes(4096)), Ok(value));
    }
}
