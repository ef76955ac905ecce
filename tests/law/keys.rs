//! `law.md` section 1: keys.

use sealward::domain::algorithm::Algorithm;
use sealward::domain::key::{KeyRecord, KeyState, RoleSet};
use sealward::domain::law::challenge::challenge;
use sealward::domain::law::keys::{KeyPlan, KeyRequest, Known, check_unique, plan_key};
use sealward::domain::law::sign::Keys;
use sealward::domain::name::Role;
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::Custody;
use sealward::domain::public_key::PublicKey;

use crate::values::{Model, key_id, policy, public_key, record, repository, role, root, snapshot, timestamp};

fn set(names: &[&str]) -> Result<RoleSet, Denial> {
    RoleSet::new(names.iter().map(|name| role(name)).collect())
}

/// Asks the law for a key, in a repository that stands as the model says.
fn plan(model: &Model, names: &[&str]) -> Result<KeyPlan, Denial> {
    plan_as(model, names, |_| {})
}

fn plan_as(model: &Model, names: &[&str], change: impl FnOnce(&mut KeyRequest<'_>)) -> Result<KeyPlan, Denial> {
    let (repository, roles) = (repository(), set(names)?);
    let mut request =
        KeyRequest { repository: &repository, roles: &roles, keystore: None, algorithm: None, new_repository: false };
    change(&mut request);
    plan_key(
        &request,
        Known { policy: &model.policy, keys: &model.keys, guards: &model.guards, unrecorded: 0, roots: &model.roots },
    )
}

fn empty() -> Model {
    Model { keys: Vec::new(), guards: [].into(), ..Model::new() }
}

#[test]
fn a_key_signs_for_its_one_repository_only() {
    let mut model = Model::with_first_versions();
    let foreign = KeyRecord { repository: "other".parse().unwrap(), ..model.keys[0].clone() };
    let denial = model.decide_with("timestamp", &timestamp(2, 1), Keys::One(&foreign)).unwrap_err();
    assert_eq!(denial.reason, Reason::WrongRepository);
    assert!(!denial.detail.contains("other"), "the caller may have no grant to learn of it: {denial}");
    model.keys[0] = foreign;
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::WrongRepository);
}

#[test]
fn a_key_signs_for_its_explicit_roles_only() {
    let model = Model::with_first_versions();
    let denial = model.decide_one("timestamp", &timestamp(2, 1), 2).unwrap_err();
    assert_eq!(denial.reason, Reason::WrongRole, "key 2 is a key of snapshot");
    let denial = model.decide_one("snapshot", &snapshot(2, &[("targets", 1)]), 3).unwrap_err();
    assert_eq!(denial.reason, Reason::WrongRole, "key 3 is a key of targets");
}

#[test]
fn timestamp_and_snapshot_are_a_legal_set_and_its_key_signs_both_under_two_guards() {
    let mut model = Model::new();
    model.keys = vec![record(7, &[Role::Timestamp, Role::Snapshot], KeyState::Active), model.keys.remove(2)];
    model.release("targets", &crate::values::targets(1));
    model.release("snapshot", &snapshot(1, &[("targets", 1)]));
    model.release("timestamp", &timestamp(1, 1));
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.guard("timestamp").head.as_ref().unwrap().version.get(), 2);
    assert_eq!(model.guard("snapshot").head.as_ref().unwrap().version.get(), 1);
    let denial = model.decide_one("targets", &crate::values::targets(2), 7).unwrap_err();
    assert_eq!(denial.reason, Reason::WrongRole);
}

#[test]
fn a_set_never_contains_root_and_the_policy_names_every_other_but_timestamp_and_snapshot() {
    assert_eq!(set(&["root"]).unwrap_err().reason, Reason::OfflineRole);
    assert_eq!(set(&["root", "timestamp", "snapshot"]).unwrap_err().reason, Reason::OfflineRole);
    assert_eq!(set(&[]).unwrap_err().reason, Reason::RoleSet);
    let mut model = empty();
    for name in ["a", "b"] {
        let limits = model.policy.roles[&Role::Targets].clone();
        model.policy.roles.insert(role(name), limits);
    }
    for bad in [&["targets", "snapshot"][..], &["targets", "timestamp"], &["a", "b"], &["timestamp", "snapshot", "a"]] {
        assert_eq!(plan(&model, bad).unwrap_err().reason, Reason::RoleSet, "{bad:?}");
        model.policy.role_sets = vec![bad.iter().map(|name| role(name)).collect()];
        assert!(plan(&model, bad).is_ok(), "{bad:?}");
        assert_eq!(plan(&model, &[bad[0], "b"]).is_err(), bad != ["a", "b"], "exactly that set");
        model.policy.role_sets.clear();
    }
    assert!(plan(&model, &["timestamp", "snapshot"]).is_ok());
    assert!(plan(&model, &["a"]).is_ok());
}

