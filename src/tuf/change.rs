//! What the next root must change, for a rotation.

use crate::domain::name::Role;
use crate::domain::public_key::{KeyId, PublicKey};
use crate::domain::root::Roots;

use super::canonical::{Object, Value, encode_json};
use super::key_id::{default_form, default_object};

/// The change as JSON: `{"version", "add": {role: [keyid]}, "keys": {keyid: key},
/// "then": {"version", "remove": {role: [keyid]}}}`. `then` is about the root after it: between the two both keys sign, so
/// that callers who take one signature satisfy every client. Who takes every signature may do both in one root.
///
/// `version` is that of the root to be made: one above the trusted one, since a staged root may be replaced. A key that
/// no root lists for the role needs no removal and is left out.
pub fn root_change_json(roots: &Roots, role: &Role, successor: &PublicKey, old: &[KeyId]) -> String {
    let added = default_form(successor).key_id;
    let removed: Vec<_> = old.iter().filter_map(|key| roots.key_id_for(role, key)).map(Value::from).collect();
    let version = roots.trusted.as_ref().map_or(1, |root| root.version.get() + 1);
    let per_role = |ids: Vec<Value>| {
        let members = (!ids.is_empty()).then(|| (role.as_str().to_owned(), Value::Array(ids)));
        Value::Object(Object::of(members))
    };
    let keys = Value::Object(Object::of([(added.clone(), default_object(successor))]));
    // A version is below 2^53, so that it always fits.
    let integer = |version: u64| Value::Integer(i64::try_from(version).unwrap_or(i64::MAX));
    let change = Value::from([
        ("version", integer(version)),
        ("add", per_role(vec![Value::from(added)])),
        ("keys", keys),
        ("then", Value::from([("version", integer(version.saturating_add(1))), ("remove", per_role(removed))])),
    ]);
    String::from_utf8_lossy(&encode_json(&change)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuf::root::read_unsigned;
    use crate::tuf::testing::{SoftKey, root_signed};

    #[test]
    fn the_successor_is_added_and_only_listed_keys_are_removed() {
        let [root, old, stranger, new] = SoftKey::four();
        let first = read_unsigned(&root_signed(4, 1, &[&root], &[&old])).unwrap();
        let mut roots = Roots::unrooted("acme/app".parse().unwrap());
        roots.trusted = Some(first);
        let old_ids = [old.public().id(), stranger.public().id()];
        let change = root_change_json(&roots, &Role::Timestamp, new.public(), &old_ids);
        let change: serde_json::Value = serde_json::from_str(&change).unwrap();
        let new_id = default_form(new.public()).key_id;
        let old_id = default_form(old.public()).key_id;
        let key: serde_json::Value = serde_json::from_str(&default_form(new.public()).json).unwrap();
        let expected = serde_json::json!({
            "version": 5, "add": {"timestamp": [new_id]}, "keys": {new_id.clone(): key},
            "then": {"version": 6, "remove": {"timestamp": [old_id]}},
        });
        assert_eq!(change, expected);
    }

    #[test]
    fn an_unrooted_repository_begins_at_version_one() {
        let [_, old, _, new] = SoftKey::four();
        let roots = Roots::unrooted("acme/app".parse().unwrap());
        let change = root_change_json(&roots, &Role::Snapshot, new.public(), &[old.public().id()]);
        let change: serde_json::Value = serde_json::from_str(&change).unwrap();
        assert_eq!((&change["version"], &change["then"]["remove"]), (&serde_json::json!(1), &serde_json::json!({})));
    }
}
