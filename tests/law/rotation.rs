//! `law.md` section 4: which keys sign under the trusted and the staged root.

use std::collections::BTreeSet;

use sealward::domain::guard::Step;
use sealward::domain::key::KeyState;
use sealward::domain::law::sign::meets_threshold;
use sealward::domain::name::Role;
use sealward::domain::outcome::Reason;
use sealward::domain::public_key::KeyId;

use crate::values::{Model, key_id, record, root, signature, snapshot, targets, timestamp};

/// Root 1 lists key 1 for timestamp and is trusted, root 2 lists `staged` and is staged; key 1 is retiring when root 2
/// does not list it, key 11 is active.
fn rotating(staged: &[u8]) -> Model {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    model.roots.staged = Some(root(2, &[(Role::Timestamp, staged), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    if !staged.contains(&1) {
        model.put(1, KeyState::Retiring);
    }
    model
}

fn signing(model: &Model, text: &str) -> BTreeSet<KeyId> {
    model.decide("timestamp", text).unwrap().take_permits().iter().map(|permit| permit.key()).collect()
}

#[test]
fn a_key_of_a_top_level_role_signs_only_while_the_trusted_or_the_staged_root_lists_it() {
    let mut model = Model::with_first_versions();
    assert!(model.allows("timestamp", &timestamp(2, 1)), "unrooted: no root decides");
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[9])]));
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::KeyNotListed);
    model.roots.staged = Some(root(2, &[(Role::Timestamp, &[1])]));
    assert!(model.allows("timestamp", &timestamp(2, 1)), "the staged one lists it");
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1])]));
    model.roots.staged = Some(root(2, &[(Role::Timestamp, &[9])]));
    assert!(model.allows("timestamp", &timestamp(2, 1)), "the trusted one lists it");
    model.roots.trusted = None;
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::KeyNotListed, "a staged first root decides, too");
}

#[test]
fn being_listed_for_another_role_does_not_count() {
    let mut model = Model::with_first_versions();
    model.keys = vec![record(7, &[Role::Timestamp, Role::Snapshot], KeyState::Active)];
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[7]), (Role::Snapshot, &[9])]));
    assert!(model.allows("timestamp", &timestamp(2, 1)));
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("targets", 1)])), Reason::KeyNotListed);
}

#[test]
fn a_key_of_a_delegated_role_needs_no_root() {
    let mut model = rotating(&[11]);
    let limits = model.policy.roles[&Role::Targets].clone();
    model.policy.roles.insert("releases".parse().unwrap(), limits);
    model.add(21, "releases", KeyState::Active);
    model.seed("releases", &targets(1));
    model.guards.remove(&Role::Targets); // nor does the delegator stand here
    assert!(model.allows("releases", &targets(2)));
}

#[test]
fn without_any_root_require_root_refuses() {
    let mut model = Model::with_first_versions();
    model.policy.require_root = true;
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::NoRoot);
    model.roots.staged = Some(root(1, &[(Role::Timestamp, &[1])]));
    assert!(model.allows("timestamp", &timestamp(2, 1)));
}

#[test]
fn while_a_root_is_staged_one_request_signs_with_every_key_that_either_root_lists() {
    assert_eq!(signing(&rotating(&[1, 11]), &timestamp(2, 1)), [key_id(1), key_id(11)].into());
    assert_eq!(signing(&rotating(&[11]), &timestamp(2, 1)), [key_id(1), key_id(11)].into(), "1 is retiring");
}

#[test]
fn a_retiring_key_only_cosigns_what_a_listed_active_key_signs_in_the_same_request() {
    let model = rotating(&[11]);
    for text in [timestamp(2, 1), timestamp(1, 1)] {
        let denial = model.decide_one("timestamp", &text, 1).unwrap_err();
        assert_eq!(denial.reason, Reason::KeyState, "alone, it signs nothing, and repeats nothing");
    }
    let mut without = model.clone();
    without.put(11, KeyState::Pending);
    assert_eq!(without.refusal("timestamp", &timestamp(2, 1)), Reason::KeyState, "no active key");
    let mut unlisted = model.clone();
    unlisted.roots.staged = Some(root(2, &[(Role::Timestamp, &[9])]));
    let reasons = unlisted.refusal("timestamp", &timestamp(2, 1));
    assert!(matches!(reasons, Reason::KeyState | Reason::KeyNotListed), "the active key is listed nowhere: {reasons}");
}

