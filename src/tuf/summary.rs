//! The differences of two roots, for people in a ceremony.

use std::collections::BTreeSet;

use crate::domain::name::Role;
use crate::domain::root::{RoleKeys, VerifiedRoot};

use super::canonical::Value;
use super::fields::shown;
use super::key_id::read_key;

/// A line for every difference in version, expiry, thresholds and keys; all of it for a first root. Lines hold no control
/// characters, whatever the roots say.
pub fn differences(previous: Option<&VerifiedRoot>, root: &VerifiedRoot) -> Vec<String> {
    let mut lines = Vec::new();
    match previous {
        None => lines.push(format!("first root: version {}, expires {}", root.version, root.expires)),
        Some(previous) => {
            lines.push(format!("version {} -> {}", previous.version, root.version));
            if previous.expires != root.expires {
                let days = root.expires.seconds_since(previous.expires) / (24 * 60 * 60);
                lines.push(format!("expires {} -> {} ({days:+} days)", previous.expires, root.expires));
            }
        }
    }
    let nothing = RoleKeys { threshold: 0, keys: [].into() };
    for role in [Role::Root, Role::Targets, Role::Snapshot, Role::Timestamp] {
        let of = |root: &VerifiedRoot| root.roles.get(&role).cloned();
        let old = previous.and_then(of).unwrap_or_else(|| nothing.clone());
        let new = of(root).unwrap_or_else(|| nothing.clone());
        lines.extend(role_differences(&role, &old, &new));
    }
    lines
}

/// A line for everything in `signed` that [`differences`] does not tell, such as `consistent_snapshot` or a key that
/// sealward cannot read, so that nothing is signed that nobody saw.
pub fn other_differences(previous: &Value, root: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&[], previous, root, &mut lines);
    for role in TOP_LEVEL {
        let (old, new) = (unreadable_keys(previous, role), unreadable_keys(root, role));
        let line = |verb: &str, id: &&str| format!("{role}: {verb} key {}, which sealward cannot read", shown_id(id));
        lines.extend(old.difference(&new).map(|id| line("removes", id)));
        lines.extend(new.difference(&old).map(|id| line("adds", id)));
    }
    lines
}

const TOP_LEVEL: [&str; 4] = ["root", "targets", "snapshot", "timestamp"];

/// Whether [`differences`] tells what changes here.
fn is_told(path: &[&str]) -> bool {
    match path {
        ["version" | "expires"] => true,
        ["roles", role, "keyids" | "threshold"] => TOP_LEVEL.contains(role),
        _ => false,
    }
}

fn unreadable_keys<'a>(root: &'a Value, role: &str) -> BTreeSet<&'a str> {
    let ids = root.get("roles").and_then(|roles| roles.get(role)?.get("keyids")?.as_array()).unwrap_or_default();
    let is_readable =
        |id: &&str| root.get("keys").and_then(|keys| keys.get(id)).is_some_and(|key| read_key(key).is_some());
    ids.iter().filter_map(Value::as_str).filter(|id| !is_readable(id)).collect()
}

fn role_differences(role: &Role, old: &RoleKeys, new: &RoleKeys) -> Vec<String> {
    let mut lines = Vec::new();
    if old.threshold != new.threshold {
        lines.push(format!("{role}: threshold {} -> {}", old.threshold, new.threshold));
    }
    for (key, tuf_key_id) in &old.keys {
        if !new.keys.contains_key(key) {
            lines.push(format!("{role}: removes key {} (public key {key})", shown_id(tuf_key_id)));
        }
    }
    for (key, tuf_key_id) in &new.keys {
        match old.keys.get(key) {
            None => lines.push(format!("{role}: adds key {} (public key {key})", shown_id(tuf_key_id))),
            Some(before) if before != tuf_key_id => {
                let (before, after) = (shown_id(before), shown_id(tuf_key_id));
                lines.push(format!("{role}: key {before} becomes {after} (public key {key})"));
            }
            Some(_) => {}
        }
    }
    lines
}

