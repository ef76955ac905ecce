//! `law.md` section 3, items 7 and 8, and section 4: delegated roles, who lists their keys, and who may change that.

use sealward::domain::key::{KeyState, RoleSet};
use sealward::domain::law::keys::{KeyPlan, KeyRequest, Known, plan_key};
use sealward::domain::law::retire::{Around, retire};
use sealward::domain::law::sign::Delegators;
use sealward::domain::name::Role;
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::{Custody, RolePolicy};
use sealward::tuf::canonical::{Object, Value, encode};
use sealward::tuf::key_id::default_object;

use crate::values::{DAY, Model, NOW, key_id, public_key, repository, role, snapshot, targets};

/// A delegation: the role, its threshold, its keys (each under the id `id-NUMBER`) and its only path.
type Delegation<'a> = (&'a str, i64, &'a [u8], &'a str);

fn object(members: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(Object::of(members))
}

/// Targets or delegated targets that delegate.
pub(crate) fn delegating(number: i64, delegations: &[Delegation<'_>]) -> String {
    let role = |(name, threshold, keys, path): &Delegation<'_>| {
        Value::from([
            ("keyids", Value::Array(keys.iter().map(|key| Value::from(format!("id-{key}"))).collect())),
            ("name", Value::from(*name)),
            ("paths", Value::Array(vec![Value::from(*path)])),
            ("terminating", Value::Bool(false)),
            ("threshold", Value::Integer(*threshold)),
        ])
    };
    let keys = delegations.iter().flat_map(|(_, _, keys, _)| keys.iter());
    let keys = keys.map(|key| (format!("id-{key}"), default_object(&public_key(*key))));
    let roles = Value::Array(delegations.iter().map(role).collect());
    with_delegations(number, Value::from([("keys", object(keys)), ("roles", roles)]))
}

fn with_delegations(number: i64, delegations: Value) -> String {
    let signed = Value::from([
        ("_type", Value::from("targets")),
        ("delegations", delegations),
        ("expires", Value::from(NOW.plus_seconds(DAY).to_string())),
        ("spec_version", Value::from("1.0.31")),
        ("targets", object([])),
        ("version", Value::Integer(number)),
    ]);
    String::from_utf8(encode(&signed)).unwrap()
}

/// The delegated roles `a` (keys 20 and 21) and `b` (key 22), held here, with nothing released.
fn model() -> Model {
    let mut model = Model::with_first_versions();
    for (name, keys) in [("a", &[20, 21][..]), ("b", &[22])] {
        let limits = RolePolicy {
            keystore: Some("software".parse().unwrap()),
            algorithm: Some(sealward::domain::algorithm::Algorithm::Ed25519),
            custody: Custody::Online,
            ..RolePolicy::default_for(&role(name))
        };
        model.policy.roles.insert(role(name), limits);
        let guard = sealward::domain::guard::Guard::seeded_as_zero(sealward::domain::law::sign::first_epoch(
            &repository(),
            &role(name),
        ));
        model.guards.insert(role(name), guard);
        for key in keys {
            model.add(*key, name, KeyState::Active);
        }
    }
    model
}

fn signs(model: &Model, name: &str, version: u64, key: u8) -> Result<(), Reason> {
    model.decide_one(name, &targets(version), key).map(drop).map_err(|denial| denial.reason)
}

#[test]
fn a_key_of_a_delegated_role_signs_only_while_the_delegators_head_lists_it() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*")]));
    assert_eq!(signs(&model, "a", 1, 20), Ok(()));
    model.release("a", &targets(1));
    assert_eq!(signs(&model, "a", 1, 21), Err(Reason::KeyNotListed), "another key of the same role");
    assert_eq!(signs(&model, "b", 1, 22), Err(Reason::KeyNotListed), "nobody delegates to it");
    let decision = model.decide("a", &targets(2)).unwrap();
    let verdicts: Vec<_> =
        decision.judgement().keys.iter().map(|(key, step)| (*key, step.as_ref().err().map(|d| d.reason))).collect();
    assert_eq!(verdicts, [(key_id(20), None), (key_id(21), Some(Reason::KeyNotListed))]);
}