#[test]
fn a_public_key_stands_in_one_record_for_ever_in_whatever_form_it_comes() {
    let destroyed = record(1, &[Role::Timestamp], KeyState::Destroyed);
    let as_pem = PublicKey::from_pem(&public_key(1).to_pem()).unwrap();
    assert_eq!(check_unique(&as_pem, Some(&destroyed)).unwrap_err().reason, Reason::DuplicateKey);
    assert_eq!(as_pem.id(), destroyed.id());
    assert_eq!(check_unique(&as_pem, None), Ok(()));
}

#[test]
fn nothing_but_a_domain_separated_challenge_is_signed_besides_metadata() {
    let (permit, message) = challenge(&public_key(1), [9; 32]);
    assert_eq!(message, [&b"sealward-challenge-v1\0"[..], &[9; 32]].concat());
    assert_eq!(permit.guard(), None);
    assert!(permit.redeem(timestamp(1, 1).as_bytes()).is_err());
    let (permit, _) = challenge(&public_key(1), [9; 32]);
    let (_, other) = challenge(&public_key(1), [8; 32]);
    assert!(permit.redeem(&other).is_err(), "the nonce is part of what is permitted");
}

#[test]
fn a_permit_is_for_one_payload_and_one_key_and_says_which_guard_it_rests_on() {
    let model = Model::with_first_versions();
    let payload = timestamp(2, 1);
    let permit = model.decide("timestamp", &payload).unwrap().take_permits().pop().unwrap();
    assert_eq!(permit.key(), key_id(1));
    let guard = model.guard("timestamp");
    assert_eq!(permit.guard(), Some(&(guard.name.clone(), guard.revision)));
    let order = permit.redeem(payload.as_bytes()).unwrap();
    assert_eq!((order.public_key(), order.message()), (&public_key(1), payload.as_bytes()));
    let permit = model.decide("timestamp", &payload).unwrap().take_permits().pop().unwrap();
    assert!(permit.redeem(timestamp(3, 1).as_bytes()).is_err());
}

#[test]
fn a_key_must_be_able_to_sign_the_largest_payload_of_its_roles() {
    let mut model = empty();
    model.limits("timestamp").max_payload_bytes = 1000;
    model.limits("snapshot").max_payload_bytes = 5000;
    assert_eq!(plan(&model, &["timestamp"]).unwrap().largest_message, 1000);
    assert_eq!(plan(&model, &["timestamp", "snapshot"]).unwrap().largest_message, 5000);
}

#[test]
fn in_an_unrooted_repository_a_roles_first_key_is_active_at_once_and_its_second_is_not() {
    let mut model = empty();
    assert_eq!(plan(&model, &["timestamp"]).unwrap().state, KeyState::Active);
    model.add(1, "timestamp", KeyState::Active);
    assert_eq!(plan(&model, &["timestamp"]).unwrap().state, KeyState::Pending);
    assert_eq!(plan(&model, &["snapshot"]).unwrap().state, KeyState::Active);
    let pair = plan(&model, &["timestamp", "snapshot"]).unwrap();
    assert_eq!(pair.state, KeyState::Pending, "one of its roles has an active key");
}

#[test]
fn once_a_root_is_staged_or_trusted_only_a_root_activates_a_key() {
    let mut model = empty();
    model.roots.staged = Some(root(1, &[]));
    assert_eq!(plan(&model, &["timestamp"]).unwrap().state, KeyState::Pending);
    model.roots.trusted = model.roots.staged.take();
    assert_eq!(plan(&model, &["timestamp"]).unwrap().state, KeyState::Pending);
}

