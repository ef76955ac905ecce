//! The differences of two versions of targets, snapshot or timestamp metadata, for people who approve one.
//!
//! Delegations come first, because they hand on the right to sign; then targets, then version and expiry, then whatever
//! else differs, so that nothing is approved that nobody saw. Names are whole, never shortened: two long names that
//! differ at their end must not look alike.

mod delegations;

use std::collections::BTreeMap;

use crate::domain::outcome::{Denial, Reason};
use crate::domain::time::Instant;

use super::canonical::{Limits, Object, Value, encode_json, parse_canonical};
use super::fields::{read_header, unreadable};

/// A line for every difference; all of it when there is no earlier version. Lines hold no control characters, whatever
/// the metadata says.
///
/// Denials: those of reading metadata, for the newer bytes and for the earlier ones.
pub fn differences(previous: Option<&[u8]>, payload: &[u8]) -> Result<Vec<String>, Denial> {
    let new = read("the payload", payload)?;
    let old = previous.map(|bytes| read("the last signed version", bytes)).transpose()?;
    let nothing = Object::default();
    let before = old.as_ref().unwrap_or(&nothing);
    let mut lines = delegations::differences(before.get("delegations"), new.get("delegations"));
    lines.extend(targets(before.get("targets"), new.get("targets")));
    lines.extend(headers(old.as_ref(), &new)?);
    let told = ["delegations", "targets", "version", "expires"];
    others("", &without(before, &told), &without(&new, &told), &mut lines);
    Ok(lines)
}

fn read(what: &str, bytes: &[u8]) -> Result<Object, Denial> {
    let value = parse_canonical(bytes, Limits::of_bytes(bytes.len()))
        .map_err(|error| unreadable(what, error, Reason::NotCanonical))?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Denial::new(Reason::MalformedMetadata, format!("{what} is no object"))),
    }
}

fn headers(old: Option<&Object>, new: &Object) -> Result<Vec<String>, Denial> {
    let new = read_header(new)?;
    let Some(old) = old else {
        return Ok(vec![format!("version {}, the first that is known here", new.version), expiry(new.expires)]);
    };
    let old = read_header(old)?;
    let mut lines = Vec::new();
    if old.metadata_type != new.metadata_type {
        lines.push(format!("another type of metadata: {} before", old.metadata_type));
    }
    lines.push(format!("version {} -> {}", old.version, new.version));
    if old.expires != new.expires {
        let days = new.expires.seconds_since(old.expires) / (24 * 60 * 60);
        lines.push(format!("expires {} -> {} ({days:+} days)", old.expires, new.expires));
    }
    Ok(lines)
}

fn expiry(expires: Instant) -> String {
    format!("expires {expires}")
}

fn targets(old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let nothing = Object::default();
    let (old, new) = (members(old, &nothing), members(new, &nothing));
    let mut lines = Vec::new();
    for (name, entry) in new.iter().filter(|(name, _)| old.get(name).is_none()) {
        lines.push(format!("target {} is added: {}", quoted(name), file(entry)));
        let told = ["length", "hashes"];
        if let Value::Object(entry) = entry {
            others(&format!("target {}, ", quoted(name)), &nothing, &without(entry, &told), &mut lines);
        }
    }
    for (name, entry) in old.iter().filter(|(name, _)| new.get(name).is_none()) {
        lines.push(format!("target {} is removed: it had {}", quoted(name), file(entry)));
    }
    for (name, entry) in new.iter() {
        if let Some(before) = old.get(name).filter(|before| *before != entry) {
            others(&format!("target {}, ", quoted(name)), object_of(before), object_of(entry), &mut lines);
        }
    }
    lines
}

/// Length and hashes of a target.
fn file(entry: &Value) -> String {
    let length = entry.get("length").and_then(Value::as_integer);
    let nothing = Object::default();
    let hashes = members(entry.get("hashes"), &nothing);
    let hashes: Vec<String> = hashes.iter().map(|(name, hash)| format!("{} {}", escaped(name), shown(hash))).collect();
    format!("{} bytes, {}", length.map_or("?".to_owned(), |length| length.to_string()), hashes.join(", "))
}

/// A line for every member that differs, by its path.
fn others(path: &str, old: &Object, new: &Object, lines: &mut Vec<String>) {
    for (name, before) in old.iter() {
        match new.get(name) {
            None => lines.push(format!("{path}{} is removed: it was {}", quoted(name), shown(before))),
            Some(after) if after == before => {}
            Some(after) => match (before, after) {
                (Value::Object(before), Value::Object(after)) => {
                    others(&format!("{path}{} / ", quoted(name)), before, after, lines);
                }
                _ => lines.push(format!("{path}{} {} -> {}", quoted(name), shown(before), shown(after))),
            },
        }
    }
    for (name, after) in new.iter().filter(|(name, _)| old.get(name).is_none()) {
        lines.push(format!("{path}{} is added: {}", quoted(name), shown(after)));
    }
}

/// A value, whole, as JSON in which nothing is hidden.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => escaped(&String::from_utf8_lossy(&encode_json(other))),
    }
}

/// A name from a stranger. One that is not plain ASCII is shown by its code points as well: letters of different
/// alphabets look alike.
fn quoted(name: &str) -> String {
    if name.is_ascii() {
        return format!("`{}`", escaped(name));
    }
    format!("`{}` (by code points: {})", escaped(name), name.escape_default())
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '"' | '\'' => out.push(character),
            other => out.extend(other.escape_debug()),
        }
        out
    })
}

