//! Everything that a root changes, in lines for people: nothing is signed that nobody saw.

use crate::tuf::canonical::{Object, Value};
use crate::tuf::root::RootFile;
use crate::tuf::summary::{differences, other_differences};

use super::build::SPEC_VERSION;
use super::rules::TOP_LEVEL;

/// The differences of two roots; of a root without one before it, all that it says. The first line tells the version.
pub(super) fn lines(previous: Option<&RootFile>, root: &RootFile) -> Vec<String> {
    let value = &root.envelope().value;
    let mut lines = differences(previous.map(RootFile::root), root.root());
    lines.extend(match previous {
        Some(previous) => other_differences(&previous.envelope().value, value),
        None => other_differences(&plain(value), value),
    });
    lines
}

/// The same root as [`super::build`] would write it, so that what is unusual about a first root is told as well.
fn plain(root: &Value) -> Value {
    let member = |name: &str| root.get(name).cloned().unwrap_or(Value::Null);
    let role = |name: &str| only(root.get("roles").and_then(|roles| roles.get(name)), &["keyids", "threshold"]);
    let roles = TOP_LEVEL.iter().map(|name| (name.as_str().to_owned(), role(name.as_str())));
    let keys = root.get("keys").and_then(Value::as_object);
    let keys = keys.into_iter().flat_map(Object::iter).filter(|(id, _)| is_listed(root, id));
    let keys = keys.map(|(id, key)| (id.to_owned(), plain_key(key)));
    Value::from([
        ("_type", Value::from("root")),
        ("consistent_snapshot", Value::Bool(true)),
        ("expires", member("expires")),
        ("keys", Value::Object(Object::of(keys))),
        ("roles", Value::Object(Object::of(roles))),
        ("spec_version", Value::from(SPEC_VERSION)),
        ("version", member("version")),
    ])
}

fn plain_key(key: &Value) -> Value {
    let Value::Object(mut plain) = only(Some(key), &["keytype", "keyval", "scheme"]) else { return Value::Null };
    let keyval = plain.remove("keyval").map(|keyval| ("keyval".to_owned(), only(Some(&keyval), &["public"])));
    let members = plain.iter().map(|(name, value)| (name.to_owned(), value.clone())).chain(keyval);
    Value::Object(Object::of(members.collect::<Vec<_>>()))
}

fn is_listed(root: &Value, key_id: &str) -> bool {
    let ids = |name: &str| root.get("roles").and_then(|roles| roles.get(name)?.get("keyids")?.as_array());
    TOP_LEVEL.iter().filter_map(|role| ids(role.as_str())).flatten().any(|id| id.as_str() == Some(key_id))
}

fn only(object: Option<&Value>, names: &[&str]) -> Value {
    let members = names.iter().filter_map(|name| Some(((*name).to_owned(), object?.get(name)?.clone())));
    Value::Object(Object::of(members))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root};

    fn changed(change: impl Fn(&str) -> String) -> Vec<String> {
        let [a, b, c, d] = TestKey::four();
        let plain = root(1, 2, &[&a, &b, &c], &d);
        let text = String::from_utf8(plain.envelope().signed.clone()).unwrap();
        let text = change(&text);
        let told = lines(None, &RootFile::from_signed(text.as_bytes()).unwrap());
        let usual = lines(None, &plain);
        told.into_iter().filter(|line| !usual.contains(line)).collect()
    }

    #[test]
    fn a_usual_first_root_has_no_more_to_tell_than_its_roles() {
        let [a, b, c, d] = TestKey::four();
        let told = lines(None, &root(1, 2, &[&a, &b, &c], &d));
        assert_eq!(told.len(), 1 + 4 + 6, "{told:?}");
        assert!(told.iter().all(|line| !line.contains('`')), "{told:?}");
    }

    #[test]
    fn whatever_is_unusual_about_a_first_root_is_told() {
        let unusual = |from: &str, to: &str| changed(|text| text.replacen(from, to, 1));
        assert_eq!(unusual("_snapshot\":true", "_snapshot\":false"), ["`consistent_snapshot` true -> false"]);
        assert_eq!(unusual("\"1.0.31\"", "\"1.0.0\""), ["`spec_version` \"1.0.31\" -> \"1.0.0\""]);
        assert_eq!(unusual("\"version\":1", "\"version\":1,\"x\":0"), ["`x` is added: 0"]);
        assert_eq!(unusual("\"roles\":{", "\"roles\":{\"mirrors\":{},"), ["`roles/mirrors` is added: an object of 0"]);
        assert_eq!(unusual("\"roles\":{\"root\":{", "\"roles\":{\"root\":{\"a\":1,"), ["`roles/root/a` is added: 1"]);
        assert_eq!(unusual("\"keys\":{", "\"keys\":{\"!\":{},"), ["`keys/!` is added: an object of 0"]);
        let told = unusual("\"keyval\":{", "\"keyval\":{\"private\":\"k\",");
        assert!(told.len() == 1 && told[0].ends_with("/keyval/private` is added: \"k\""), "{told:?}");
    }
}