#[test]
fn the_next_head_of_the_delegator_revokes_a_key_or_a_role() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*"), ("b", 1, &[22], "b/*")]));
    model.release("a", &targets(1));
    model.release("targets", &delegating(3, &[("a", 1, &[21], "a/*")]));
    assert_eq!(signs(&model, "a", 2, 20), Err(Reason::KeyNotListed));
    assert_eq!(signs(&model, "a", 2, 21), Ok(()));
    assert_eq!(signs(&model, "b", 1, 22), Err(Reason::KeyNotListed));
    assert_eq!(signs(&model, "a", 1, 20), Err(Reason::KeyNotListed), "a replay runs the whole law");
    model.release("targets", &targets(4));
    assert_eq!(signs(&model, "a", 2, 21), Err(Reason::KeyNotListed), "delegations that are gone list nobody");
}

#[test]
fn a_key_that_a_delegators_head_lists_is_not_retired_by_hand() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*")]));
    let retired = |model: &Model, number: u8| {
        let key = model.keys.iter().find(|key| key.id() == key_id(number)).unwrap();
        let around = Around { keys: &model.keys, roots: &model.roots, guards: &model.guards, now: model.now };
        retire(key, around).map(|record| record.unwrap().state).map_err(|denial| denial.reason)
    };
    assert_eq!(retired(&model, 20), Err(Reason::KeyListed));
    assert_eq!(retired(&model, 21), Ok(KeyState::Retired), "it signs nothing");
    assert_eq!(retired(&model, 22), Err(Reason::LastSigner), "nobody knows yet to whom a delegates");
    model.release("a", &targets(1));
    assert_eq!(retired(&model, 22), Ok(KeyState::Retired), "nobody delegates to b");
    model.release("targets", &delegating(3, &[("a", 1, &[21], "a/*")]));
    assert_eq!(retired(&model, 20), Ok(KeyState::Retired), "the next head left it out");
}

#[test]
fn a_delegated_role_delegates_further_and_one_of_several_delegators_is_enough() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*")]));
    assert_eq!(signs(&model, "b", 1, 22), Ok(()), "a has released nothing here yet, and may delegate to it");
    model.release("a", &delegating(1, &[("b", 2, &[22, 23], "a/b/*")]));
    assert_eq!(signs(&model, "b", 1, 22), Ok(()), "a delegates to it");
    model.release("targets", &delegating(3, &[("a", 1, &[20], "a/*"), ("b", 1, &[22], "b/*")]));
    let b = role("b");
    let delegators = Delegators::of(&model.guards, &b);
    let listing: Vec<_> = delegators.listing.iter().map(|(name, signers)| (name.as_str(), signers.threshold)).collect();
    assert_eq!(listing, [("targets", 1), ("a", 2)], "each with its own threshold");
    model.release("a", &targets(2));
    assert_eq!(signs(&model, "b", 1, 22), Ok(()), "targets still do");
    model.release("targets", &delegating(4, &[("b", 1, &[22], "b/*")]));
    assert_eq!(signs(&model, "b", 1, 22), Ok(()));
}

#[test]
fn a_delegator_that_nobody_delegates_to_any_more_lists_nobody() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*")]));
    model.release("a", &delegating(1, &[("b", 1, &[22], "a/b/*"), ("a", 1, &[21], "a/*")]));
    assert_eq!(signs(&model, "b", 1, 22), Ok(()));
    assert_eq!(signs(&model, "a", 2, 21), Err(Reason::KeyNotListed), "a role does not list its own keys");
    model.release("targets", &delegating(3, &[("c", 1, &[20], "c/*")]));
    let unknown = signs(&model, "b", 1, 22);
    assert_eq!(unknown, Ok(()), "c is released elsewhere, and may delegate to b");
    model.release("targets", &targets(4));
    assert_eq!(signs(&model, "b", 1, 22), Err(Reason::KeyNotListed), "no way leads to a, and so none to b");
}

#[test]
fn without_the_delegators_head_the_delegator_is_not_asked() {
    let mut model = model();
    model.guards.remove(&Role::Targets);
    assert_eq!(signs(&model, "a", 1, 20), Ok(()));
    model.release("a", &delegating(1, &[("b", 1, &[20], "b/*")]));
    assert_eq!(signs(&model, "b", 1, 22), Err(Reason::KeyNotListed), "a head that is held and names the role is");
}

#[test]
fn the_key_ids_are_those_under_which_the_delegator_lists_the_keys() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 2, &[21, 20], "a/*")]));
    let a = role("a");
    let delegators = Delegators::of(&model.guards, &a);
    assert_eq!((delegators.key_id_for(&key_id(20)), delegators.key_id_for(&key_id(22))), (Some("id-20"), None));
    assert!(!delegators.listing[0].1.is_met_by(&[key_id(20), key_id(22)].into()));
    assert!(delegators.listing[0].1.is_met_by(&[key_id(20), key_id(21)].into()));
}

#[test]
fn bins_of_a_succinct_delegation_are_delegated_to() {
    let mut model = model();
    let limits = model.policy.roles[&role("a")].clone();
    model.policy.roles.insert(role("bin-0f"), limits);
    model.add(30, "bin-0f", KeyState::Active);
    model.add(31, "bin-0f", KeyState::Active);
    let zero = model.guard("a").clone();
    model.guards.insert(role("bin-0f"), zero);
    let succinct = Value::from([
        ("bit_length", Value::Integer(8)),
        ("keyids", Value::Array(vec![Value::from("shared")])),
        ("name_prefix", Value::from("bin")),
        ("threshold", Value::Integer(1)),
    ]);
    let keys = object([("shared".to_owned(), default_object(&public_key(30)))]);
    model.release("targets", &with_delegations(2, Value::from([("keys", keys), ("succinct_roles", succinct)])));
    assert_eq!(signs(&model, "bin-0f", 1, 30), Ok(()));
    assert_eq!(signs(&model, "bin-0f", 1, 31), Err(Reason::KeyNotListed));
}

// --- the grant `delegate` ---

#[test]
fn changing_delegations_needs_the_grant_delegate_and_anything_else_in_targets_does_not() {
    let mut model = model();
    let first = delegating(2, &[("a", 1, &[20], "a/*")]);
    model.may_delegate = false;
    assert_eq!(model.refusal("targets", &first), Reason::NoDelegateGrant, "the first ones are a change");
    model.may_delegate = true;
    model.release("targets", &first);
    model.may_delegate = false;
    assert!(model.allows("targets", &first), "the head again changes nothing");
    assert!(model.allows("targets", &delegating(3, &[("a", 1, &[20], "a/*")])));
    for (changed, what) in [
        (delegating(3, &[("a", 1, &[20], "b/*")]), "a path"),
        (delegating(3, &[("a", 2, &[20], "a/*")]), "a threshold"),
        (delegating(3, &[("a", 1, &[21], "a/*")]), "a key"),
        (delegating(3, &[("a", 1, &[20], "a/*"), ("b", 1, &[20], "b/*")]), "a role"),
        (delegating(3, &[]), "none"),
        (targets(3), "no member"),
        (
            first.replace("\"terminating\":false", "\"terminating\":true").replace("\"version\":2", "\"version\":3"),
            "order",
        ),
    ] {
        assert_eq!(model.refusal("targets", &changed), Reason::NoDelegateGrant, "{what}");
    }
}

#[test]
fn a_delegated_role_that_delegates_needs_the_grant_as_well_and_other_types_never_do() {
    let mut model = model();
    model.release("targets", &delegating(2, &[("a", 1, &[20], "a/*")]));
    model.may_delegate = false;
    assert_eq!(model.refusal("a", &delegating(1, &[("b", 1, &[22], "b/*")])), Reason::NoDelegateGrant);
    assert!(model.allows("a", &targets(1)));
    assert!(model.allows("snapshot", &snapshot(2, &[("targets", 2)])));
}

// --- keys and guards of a new delegated role ---

fn plan(model: &Model, name: &str) -> Result<KeyPlan, Denial> {
    let (repository, roles) = (repository(), RoleSet::new([role(name)].into()).unwrap());
    let request = KeyRequest {
        repository: &repository,
        roles: &roles,
        keystore: Some("software".parse().unwrap()),
        algorithm: Some(sealward::domain::algorithm::Algorithm::Ed25519),
        new_repository: false,
    };
    plan_key(
        &request,
        Known { policy: &model.policy, keys: &model.keys, guards: &model.guards, unrecorded: 0, roots: &model.roots },
    )
}

#[test]
fn a_delegated_role_that_the_held_snapshot_never_listed_begins_as_0_with_its_first_key() {
    let mut model = model();
    model.guards.remove(&role("a"));
    let guards = plan(&model, "a").unwrap().guards;
    assert_eq!(
        guards.iter().map(|guard| (guard.name.role.clone(), guard.head.is_none())).collect::<Vec<_>>(),
        [(role("a"), true)]
    );
    assert!(plan(&model, "b").unwrap().guards.is_empty(), "it has one");
    model.seed("snapshot", &snapshot(9, &[("a", 7), ("targets", 1)]));
    assert!(plan(&model, "a").unwrap().guards.is_empty(), "a snapshot lists it: it was published by somebody");
    model.guards.remove(&Role::Snapshot);
    assert!(plan(&model, "a").unwrap().guards.is_empty(), "nothing is known of what was published");
}

#[test]
fn keys_of_delegated_roles_are_active_at_once_because_their_delegators_decide() {
    let mut model = model();
    model.roots.trusted = Some(crate::values::root(1, &[]));
    assert_eq!(plan(&model, "a").unwrap().state, KeyState::Active);
    assert_eq!(plan(&model, "targets").unwrap().state, KeyState::Pending);
}
