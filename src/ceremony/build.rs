//! The next root, from the one before and what is to change.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::Role;
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::tuf::canonical::{Object, Value, encode};
use crate::tuf::key_id::read_key;
use crate::tuf::root::RootFile;

use super::error::{CeremonyError, Refusal};
use super::public_key::ListedKey;
use super::rules::TOP_LEVEL;

/// The version of the TUF specification that a first root names; python-tuf's own.
pub(super) const SPEC_VERSION: &str = "1.0.31";

/// What a root is to say that the one before does not.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    /// `expires`.
    pub(super) expires: Instant,
    /// Keys that a role lists from now on.
    pub(super) add: Vec<(Role, ListedKey)>,
    /// Thresholds that change.
    pub(super) thresholds: BTreeMap<Role, u64>,
    /// Key ids, or public keys, that no role lists any more.
    pub(super) remove: Vec<String>,
}

/// Builds root N+1, or root 1. Everything that the changes do not name stays as it was, also what sealward does not know.
pub(super) fn next_root(previous: Option<&RootFile>, changes: &Changes) -> Result<RootFile, CeremonyError> {
    let mut draft = Draft::of(previous);
    for key in &changes.remove {
        draft.remove(key)?;
    }
    for (role, key) in &changes.add {
        draft.add(role, key)?;
    }
    for (role, threshold) in &changes.thresholds {
        draft.role(role).threshold = Some(*threshold);
    }
    TOP_LEVEL.iter().try_for_each(|role| draft.check(role))?;
    let version = previous.map_or(0, |previous| previous.root().version.get()) + 1;
    let signed = encode(&draft.finish(version, changes.expires));
    Ok(RootFile::from_signed(&signed)?)
}

/// A root in the making.
struct Draft {
    members: BTreeMap<String, Value>,
    keys: BTreeMap<String, Value>,
    roles: BTreeMap<String, DraftRole>,
}

struct DraftRole {
    key_ids: Vec<String>,
    threshold: Option<u64>,
    more: BTreeMap<String, Value>,
}

impl Draft {
    fn of(previous: Option<&RootFile>) -> Self {
        let members = match previous {
            Some(previous) => members(Some(&previous.envelope().value)),
            None => BTreeMap::from([
                ("_type".to_owned(), Value::from("root")),
                ("consistent_snapshot".to_owned(), Value::Bool(true)),
                ("spec_version".to_owned(), Value::from(SPEC_VERSION)),
            ]),
        };
        let roles = members_of(&members, "roles").into_iter().map(|(name, role)| (name, DraftRole::of(&role)));
        Self { keys: members_of(&members, "keys"), roles: roles.collect(), members }
    }

    fn role(&mut self, role: &Role) -> &mut DraftRole {
        self.roles.entry(role.as_str().to_owned()).or_insert_with(|| DraftRole::of(&Value::Null))
    }

    fn remove(&mut self, named: &str) -> Result<(), CeremonyError> {
        let is_named =
            |id: &str, object: &Value| id == named || read_key(object).is_some_and(|key| key.id().to_string() == named);
        let gone: BTreeSet<String> =
            self.keys.iter().filter(|(id, object)| is_named(id, object)).map(|(id, _)| id.clone()).collect();
        let mut found = false;
        for role in self.roles.values_mut() {
            let before = role.key_ids.len();
            role.key_ids.retain(|id| !gone.contains(id));
            found = found || role.key_ids.len() < before;
        }
        self.keys.retain(|id, _| !gone.contains(id));
        if found {
            return Ok(());
        }
        Err(CeremonyError::refused(Refusal::NotListed, format!("no role lists key {named}, which is to be removed")))
    }

    fn add(&mut self, role: &Role, key: &ListedKey) -> Result<(), CeremonyError> {
        let ListedKey { key_id, object, key, .. } = key;
        if self.keys.get(key_id).is_some_and(|there| there != object) {
            let detail = format!("the root has another key under key id {key_id}");
            return Err(CeremonyError::refused(Refusal::KeyIdTaken, detail));
        }
        let listed = self.roles.get(role.as_str()).map(|role| role.key_ids.clone()).unwrap_or_default();
        if listed.contains(key_id) {
            return Ok(());
        }
        let same = |id: &&String| self.keys.get(*id).and_then(read_key).is_some_and(|other| other == *key);
        if let Some(other) = listed.iter().find(same) {
            let detail = format!("{role} would list one public key under two key ids, {other} and {key_id}");
            return Err(Denial::new(Reason::DuplicateKey, detail).into());
        }
        self.keys.insert(key_id.clone(), object.clone());
        self.role(role).key_ids.push(key_id.clone());
        Ok(())
    }

