//! `law.md` section 3, item 7: `targets/*` without a guard, sets of roles for its key, and roles by pattern.

use sealward::domain::guard::Step;
use sealward::domain::key::{KeyState, RoleSet};
use sealward::domain::law::keys::{KeyRequest, Known, plan_key};
use sealward::domain::name::{Pattern, Role};
use sealward::domain::outcome::Reason;
use sealward::domain::policy::{ReleaseRate, RolePolicy};
use sealward::domain::thresholds::Thresholds;

use crate::values::{
    DAY, Model, NOW, expiring, key_id, metadata, policy, record, repository, role, snapshot, targets, timestamp,
};

/// A repository like RSTUF's: key 1 signs timestamp, snapshot, and every kind of targets; guards as a new repository has
/// them.
fn model() -> Model {
    let mut model = Model::new();
    let limits = model.policy.roles.remove(&Role::Targets).unwrap();
    model.policy.roles.insert(role(Role::UNGUARDED), RolePolicy { unguarded: true, ..limits });
    let set = [Role::Timestamp, Role::Snapshot, role(Role::UNGUARDED)];
    model.policy.role_sets = vec![set.clone().into()];
    model.keys = vec![record(1, &set, KeyState::Active)];
    model.guards.remove(&Role::Targets);
    model
}

#[test]
fn the_unguarded_role_exists_only_when_the_policy_says_so() {
    let mut model = model();
    assert!(model.allows(Role::UNGUARDED, &targets(1)));
    model.limits(Role::UNGUARDED).unguarded = false;
    assert_eq!(model.refusal(Role::UNGUARDED, &targets(1)), Reason::WrongRole);
    model.policy.roles.remove(&role(Role::UNGUARDED));
    model.policy.role_patterns = vec![(Pattern::new("**").unwrap(), policy().roles[&Role::Targets].clone())];
    assert_eq!(model.refusal(Role::UNGUARDED, &targets(1)), Reason::WrongRole, "no pattern reaches it");
    assert_eq!(Role::from_listed_file("targets/*.json"), None, "no metadata names it");
}

#[test]
fn an_unguarded_payload_is_held_against_nothing_released() {
    let mut model = model();
    for version in [5, 9_000_000, 1, 5] {
        let decision = model.decide(Role::UNGUARDED, &targets(version)).unwrap();
        assert_eq!(decision.judgement().keys, [(key_id(1), Ok(Step::Unguarded))]);
        assert!(decision.replays().is_empty());
        model.carry_out(decision);
    }
    model.release(Role::UNGUARDED, &expiring(&targets(5), NOW.plus_seconds(2 * DAY)));
    assert_eq!(model.guard(Role::UNGUARDED).head, None, "what is kept counts releases and nothing else");
}

#[test]
fn type_expiry_size_and_rate_of_an_unguarded_payload_are_checked() {
    let mut model = model();
    assert_eq!(model.refusal(Role::UNGUARDED, &timestamp(1, 1)), Reason::WrongRole);
    assert_eq!(model.refusal(Role::UNGUARDED, &snapshot(1, &[("targets", 1)])), Reason::WrongRole);
    assert_eq!(model.refusal(Role::UNGUARDED, &metadata("targets", 1, NOW, "")), Reason::Expired);
    let far = metadata("targets", 1, NOW.plus_seconds(366 * DAY), "");
    assert_eq!(model.refusal(Role::UNGUARDED, &far), Reason::ExpiryTooFar);
    model.limits(Role::UNGUARDED).max_payload_bytes = targets(1).len() - 1;
    assert_eq!(model.refusal(Role::UNGUARDED, &targets(1)), Reason::PayloadTooLarge);
    model.limits(Role::UNGUARDED).max_payload_bytes = 1000;
    model.limits(Role::UNGUARDED).release_rate = ReleaseRate { per_hour: 60, burst: 2 };
    model.release(Role::UNGUARDED, &targets(1));
    model.release(Role::UNGUARDED, &targets(1));
    assert_eq!(model.refusal(Role::UNGUARDED, &targets(1)), Reason::RateLimited);
    model.now = NOW.plus_seconds(60);
    model.release(Role::UNGUARDED, &targets(1));
}

/// It has no guard that would hold a payload; what is kept in its place counts.
#[test]
fn signatures_of_an_unguarded_role_count_like_others() {
    let mut model = model();
    model.limits(Role::UNGUARDED).max_signatures = Thresholds { warn: None, stage: None, refuse: Some(2) };
    model.release(Role::UNGUARDED, &targets(1));
    model.release(Role::UNGUARDED, &targets(1));
    assert_eq!(model.refusal(Role::UNGUARDED, &targets(1)), Reason::SignatureLimit, "nothing is replayed either");
}

