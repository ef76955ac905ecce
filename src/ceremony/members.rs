//! Our own files: JSON objects with `"v": 1` and a `type`, in which every member is known.

use std::str::FromStr;

use crate::tuf::canonical::{Limits, MAX_DEPTH, Object, Value, encode_json, parse_lenient};

use super::file::LARGEST;

/// The members of an object that are not yet read. Errors are causes, for whoever knows the file's name.
pub(super) struct Members {
    object: Object,
    what: String,
}

/// Parses a text within the bounds of this room. Two levels more than metadata has: a proposal goes around an envelope.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let limits = Limits { depth: MAX_DEPTH + 2, ..Limits::of_bytes(LARGEST) };
    parse_lenient(bytes, limits).map_err(|error| format!("not JSON that sealward reads: {error}"))
}

/// Writes an object of ours, one line.
pub(super) fn write<const N: usize>(kind: &str, members: [(&str, Value); N]) -> Vec<u8> {
    let header = [("v", Value::from(1)), ("type", Value::from(kind))];
    let members = header.into_iter().chain(members).map(|(name, value)| (name.to_owned(), value));
    let mut text = encode_json(&Value::Object(Object::of(members)));
    text.push(b'\n');
    text
}

impl Members {
    /// Reads a file of ours, of one type.
    pub(super) fn of_file(bytes: &[u8], kind: &str) -> Result<Self, String> {
        let mut members = Self::of(parse(bytes)?, "the file")?;
        let found = members.optional_text("type")?;
        if found.as_deref() != Some(kind) {
            return Err(format!("not a file of type {kind}"));
        }
        match members.object.remove("v") {
            Some(Value::Integer(1)) => Ok(members),
            _ => Err("not version 1 of its format, the only one that this program reads".to_owned()),
        }
    }

    pub(super) fn of(value: Value, what: &str) -> Result<Self, String> {
        match value {
            Value::Object(object) => Ok(Self { object, what: what.to_owned() }),
            _ => Err(format!("{what} is no object")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Result<Value, String> {
        self.object.remove(name).ok_or_else(|| format!("{} has no member `{name}`", self.what))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(name, "a string")),
        }
    }

    /// A string, or `null`, or nothing.
    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.object.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// A string in the form of some type.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.text(name)?.parse().map_err(|_| self.wrong(name, "in its form"))
    }

    pub(super) fn number(&mut self, name: &str) -> Result<u64, String> {
        let number = self.take(name)?.as_integer().and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| self.wrong(name, "an integer from 0"))
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<bool, String> {
        match self.take(name)? {
            Value::Bool(yes) => Ok(yes),
            _ => Err(self.wrong(name, "true or false")),
        }
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Result<(), String> {
        match self.object.iter().next() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(60).collect();
                Err(format!("{} has a member `{name}` that this program does not know", self.what))
            }
        }
    }

    fn wrong(&self, name: &str, rule: &str) -> String {
        format!("`{name}` of {} is not {rule}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_members_of_version_one_are_read() {
        let text = write("kind", [("a", Value::from("x")), ("n", Value::from(7)), ("b", Value::Bool(true))]);
        let mut members = Members::of_file(&text, "kind").unwrap();
        assert_eq!(members.text("a").unwrap(), "x");
        assert_eq!(members.number("n").unwrap(), 7);
        assert!(members.boolean("b").unwrap());
        members.end().unwrap();

        let cause = |text: &str| match Members::of_file(text.as_bytes(), "kind") {
            Ok(members) => members.end().unwrap_err(),
            Err(cause) => cause,
        };
        assert!(cause(r#"{"v":1,"type":"kind","more":0}"#).contains("`more`"));
        assert!(cause(r#"{"v":2,"type":"kind"}"#).contains("version 1"));
        assert!(cause(r#"{"v":"1","type":"kind"}"#).contains("version 1"));
        assert!(cause(r#"{"type":"kind"}"#).contains("version 1"));
        assert!(cause(r#"{"v":1,"type":"other"}"#).contains("type kind"));
        assert!(cause(r#"{"v":1,"v":1,"type":"kind"}"#).contains("twice"));
        assert!(cause("[]").contains("no object"));
        assert!(cause("").contains("ends within"));
    }

    #[test]
    fn members_of_another_kind_are_told_by_name() {
        let members = || Members::of_file(br#"{"v":1,"type":"kind","a":[]}"#, "kind").unwrap();
        assert_eq!(members().text("a").unwrap_err(), "`a` of the file is not a string");
        assert_eq!(members().number("a").unwrap_err(), "`a` of the file is not an integer from 0");
        assert_eq!(members().boolean("a").unwrap_err(), "`a` of the file is not true or false");
        assert!(members().optional_text("a").is_err());
        assert_eq!(members().text("z").unwrap_err(), "the file has no member `z`");
    }
}