    /// The reader checks this too; here it is told so that people can mend it.
    fn check(&mut self, role: &Role) -> Result<(), CeremonyError> {
        let DraftRole { key_ids, threshold, .. } = self.role(role);
        let (key_ids, threshold) = (key_ids.clone(), *threshold.get_or_insert(1));
        let distinct: BTreeSet<Result<KeyId, &String>> =
            key_ids.iter().map(|id| self.keys.get(id).and_then(read_key).map(|key| key.id()).ok_or(id)).collect();
        let keys = distinct.len();
        if threshold >= 1 && u64::try_from(keys).is_ok_and(|keys| threshold <= keys) {
            return Ok(());
        }
        let noun = if keys == 1 { "key" } else { "keys" };
        let detail = format!("{role} would have threshold {threshold} and {keys} {noun}");
        Err(CeremonyError::refused(Refusal::Threshold, detail))
    }

    fn finish(mut self, version: u64, expires: Instant) -> Value {
        let used: BTreeSet<&String> = self.roles.values().flat_map(|role| &role.key_ids).collect();
        let keys = self.keys.iter().filter(|(id, _)| used.contains(id));
        let keys = Object::of(keys.map(|(id, object)| (id.clone(), object.clone())));
        let roles = Object::of(self.roles.into_iter().map(|(name, role)| (name, role.finish())));
        // A version is below 2^53, so that it always fits; one above is refused when the root is read.
        let version = Value::from(i64::try_from(version).unwrap_or(i64::MAX));
        self.members.extend([
            ("version".to_owned(), version),
            ("expires".to_owned(), Value::from(expires.to_string())),
            ("keys".to_owned(), Value::Object(keys)),
            ("roles".to_owned(), Value::Object(roles)),
        ]);
        Value::Object(Object::of(self.members))
    }
}

impl DraftRole {
    fn of(role: &Value) -> Self {
        let ids = role.get("keyids").and_then(Value::as_array).unwrap_or_default();
        let threshold = role.get("threshold").and_then(Value::as_integer);
        Self {
            key_ids: ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            threshold: threshold.and_then(|threshold| u64::try_from(threshold).ok()),
            more: members(Some(role)),
        }
    }

    fn finish(mut self) -> Value {
        let ids = self.key_ids.into_iter().map(Value::from).collect();
        let threshold = self.threshold.and_then(|threshold| i64::try_from(threshold).ok());
        self.more.insert("keyids".to_owned(), Value::Array(ids));
        // A role that is none of ours keeps what it had.
        self.more.extend(threshold.map(|threshold| ("threshold".to_owned(), Value::from(threshold))));
        Value::Object(Object::of(self.more))
    }
}

fn members_of(parent: &BTreeMap<String, Value>, name: &str) -> BTreeMap<String, Value> {
    members(parent.get(name))
}