#[test]
fn one_key_signs_everything_that_is_online_and_its_other_roles_keep_their_guards() {
    let mut model = model();
    model.release(Role::UNGUARDED, &targets(1));
    model.release("snapshot", &snapshot(1, &[("bin-0", 1), ("targets", 1)]));
    model.release("timestamp", &timestamp(1, 1));
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Rollback);
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("bin-0", 2), ("targets", 1)])), Reason::Equivocation);
    for name in ["targets", "bin-0"] {
        assert_eq!(model.refusal(name, &targets(1)), Reason::WrongRole, "{name}: the policy has no such role");
    }
    let (repository, roles) = (repository(), RoleSet::new(model.policy.role_sets[0].clone()).unwrap());
    let request =
        KeyRequest { repository: &repository, roles: &roles, keystore: None, algorithm: None, new_repository: true };
    let (guards, keys) = ([].into(), []);
    let known = Known { policy: &model.policy, keys: &keys, guards: &guards, unrecorded: 0, roots: &model.roots };
    let plan = plan_key(&request, known).unwrap();
    let names: Vec<_> = plan.guards.iter().map(|guard| guard.name.role.clone()).collect();
    assert_eq!((plan.state, names), (KeyState::Active, vec![Role::Snapshot, Role::Timestamp]));
}

#[test]
fn a_snapshot_beside_unguarded_targets_is_held_against_its_own_listing_alone() {
    let mut model = model();
    model.seed("targets", &targets(3)); // left from when it was guarded
    model.release("snapshot", &snapshot(1, &[("bin-0", 7), ("targets", 9)]));
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("bin-0", 6), ("targets", 9)])), Reason::ListedRollback);
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("targets", 9)])), Reason::EntryRemoved);
    let limits = policy().roles[&Role::Targets].clone();
    model.policy.roles.insert(role("own"), limits);
    model.seed("own", &targets(3));
    let unreleased = snapshot(2, &[("bin-0", 7), ("own", 4), ("targets", 9)]);
    assert_eq!(model.refusal("snapshot", &unreleased), Reason::ListedUnreleased, "a delegated role with a guard");
}

#[test]
fn a_key_of_a_set_that_the_policy_names_no_more_signs_nothing() {
    let mut model = model();
    model.policy.role_sets.clear();
    for (name, payload) in [(Role::UNGUARDED, targets(1)), ("snapshot", snapshot(1, &[("targets", 1)]))] {
        assert_eq!(model.refusal(name, &payload), Reason::RoleSet, "{name}");
    }
}

#[test]
fn delegations_in_an_unguarded_payload_need_the_grant() {
    let mut model = model();
    let delegations = r#"{"_type":"targets","delegations":{"keys":{},"roles":[]},"#;
    let payload = targets(1).replacen(r#"{"_type":"targets","#, delegations, 1);
    model.may_delegate = false;
    assert!(model.allows(Role::UNGUARDED, &targets(1)));
    assert_eq!(model.refusal(Role::UNGUARDED, &payload), Reason::NoDelegateGrant);
    model.may_delegate = true;
    model.release(Role::UNGUARDED, &payload);
    model.may_delegate = false;
    assert_eq!(model.refusal(Role::UNGUARDED, &payload), Reason::NoDelegateGrant, "nothing is known of the last one");
}

#[test]
fn limits_by_pattern_hold_for_delegated_roles_without_their_own() {
    let mut model = Model::new();
    let limits = |bytes| RolePolicy { max_payload_bytes: bytes, ..policy().roles[&Role::Targets].clone() };
    let pattern = |text| Pattern::new(text).unwrap();
    model.policy.roles.insert(role("a/b"), limits(1));
    model.policy.role_patterns = vec![(pattern("a/*"), limits(2)), (pattern("**"), limits(3))];
    let found = |name: &str| model.policy.role(&role(name)).map(|limits| limits.max_payload_bytes);
    assert_eq!((found("a/b"), found("a/c"), found("x"), found("root")), (Some(1), Some(2), Some(3), None));
    assert!(found("targets").unwrap() > 3);
    model.policy.roles.remove(&Role::Targets);
    assert_eq!(model.refusal("targets", &targets(1)), Reason::WrongRole);
}