#[test]
fn a_retiring_key_may_cosign_where_the_active_key_only_repeats() {
    let mut model = rotating(&[11]);
    let decision = model.decide_one("timestamp", &timestamp(2, 1), 11).unwrap();
    model.carry_out(decision);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let steps: Vec<_> = decision.judgement().keys.iter().map(|(key, step)| (*key, step.clone().unwrap())).collect();
    assert_eq!(steps, [(key_id(1), Step::Cosign), (key_id(11), Step::Replay)]);
}

/// The active key's token may fail after the law said yes: the retiring key's signature must not leave alone.
#[test]
fn a_retiring_keys_signature_is_withheld_when_no_active_key_signed() {
    let model = rotating(&[11]);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let mut only_retiring = [(key_id(1), signature(1))].into();
    let withheld = decision.withhold(&mut only_retiring);
    assert!(only_retiring.is_empty());
    assert_eq!(
        withheld.iter().map(|(key, denial)| (*key, denial.reason)).collect::<Vec<_>>(),
        [(key_id(1), Reason::KeyState)]
    );
    let mut both = [(key_id(1), signature(1)), (key_id(11), signature(11))].into();
    assert!(decision.withhold(&mut both).is_empty());
    assert_eq!(both.len(), 2);
    let mut only_active = [(key_id(11), signature(11))].into();
    assert!(decision.withhold(&mut only_active).is_empty());
    assert_eq!(only_active.len(), 1);
}

#[test]
fn a_retiring_keys_signature_leaves_beside_an_active_keys_replay() {
    let mut model = rotating(&[11]);
    let decision = model.decide_one("timestamp", &timestamp(2, 1), 11).unwrap();
    model.carry_out(decision);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let mut cosigned = [(key_id(1), signature(1))].into();
    assert!(decision.withhold(&mut cosigned).is_empty());
    assert_eq!(cosigned.len(), 1);
}

#[test]
fn a_first_release_by_one_of_two_keys_leaves_the_other_to_cosign() {
    let mut model = rotating(&[1, 11]);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let guard = decision.released([(key_id(11), signature(11))].into()).unwrap();
    model.guards.insert(Role::Timestamp, guard);
    assert_eq!(signing(&model, &timestamp(2, 1)), [key_id(1)].into());
}

#[test]
fn callers_that_take_one_signature_rotate_by_two_roots() {
    // {old, new}: either key alone satisfies both roots.
    let mut model = rotating(&[1, 11]);
    for number in [1, 11] {
        assert!(model.decide_one("timestamp", &timestamp(2, 1), number).is_ok(), "key {number} signs alone");
    }
    let decision = model.decide_one("timestamp", &timestamp(2, 1), 11).unwrap();
    model.carry_out(decision);
    model.roots.trusted = model.roots.staged.take();
    // {new}: the caller asks the new key alone, and what it signs satisfies both roots again.
    model.roots.staged = Some(root(3, &[(Role::Timestamp, &[11]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    model.put(1, KeyState::Retiring);
    let decision = model.decide_one("timestamp", &timestamp(3, 1), 11).unwrap();
    let signed = model.carry_out(decision);
    assert_eq!(signed, [key_id(11)].into());
    for root in model.roots.iter() {
        assert!(meets_threshold(root, &Role::Timestamp, &signed), "root {}", root.version);
    }
    assert_eq!(model.decide_one("timestamp", &timestamp(4, 1), 1).unwrap_err().reason, Reason::KeyState);
}

#[test]
fn keys_that_only_one_of_both_roots_lists_sign_both_while_a_root_is_staged() {
    let mut model = rotating(&[11]);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let signed = model.carry_out(decision);
    for root in model.roots.iter() {
        assert!(meets_threshold(root, &Role::Timestamp, &signed), "root {}", root.version);
    }
}