#[test]
fn only_active_keys_sign() {
    for state in [KeyState::Pending, KeyState::Retiring, KeyState::Retired, KeyState::Destroyed] {
        let mut model = Model::with_first_versions();
        model.put(1, state);
        let denial = model.decide_one("timestamp", &timestamp(2, 1), 1).unwrap_err();
        assert_eq!(denial.reason, Reason::KeyState, "{}", state.name());
        let by_role = model.refusal("timestamp", &timestamp(2, 1));
        let expected = if state == KeyState::Retiring { Reason::KeyState } else { Reason::NoKeyForRole };
        assert_eq!(by_role, expected, "{}", state.name());
    }
}

#[test]
fn a_request_for_a_role_asks_no_key_that_is_pending_retired_or_destroyed() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(12, "timestamp", KeyState::Retired);
    model.add(13, "timestamp", KeyState::Destroyed);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let asked: Vec<_> = decision.judgement().keys.iter().map(|(key, _)| *key).collect();
    assert_eq!(asked, [key_id(1)]);
}

#[test]
fn a_key_of_root_or_of_an_offline_role_is_never_made() {
    let mut model = empty();
    model.limits("targets").custody = Custody::Offline;
    assert_eq!(plan(&model, &["targets"]).unwrap_err().reason, Reason::OfflineRole);
    model.limits("targets").custody = Custody::Attended;
    assert!(plan(&model, &["targets"]).is_ok(), "its keys are here, and people are asked");
    assert_eq!(plan(&model, &["releases"]).unwrap_err().reason, Reason::WrongRole, "policy names no such role");
}

#[test]
fn root_and_every_offline_role_are_refused_when_asked() {
    let mut model = Model::with_first_versions();
    assert_eq!(model.refusal("root", &timestamp(2, 1)), Reason::OfflineRole);
    model.limits("targets").custody = Custody::Offline;
    assert_eq!(model.refusal("targets", &crate::values::targets(2)), Reason::OfflineRole);
}

#[test]
fn a_repository_has_at_most_max_keys_that_are_not_destroyed() {
    let mut model = Model::new();
    model.policy.max_keys = 3;
    assert_eq!(plan(&model, &["timestamp"]).unwrap_err().reason, Reason::KeyLimit);
    model.put(3, KeyState::Retired);
    assert_eq!(plan(&model, &["timestamp"]).unwrap_err().reason, Reason::KeyLimit);
    model.put(3, KeyState::Destroyed);
    assert!(plan(&model, &["timestamp"]).is_ok());
}

#[test]
fn keystore_and_algorithm_are_the_requests_else_the_policys_and_never_made_up() {
    let mut model = empty();
    model.limits("timestamp").keystores = vec!["hsm".parse().unwrap()];
    model.limits("timestamp").algorithms = vec![Algorithm::EcdsaP384];
    let asked = plan_as(&model, &["timestamp"], |request| {
        request.keystore = Some("hsm".parse().unwrap());
        request.algorithm = Some(Algorithm::EcdsaP384);
    });
    let asked = asked.unwrap();
    assert_eq!((asked.keystore.as_str(), asked.algorithm), ("hsm", Algorithm::EcdsaP384));
    let usual = plan(&model, &["timestamp"]).unwrap();
    assert_eq!((usual.keystore.as_str(), usual.algorithm), ("software", Algorithm::Ed25519));
    model.limits("timestamp").keystore = None;
    assert_eq!(plan(&model, &["timestamp"]).unwrap_err().reason, Reason::Malformed);
    model.limits("timestamp").keystore = Some("software".parse().unwrap());
    model.limits("timestamp").algorithm = None;
    assert_eq!(plan(&model, &["timestamp"]).unwrap_err().reason, Reason::Malformed);
}