/// A usual key id whole, since people compare it; anything else as other names from strangers.
fn shown_id(tuf_key_id: &str) -> String {
    let usual = tuf_key_id.len() <= 128 && tuf_key_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if usual { tuf_key_id.to_owned() } else { shown(tuf_key_id) }
}

fn compare<'a>(path: &[&'a str], previous: &'a Value, root: &'a Value, lines: &mut Vec<String>) {
    if is_told(path) {
        return;
    }
    let named = |path: &[&str]| path.iter().map(|name| shown_id(name)).collect::<Vec<_>>().join("/");
    let (Value::Object(old), Value::Object(new)) = (previous, root) else {
        if previous != root {
            lines.push(format!("`{}` {} -> {}", named(path), brief(previous), brief(root)));
        }
        return;
    };
    for (name, value) in old.iter() {
        let path = [path, &[name]].concat();
        match new.get(name) {
            Some(other) => compare(&path, value, other, lines),
            None => lines.push(format!("`{}` is removed", named(&path))),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| old.get(name).is_none()) {
        lines.push(format!("`{}` is added: {}", named(&[path, &[name]].concat()), brief(value)));
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(object) => format!("an object of {}", object.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::canonical::{Limits, parse_canonical};
    use crate::tuf::root::read_unsigned;
    use crate::tuf::testing::{SoftKey, root_signed};

    #[test]
    fn two_roots_differ_in_the_lines_that_people_read_out() {
        let [a, b, c, d] = SoftKey::four();
        let old = read_unsigned(&root_signed(1, 1, &[&a, &b], &[&c])).unwrap();
        let new = read_unsigned(&root_signed(2, 2, &[&a, &d], &[&c])).unwrap();
        let line =
            |verb: &str, key: &SoftKey| format!("root: {verb} key {} (public key {})", key.key_id(), key.public().id());
        let expected =
            ["version 1 -> 2".to_owned(), "root: threshold 1 -> 2".to_owned(), line("removes", &b), line("adds", &d)];
        assert_eq!(differences(Some(&old), &new), expected);
        let first = differences(None, &old);
        assert_eq!(first.first().map(String::as_str), Some("first root: version 1, expires 2030-01-01T00:00:00Z"));
        assert!(first.contains(&line("adds", &a)) && first.contains(&"timestamp: threshold 0 -> 1".to_owned()));
    }

    #[test]
    fn what_no_role_explains_is_told_too_and_without_control_characters() {
        let [a, ..] = SoftKey::four();
        let read = |bytes: &[u8]| parse_canonical(bytes, Limits::of_bytes(1 << 20)).unwrap();
        let old = root_signed(1, 1, &[&a], &[&a]);
        let text = String::from_utf8(root_signed(2, 1, &[&a], &[&a])).unwrap();
        let new = text.replace("\"spec_version\"", "\"sneaky\":\"\u{1b}[2J\",\"spec_version\"");
        let new = new.replace("\"consistent_snapshot\":true", "\"consistent_snapshot\":false");
        let lines = other_differences(&read(&old), &read(new.as_bytes()));
        assert_eq!(lines, ["`consistent_snapshot` true -> false", "`sneaky` is added: \"\\u{1b}[2J\""]);
        assert!(other_differences(&read(&old), &read(&old)).is_empty());
        // A key that sealward cannot read becomes a key of one more role.
        let with_key = text.replacen("\"keys\":{", "\"keys\":{\"!\":{\"keytype\":\"?\"},", 1);
        let listed = with_key.replace("\"timestamp\":{\"keyids\":[", "\"timestamp\":{\"keyids\":[\"!\",");
        let lines = other_differences(&read(with_key.as_bytes()), &read(listed.as_bytes()));
        assert_eq!(lines, ["timestamp: adds key !, which sealward cannot read"]);
    }
}
