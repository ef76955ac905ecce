//! Who else may sign: the differences of `delegations` (TUF specification 1.0.34, section 4.5; TAP 15).

use std::collections::BTreeSet;

use super::{by_name, escaped, members, others, quoted, shown, without};
use crate::tuf::canonical::{Object, Value};
use crate::tuf::key_id::read_key;

/// A line for every difference of keys, roles, their thresholds, keys and paths, and their order.
pub(super) fn differences(old: Option<&Value>, new: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    let nothing = Object::default();
    let (before, after) = (members(old, &nothing), members(new, &nothing));
    roles(before.get("roles"), after.get("roles"), &mut found);
    keys(members(before.get("keys"), &nothing), members(after.get("keys"), &nothing), &mut found);
    let told = ["roles", "keys"];
    others("", &without(before, &told), &without(after, &told), &mut found);
    if old.is_some() != new.is_some() {
        let verb = if new.is_some() { "begin" } else { "end" };
        found.insert(0, format!("{verb} here"));
    }
    found.into_iter().map(|line| format!("DELEGATIONS: {line}")).collect()
}

fn roles(old: Option<&Value>, new: Option<&Value>, lines: &mut Vec<String>) {
    let (before, after) = (by_name(old, "name"), by_name(new, "name"));
    for (name, role) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
        lines.push(format!("role {} is added: {}", quoted(name), whole(role)));
    }
    for (name, role) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        lines.push(format!("role {} is removed: it had {}", quoted(name), whole(role)));
    }
    for (name, role) in &after {
        let Some(old) = before.get(name).filter(|old| *old != role) else { continue };
        for (member, what) in [("keyids", "key"), ("paths", "path"), ("path_hash_prefixes", "path hash prefix")] {
            let (old, role) = (texts(old, member), texts(role, member));
            lines.extend(
                old.difference(&role).map(|text| format!("role {} loses {what} {}", quoted(name), quoted(text))),
            );
            lines.extend(
                role.difference(&old).map(|text| format!("role {} gets {what} {}", quoted(name), quoted(text))),
            );
        }
        let told = ["keyids", "paths", "path_hash_prefixes", "name"];
        others(&format!("role {}, ", quoted(name)), &without(old, &told), &without(role, &told), lines);
    }
    let order = |value: Option<&Value>, other: &std::collections::BTreeMap<&str, &Object>| {
        let roles = value.and_then(Value::as_array).unwrap_or_default();
        let names = roles.iter().filter_map(|role| role.get("name")?.as_str());
        names.filter(|name| other.contains_key(name)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (was, is) = (order(old, &after), order(new, &before));
    if was != is {
        let listed = |names: &[String]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        lines.push(format!(
            "the order of the roles, which decides who is asked first: {} -> {}",
            listed(&was),
            listed(&is)
        ));
    }
}

/// A delegated role in one line.
fn whole(role: &Object) -> String {
    let told = ["name", "keyids", "threshold"];
    let rest: Vec<String> =
        without(role, &told).iter().map(|(name, value)| format!("{} {}", escaped(name), shown(value))).collect();
    let threshold = role.get("threshold").map_or("?".to_owned(), shown);
    let keys: Vec<String> = texts(role, "keyids").iter().map(|key| quoted(key)).collect();
    format!("threshold {threshold} of {}; {}", keys.join(", "), rest.join("; "))
}

fn keys(old: &Object, new: &Object, lines: &mut Vec<String>) {
    // The id is whatever the metadata calls the key; ours is computed from the key itself.
    let own = |key: &Value| match read_key(key) {
        Some(key) => format!("public key {}", key.id()),
        None => format!("a key that sealward cannot read: {}", shown(key)),
    };
    for (id, key) in new.iter() {
        match old.get(id) {
            None => lines.push(format!("key {} is added: {}", quoted(id), own(key))),
            Some(before) if before != key => {
                lines.push(format!("key {} becomes another one: {} -> {}", quoted(id), own(before), own(key)));
            }
            Some(_) => {}
        }
    }
    for (id, key) in old.iter().filter(|(id, _)| new.get(id).is_none()) {
        lines.push(format!("key {} is removed: {}", quoted(id), own(key)));
    }
}

fn texts<'a>(role: &'a Object, member: &str) -> BTreeSet<&'a str> {
    let values = role.get(member).and_then(Value::as_array).unwrap_or_default();
    values.iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use crate::tuf::difference::differences;

    fn targets(delegations: &str) -> String {
        format!(
            r#"{{"_type":"targets",{delegations}"expires":"2030-01-01T00:00:00Z","spec_version":"1.0.31","targets":{{"a":{{"hashes":{{"sha256":"aa"}},"length":1}}}},"version":1}}"#
        )
    }

    fn role(name: &str, key: &str, path: &str, threshold: u8) -> String {
        format!(
            r#"{{"keyids":["{key}"],"name":"{name}","paths":["{path}"],"terminating":false,"threshold":{threshold}}}"#
        )
    }

    fn delegated(keys: &[&str], roles: &[String]) -> String {
        let keys: Vec<String> =
            keys.iter().map(|key| format!(r#""{key}":{{"keytype":"x","keyval":{{}},"scheme":"x"}}"#)).collect();
        targets(&format!(r#""delegations":{{"keys":{{{}}},"roles":[{}]}},"#, keys.join(","), roles.join(",")))
    }

    #[test]
    fn delegations_come_first_and_say_who_may_sign_what() {
        let new = delegated(&["k1"], &[role("releases", "k1", "*.tgz", 1)]);
        let lines = differences(Some(targets("").as_bytes()), new.as_bytes()).unwrap();
        assert_eq!(lines[0], "DELEGATIONS: begin here");
        assert_eq!(
            lines[1],
            "DELEGATIONS: role `releases` is added: threshold 1 of `k1`; paths [\"*.tgz\"]; terminating false"
        );
        assert!(lines[2].starts_with("DELEGATIONS: key `k1` is added: a key that sealward cannot read"), "{lines:?}");
        assert!(lines[3..].iter().all(|line| !line.starts_with("DELEGATIONS")), "{lines:?}");
        let back = differences(Some(new.as_bytes()), targets("").as_bytes()).unwrap();
        assert_eq!(back[0], "DELEGATIONS: end here");
    }

    #[test]
    fn every_change_of_a_delegated_role_is_told() {
        let old = delegated(&["k1", "k2"], &[role("a", "k1", "a/*", 2), role("b", "k1", "b/*", 1)]);
        let new = delegated(&["k1", "k2"], &[role("b", "k1", "b/*", 1), role("a", "k2", "**", 1)]);
        let lines = differences(Some(old.as_bytes()), new.as_bytes()).unwrap();
        for expected in [
            "role `a` loses key `k1`",
            "role `a` gets key `k2`",
            "role `a` loses path `a/*`",
            "role `a` gets path `**`",
            "role `a`, `threshold` 2 -> 1",
            "the order of the roles, which decides who is asked first: `a`, `b` -> `b`, `a`",
        ] {
            assert!(lines.contains(&format!("DELEGATIONS: {expected}")), "{expected}: {lines:#?}");
        }
        let other_key = new.replacen("\"keytype\":\"x\"", "\"keytype\":\"y\"", 1);
        let lines = differences(Some(new.as_bytes()), other_key.as_bytes()).unwrap();
        assert!(lines[0].starts_with("DELEGATIONS: key `k1` becomes another one"), "{lines:?}");
    }
}