fn members<'a>(value: Option<&'a Value>, nothing: &'a Object) -> &'a Object {
    value.and_then(Value::as_object).unwrap_or(nothing)
}

fn object_of(value: &Value) -> &Object {
    static NOTHING: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::default);
    value.as_object().unwrap_or(&NOTHING)
}

fn without(object: &Object, told: &[&str]) -> Object {
    let members = object.iter().filter(|(name, _)| !told.contains(name));
    Object::of(members.map(|(name, value)| (name.to_owned(), value.clone())))
}

/// Named values of an array of objects, such as delegated roles by their names.
fn by_name<'a>(array: Option<&'a Value>, member: &str) -> BTreeMap<&'a str, &'a Object> {
    let values = array.and_then(Value::as_array).unwrap_or_default();
    let named = |value: &'a Value| Some((value.get(member)?.as_str()?, value.as_object()?));
    values.iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#""expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","#;

    fn targets_file(version: u64, targets: &str) -> String {
        format!(r#"{{"_type":"targets",{HEAD}"targets":{{{targets}}},"version":{version}}}"#)
    }

    fn lines(old: &str, new: &str) -> Vec<String> {
        differences(Some(old.as_bytes()), new.as_bytes()).unwrap()
    }

    #[test]
    fn targets_are_added_removed_and_changed_with_lengths_and_hashes() {
        let entry = |length: u64, hash: &str| format!(r#"{{"hashes":{{"sha256":"{hash}"}},"length":{length}}}"#);
        let old = targets_file(4, &format!(r#""a":{},"b":{}"#, entry(1, "aa"), entry(2, "bb")));
        let new = targets_file(5, &format!(r#""b":{},"c":{}"#, entry(3, "b0"), entry(4, "cc")));
        let expected = [
            "target `c` is added: 4 bytes, sha256 `cc`",
            "target `a` is removed: it had 1 bytes, sha256 `aa`",
            "target `b`, `hashes` / `sha256` `bb` -> `b0`",
            "target `b`, `length` 2 -> 3",
            "version 4 -> 5",
        ];
        assert_eq!(lines(&old, &new), expected);
        assert_eq!(lines(&old, &old), ["version 4 -> 4"], "nothing else differs");
    }

    #[test]
    fn a_first_version_is_told_whole() {
        let new = targets_file(1, r#""a":{"custom":{"arch":"x86"},"hashes":{"sha256":"aa"},"length":1}"#);
        let lines = differences(None, new.as_bytes()).unwrap();
        assert_eq!(lines[0], "target `a` is added: 1 bytes, sha256 `aa`");
        assert_eq!(lines[1], "target `a`, `custom` is added: {\"arch\":\"x86\"}");
        assert!(lines.contains(&"version 1, the first that is known here".to_owned()), "{lines:?}");
        assert!(lines.contains(&"expires 2030-01-01T00:00:00Z".to_owned()));
    }

    #[test]
    fn whatever_else_differs_is_told_too() {
        let old = targets_file(1, r#""a":{"custom":{"arch":["x86","arm"]},"hashes":{"sha256":"aa"},"length":1}"#);
        let new =
            old.replace("arm", "mips").replace("\"spec_version\"", "\"sneaky\":[1,{\"b\":null}],\"spec_version\"");
        let expected = [
            "target `a`, `custom` / `arch` [\"x86\",\"arm\"] -> [\"x86\",\"mips\"]",
            "version 1 -> 1",
            "`sneaky` is added: [1,{\"b\":null}]",
        ];
        assert_eq!(lines(&old, &new), expected);
        let snapshot = |listed: u64| {
            format!(r#"{{"_type":"snapshot",{HEAD}"meta":{{"targets.json":{{"version":{listed}}}}},"version":2}}"#)
                .replace(HEAD, r#""expires":"2030-01-01T00:00:00Z","#)
                .replace(r#","version":2}"#, r#","spec_version":"1.0.31","version":2}"#)
        };
        let told = lines(&snapshot(3), &snapshot(4));
        assert!(told.contains(&"`meta` / `targets.json` / `version` 3 -> 4".to_owned()), "{told:?}");
    }

    #[test]
    fn hostile_names_are_escaped_and_never_shortened() {
        let long = "x".repeat(500);
        let entry = r#"{"hashes":{"sha256":"aa"},"length":1}"#;
        let hostile = format!("\u{1b}[2J\u{202e}\n{long}1");
        let new = targets_file(2, &format!(r#""{hostile}":{entry},"а":{entry}"#));
        let told = lines(&targets_file(1, ""), &new);
        for line in &told {
            assert!(!line.contains(['\u{1b}', '\u{202e}', '\n']), "{line:?}");
        }
        assert!(told[0].contains(&format!("{long}1`")), "the end of a long name is seen");
        assert!(told[1].contains("by code points: \\u{430}"), "no Cyrillic letter passes for a Latin one: {told:?}");
    }

    #[test]
    fn bytes_that_are_no_metadata_are_refused() {
        for bytes in [&b""[..], b"[]", b"{}", b"{\"a\": 1}", b"\xff"] {
            assert!(differences(None, bytes).is_err(), "{bytes:?}");
            assert!(differences(Some(bytes), targets_file(1, "").as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