fn members(value: Option<&Value>) -> BTreeMap<String, Value> {
    let object = value.and_then(Value::as_object);
    object.into_iter().flat_map(Object::iter).map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::testing::{TestKey, root};
    use crate::tuf::key_id::forms;
    use crate::tuf::summary::{differences, other_differences};

    fn listed(key: &TestKey) -> ListedKey {
        ListedKey::of(key.public().clone(), None)
    }

    fn expires() -> Instant {
        Instant::parse_tuf("2030-01-01T00:00:00Z").unwrap()
    }

    fn changes(add: &[(Role, &TestKey)], remove: &[&TestKey]) -> Changes {
        Changes {
            expires: expires(),
            add: add.iter().map(|(role, key)| (role.clone(), listed(key))).collect(),
            thresholds: BTreeMap::new(),
            remove: remove.iter().map(|key| key.key_id()).collect(),
        }
    }

    fn reason(result: Result<RootFile, CeremonyError>) -> serde_json::Value {
        result.unwrap_err().json()["error"]["reason"].clone()
    }

    #[test]
    fn a_first_root_is_what_everybody_else_would_write() {
        let [a, b, c, d] = TestKey::four();
        let add =
            [(Role::Root, &a), (Role::Root, &b), (Role::Targets, &d), (Role::Snapshot, &d), (Role::Timestamp, &d)];
        let mut first = changes(&add, &[]);
        first.thresholds.insert(Role::Root, 2);
        let built = next_root(None, &first).unwrap();
        assert_eq!(built.envelope().signed, root(1, 2, &[&a, &b], &d).envelope().signed);
        assert_eq!(reason(next_root(None, &changes(&add[..4], &[]))), "threshold");
        first.thresholds.insert(Role::Root, 3);
        assert_eq!(reason(next_root(None, &first)), "threshold");
        first.thresholds.insert(Role::Root, 0);
        assert_eq!(reason(next_root(None, &first)), "threshold");
        assert_eq!(reason(next_root(None, &changes(&add, &[&c]))), "not-listed");
    }

    #[test]
    fn a_next_root_changes_what_it_is_told_and_nothing_else() {
        let [a, b, c, d] = TestKey::four();
        let text = String::from_utf8(root(7, 2, &[&a, &b], &d).envelope().signed.clone()).unwrap();
        let text = text.replace("\"roles\":{", "\"roles\":{\"mirrors\":{\"keyids\":[],\"x\":[1]},");
        let text = text.replace("\"spec_version\":\"1.0.31\"", "\"spec_version\":\"1.0.30\",\"tail\":{\"y\":null}");
        let text = text.replace("\"timestamp\":{", "\"timestamp\":{\"a\":\"owner\",");
        let old = RootFile::from_signed(text.as_bytes()).unwrap();
        let new = next_root(Some(&old), &changes(&[(Role::Root, &c), (Role::Root, &a)], &[&b])).unwrap();
        let other = other_differences(&old.envelope().value, &new.envelope().value);
        assert_eq!(
            other,
            [format!("`keys/{}` is removed", b.key_id()), format!("`keys/{}` is added: an object of 3", c.key_id())]
        );
        let told = differences(Some(old.root()), new.root());
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(new.root().version.get(), 8);
    }

    #[test]
    fn a_key_goes_by_its_key_id_or_its_public_key_and_out_of_every_role() {
        let [a, b, c, d] = TestKey::four();
        let old = root(1, 2, &[&a, &b], &c);
        let online = [(Role::Targets, &d), (Role::Snapshot, &d), (Role::Timestamp, &d)];
        let by_id = next_root(Some(&old), &changes(&online, &[&c])).unwrap();
        let mut by_public_key = changes(&online, &[]);
        by_public_key.remove.push(c.public().id().to_string());
        let by_public_key = next_root(Some(&old), &by_public_key).unwrap();
        assert_eq!(by_id.envelope().signed, by_public_key.envelope().signed);
        assert!(!by_id.root().all_keys().contains(&c.public().id()));
        assert_eq!(reason(next_root(Some(&old), &changes(&[], &[&c]))), "threshold");
    }

    #[test]
    fn one_key_in_two_forms_and_one_id_for_two_keys_are_refused() {
        let [a, b, c, d] = TestKey::four();
        let old = root(1, 1, &[&a, &b], &c);
        let other_form = &forms(a.public())[1];
        let object = crate::ceremony::members::parse(other_form.json.as_bytes()).unwrap();
        let in_other_form =
            ListedKey { name: None, key: a.public().clone(), object, key_id: other_form.key_id.clone() };
        let mut twice = changes(&[], &[]);
        twice.add.push((Role::Root, in_other_form));
        assert_eq!(reason(next_root(Some(&old), &twice)), "duplicate-key");
        let mut taken = changes(&[], &[]);
        taken.add.push((Role::Root, ListedKey { key_id: a.key_id(), ..listed(&d) }));
        assert_eq!(reason(next_root(Some(&old), &taken)), "key-id-taken");
    }
}