/// I10: a key is never made somewhere because one of two policies said so.
#[test]
fn two_roles_whose_policies_disagree_need_the_keystore_and_the_algorithm_named() {
    let mut model = empty();
    model.limits("timestamp").keystore = Some("hsm".parse().unwrap());
    model.limits("snapshot").keystores = vec!["hsm".parse().unwrap()];
    model.limits("timestamp").algorithms = vec![Algorithm::EcdsaP256];
    assert_eq!(plan(&model, &["timestamp", "snapshot"]).unwrap_err().reason, Reason::Malformed);
    let named = plan_as(&model, &["timestamp", "snapshot"], |request| request.keystore = Some("hsm".parse().unwrap()));
    assert_eq!(named.unwrap().keystore.as_str(), "hsm");
    model.limits("timestamp").keystore = policy().roles[&Role::Timestamp].keystore.clone();
    model.limits("snapshot").algorithm = Some(Algorithm::EcdsaP256);
    assert_eq!(plan(&model, &["timestamp", "snapshot"]).unwrap_err().reason, Reason::Malformed);
    let named = plan_as(&model, &["timestamp", "snapshot"], |request| request.algorithm = Some(Algorithm::EcdsaP256));
    assert_eq!(named.unwrap().algorithm, Algorithm::EcdsaP256);
}

// --- templates ---

#[test]
fn no_key_is_made_where_or_of_an_algorithm_that_the_role_does_not_name() {
    let mut model = empty();
    let asking = |model: &Model, keystore: &str, algorithm| {
        let keystore = Some(keystore.parse().unwrap());
        plan_as(model, &["timestamp"], |request| (request.keystore, request.algorithm) = (keystore, Some(algorithm)))
            .map(drop)
            .map_err(|denial| denial.reason)
    };
    assert_eq!(asking(&model, "software", Algorithm::Ed25519), Ok(()));
    assert_eq!(asking(&model, "hsm", Algorithm::Ed25519), Err(Reason::NoKeyTemplate));
    assert_eq!(asking(&model, "software", Algorithm::RsaPss4096), Err(Reason::NoKeyTemplate));
    model.limits("timestamp").keystores = vec!["hsm".parse().unwrap()];
    model.limits("timestamp").algorithms = vec![Algorithm::EcdsaP256];
    assert_eq!(asking(&model, "hsm", Algorithm::EcdsaP256), Ok(()));
    let limits = model.limits("timestamp");
    (limits.keystore, limits.algorithm) = (None, None);
    assert_eq!(asking(&model, "software", Algorithm::EcdsaP256), Err(Reason::NoKeyTemplate));
    model.limits("timestamp").keystores.clear();
    assert_eq!(asking(&model, "hsm", Algorithm::EcdsaP256), Err(Reason::NoKeyTemplate), "nothing named allows nothing");
}

#[test]
fn every_role_of_a_key_allows_its_keystore_and_its_algorithm() {
    let mut model = empty();
    model.limits("timestamp").algorithms = vec![Algorithm::EcdsaP256];
    let asked = plan_as(&model, &["timestamp", "snapshot"], |request| request.algorithm = Some(Algorithm::EcdsaP256));
    assert_eq!(asked.unwrap_err().reason, Reason::NoKeyTemplate, "snapshot does not");
}

#[test]
fn a_role_has_at_most_max_pending_keys_that_wait_for_a_root() {
    let mut model = Model::new();
    model.limits("timestamp").max_pending_keys = 2;
    for number in [41, 42] {
        assert!(plan(&model, &["timestamp"]).is_ok());
        model.add(number, "timestamp", KeyState::Pending);
    }
    assert_eq!(plan(&model, &["timestamp"]).unwrap_err().reason, Reason::KeyLimit);
    assert!(plan(&model, &["snapshot"]).is_ok(), "other roles go on");
    model.put(41, KeyState::Active);
    assert!(plan(&model, &["timestamp"]).is_ok());
}

#[test]
fn keys_that_were_begun_and_never_recorded_count_too() {
    let mut model = Model::new();
    model.policy.max_keys = 4;
    let with = |unrecorded| {
        let (repository, roles) = (repository(), set(&["timestamp"]).unwrap());
        let request = KeyRequest {
            repository: &repository,
            roles: &roles,
            keystore: None,
            algorithm: None,
            new_repository: false,
        };
        let Model { policy, keys, guards, roots, .. } = &model;
        plan_key(&request, Known { policy, keys, guards, unrecorded, roots }).map(drop)
    };
    assert!(with(0).is_ok());
    assert_eq!(with(1).unwrap_err().reason, Reason::KeyLimit);
}
