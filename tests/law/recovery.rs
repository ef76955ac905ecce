//! Epochs: when one begins, what it lowers, and who signs in it. (`law.md` 2)

use std::collections::BTreeSet;

use sealward::domain::guard::Guard;
use sealward::domain::key::KeyState;
use sealward::domain::law::recover::{Recovered, Situation, after_rotation, by_operators};
use sealward::domain::law::roots::seed;
use sealward::domain::name::{Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};

use crate::delegations::delegating;
use crate::values::{
    CALLER, DAY, Model, NOW, expiring, key_id, repository, role, root, snapshot, statement, targets, timestamp, version,
};

/// Targets 1, snapshot 11 that lists it, timestamp 11 that lists snapshot 11: pushed forward as far as the law lets one.
fn pushed() -> Model {
    let mut model = Model::with_first_versions();
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1]), (Role::Snapshot, &[2]), (Role::Targets, &[3])]));
    model.release("snapshot", &snapshot(11, &[("extra", 9_000), ("targets", 1)]));
    model.release("timestamp", &timestamp(11, 11));
    model
}

/// As [`pushed`], and a published root gives the role to a new key instead.
fn rotated(name: &str, new: u8) -> Model {
    let mut model = pushed();
    model.add(new, name, KeyState::Active);
    let mut roles = model.roots.trusted.take().unwrap().roles;
    roles.insert(role(name), root(2, &[(role(name), &[new])]).roles[&role(name)].clone());
    model.roots.trusted = Some(sealward::domain::root::VerifiedRoot { roles, ..root(2, &[]) });
    let old = model.guard(name).head.as_ref().unwrap().signatures.keys().copied().collect::<BTreeSet<_>>();
    for key in old {
        let record = model.keys.iter_mut().find(|record| record.id() == key).unwrap();
        *record = record.with_state(KeyState::Retired, model.now);
    }
    model
}

fn recover_from(model: &Model, name: &str, goes_on_from: u64) -> Result<Recovered, Denial> {
    after_rotation(&Situation {
        guard: model.guard(name),
        keys: &model.keys,
        roots: &model.roots,
        lists_unreadable_keys: false,
        goes_on_from: sealward::domain::name::Version::new(goes_on_from),
        now: model.now,
    })
}

fn recover(model: &mut Model, name: &str, goes_on_from: u64) -> Guard {
    let Recovered { closed, begun } = recover_from(model, name, goes_on_from).unwrap();
    model.guards.insert(role(name), begun);
    closed
}

fn refused(model: &Model, name: &str) -> Denial {
    recover_from(model, name, 0).unwrap_err()
}

#[test]
fn a_published_root_that_lists_no_key_that_released_lets_a_new_epoch_begin() {
    let mut model = rotated("timestamp", 11);
    let before = model.guard("timestamp").clone();
    let closed = recover(&mut model, "timestamp", 1);
    assert_eq!((closed.name.epoch, closed.closed, closed.revision), (1, Some(NOW), before.revision + 1));
    assert_eq!(closed.head, before.head, "what was released stays written down");
    let begun = model.guard("timestamp");
    assert_eq!((begun.name.epoch, begun.head.as_ref(), begun.released.len()), (2, None, 0));
    assert_eq!(begun.rate, before.rate, "the release rate starts no new bucket");
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Rollback, "it goes on from 1");
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.guard("timestamp").goes_on_from, Some(version(1)));
}

#[test]
fn rotation_alone_begins_no_epoch() {
    let model = rotated("timestamp", 11);
    assert_eq!(model.guard("timestamp").name.epoch, 1);
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::Rollback);
    assert!(model.allows("timestamp", &timestamp(12, 11)));
}

#[test]
fn no_epoch_begins_while_a_root_lists_a_key_that_released_in_it() {
    let model = pushed();
    assert_eq!(refused(&model, "timestamp").reason, Reason::RecoveryNotAllowed);
    let mut model = rotated("timestamp", 11);
    // The new key cosigns what the old one released: now its signature carries the high version as well.
    model.put(1, KeyState::Active);
    model.roots.staged = Some(root(3, &[(Role::Timestamp, &[1, 11])]));
    model.release("timestamp", &timestamp(11, 11));
    let denial = refused(&model, "timestamp");
    assert!(denial.detail.contains(&key_id(11).to_string()), "{denial}");
}

#[test]
fn a_staged_root_is_not_a_published_one() {
    let mut model = pushed();
    model.add(11, "timestamp", KeyState::Active);
    model.roots.staged = Some(root(2, &[(Role::Timestamp, &[11])]));
    assert_eq!(refused(&model, "timestamp").reason, Reason::RecoveryNotAllowed);
    model.roots.trusted = None;
    assert_eq!(refused(&model, "timestamp").reason, Reason::NoRoot);
}

/// What another signer's key released, or one that we cannot read, nobody here can say.
#[test]
fn no_epoch_begins_under_a_key_that_is_not_on_record_or_not_readable() {
    let mut model = rotated("timestamp", 11);
    model.keys.retain(|record| record.id() != key_id(11));
    assert!(refused(&model, "timestamp").detail.contains("not known here"));
    let model = rotated("timestamp", 11);
    let denial = after_rotation(&Situation {
        guard: model.guard("timestamp"),
        keys: &model.keys,
        roots: &model.roots,
        lists_unreadable_keys: true,
        goes_on_from: None,
        now: NOW,
    });
    assert_eq!(denial.unwrap_err().reason, Reason::RecoveryNotAllowed);
}

/// Nobody here saw who signed it: every key that the root listed then may have.
#[test]
fn a_seeded_epoch_ends_only_when_no_key_is_listed_that_was_listed_when_it_was_seeded() {
    let mut model = rotated("timestamp", 11);
    let name = model.guard("timestamp").name.clone();
    let published = statement(&timestamp(5_000, 4_000));
    for (listed, allowed) in [(vec![90, 11], false), (vec![90, 91], true)] {
        let listed = listed.into_iter().map(key_id).collect();
        let guard = seed(&name, &published, None, &model.policy, listed, NOW, CALLER.to_owned()).unwrap();
        model.guards.insert(Role::Timestamp, guard);
        assert_eq!(recover_from(&model, "timestamp", 0).is_ok(), allowed);
    }
}

#[test]
fn no_root_decides_about_a_delegated_role_and_a_forked_repository_begins_nothing() {
    let mut model = rotated("timestamp", 11);
    model.seed("releases", &targets(4));
    assert!(refused(&model, "releases").detail.contains("delegated"));
    model.roots.fork = Some(Sha256Digest::of(b"another"));
    assert_eq!(refused(&model, "timestamp").reason, Reason::Latched);
}

/// The act itself is weighed where people are: `a_recovery_by_two_operators_waits_for_the_second_and_is_used_once`.
#[test]
fn two_operators_begin_an_epoch_whatever_roots_say_and_bar_its_keys_all_the_same() {
    let mut model = pushed();
    model.seed("releases", &targets(4));
    for name in ["timestamp", "releases"] {
        let situation = Situation {
            guard: model.guard(name),
            keys: &model.keys,
            roots: &model.roots,
            lists_unreadable_keys: true,
            goes_on_from: None,
            now: NOW,
        };
        let begun = by_operators(&situation).unwrap().begun;
        assert_eq!((begun.name.epoch, &begun.barred), (2, &model.guard(name).signers));
        let above = Situation { goes_on_from: Some(version(12)), ..situation };
        assert_eq!(by_operators(&above).unwrap_err().reason, Reason::RecoveryNotAllowed, "it only lowers");
    }
    let begun = recover_by_operators(&model);
    model.guards.insert(Role::Timestamp, begun);
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::EpochClosed, "new keys only");
    model.roots.fork = Some(Sha256Digest::of(b"another"));
    let situation = situation_of(&model);
    assert_eq!(by_operators(&situation).unwrap_err().reason, Reason::Latched);
}

fn situation_of(model: &Model) -> Situation<'_> {
    let (guard, keys, roots) = (model.guard("timestamp"), &model.keys, &model.roots);
    Situation { guard, keys, roots, lists_unreadable_keys: false, goes_on_from: None, now: NOW }
}

fn recover_by_operators(model: &Model) -> Guard {
    by_operators(&situation_of(model)).unwrap().begun
}

#[test]
fn a_recovery_only_lowers_and_needs_something_to_lower() {
    let mut model = rotated("timestamp", 11);
    assert_eq!(recover_from(&model, "timestamp", 12).unwrap_err().reason, Reason::RecoveryNotAllowed);
    recover(&mut model, "timestamp", 11);
    assert_eq!(refused(&model, "timestamp").reason, Reason::RecoveryNotAllowed, "epoch 2 released nothing yet");
}

#[test]
fn keys_of_an_earlier_epoch_never_sign_for_the_role_again() {
    let mut model = rotated("timestamp", 11);
    recover(&mut model, "timestamp", 0);
    model.put(1, KeyState::Active);
    model.roots.trusted = Some(root(3, &[(Role::Timestamp, &[1, 11])]));
    let one = model.decide_one("timestamp", &timestamp(2, 1), 1).unwrap_err();
    assert_eq!(one.reason, Reason::EpochClosed, "not even when a later root lists it");
    let both = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let steps: Vec<_> = both.judgement().keys.iter().map(|(key, step)| (*key, step.is_ok())).collect();
    assert_eq!(steps, [(key_id(1), false), (key_id(11), true)]);
    model.release("timestamp", &timestamp(2, 1));
    // And through a second recovery.
    model.add(12, "timestamp", KeyState::Active);
    model.roots.trusted = Some(root(4, &[(Role::Timestamp, &[12])]));
    recover(&mut model, "timestamp", 0);
    for key in [1, 11] {
        model.put(key, KeyState::Active);
        model.roots.trusted = Some(root(5, &[(Role::Timestamp, &[1, 11, 12])]));
        assert_eq!(model.decide_one("timestamp", &timestamp(2, 1), key).unwrap_err().reason, Reason::EpochClosed);
    }
    assert_eq!(model.guard("timestamp").name.epoch, 3);
}

#[test]
fn timestamp_keys_lower_the_timestamps_version_and_the_snapshot_version_that_it_lists() {
    let mut model = rotated("timestamp", 11);
    recover(&mut model, "timestamp", 0);
    assert!(model.allows("timestamp", &timestamp(1, 1)), "snapshot 1 was released here, too");
    assert_eq!(model.refusal("snapshot", &snapshot(10, &[("extra", 9_000), ("targets", 1)])), Reason::Rollback);
}

#[test]
fn snapshot_keys_lower_what_a_snapshot_lists_and_its_own_version_only_with_the_timestamp() {
    let mut model = rotated("snapshot", 12);
    recover(&mut model, "snapshot", 1);
    model.release("snapshot", &snapshot(2, &[("extra", 3), ("targets", 1)]));
    assert_eq!(
        model.refusal("timestamp", &timestamp(12, 2)),
        Reason::ListedRollback,
        "timestamp keys were not rotated"
    );
    // Its entry may also be gone: clients of the new root hold no older snapshot.
    let mut model = rotated("snapshot", 12);
    recover(&mut model, "snapshot", 11);
    model.release("snapshot", &snapshot(12, &[("targets", 1)]));
    model.release("timestamp", &timestamp(12, 12));
}

#[test]
fn a_new_epoch_is_held_to_the_same_steps_as_any_other() {
    let mut model = rotated("timestamp", 11);
    recover(&mut model, "timestamp", 1);
    assert_eq!(model.refusal("timestamp", &timestamp(12, 1)), Reason::VersionStep);
    assert_eq!(model.refusal("timestamp", &timestamp(2, 12)), Reason::ListedUnreleased);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Rollback);
    assert_eq!(
        model.refusal("timestamp", &expiring(&timestamp(2, 1), NOW.plus_seconds(DAY + 1))),
        Reason::Equivocation
    );
}

#[test]
fn what_an_earlier_epoch_listed_is_not_superseded() {
    let mut model = rotated("timestamp", 11);
    model.limits("snapshot").max_supersedes = 1;
    recover(&mut model, "timestamp", 0);
    let other = expiring(&snapshot(11, &[("extra", 9_000), ("targets", 1)]), NOW.plus_seconds(DAY + 1));
    assert_eq!(model.refusal("snapshot", &other), Reason::Equivocation, "timestamp 11 of epoch 1 listed it");
}

#[test]
fn a_recovered_epoch_is_not_seeded() {
    let mut model = rotated("timestamp", 11);
    recover(&mut model, "timestamp", 0);
    let guard = model.guard("timestamp");
    let listed = [key_id(11)].into();
    let again = seed(&guard.name, &statement(&timestamp(3, 1)), Some(guard), &model.policy, listed, NOW, CALLER.into());
    assert_eq!(again.unwrap_err().reason, Reason::AlreadySeeded);
    assert_eq!(guard.name.repository, repository());
}

/// Targets 2 delegate to key 21; key 22 is another one of the same role. Then targets begin a new epoch, with key 13.
fn with_recovered_targets() -> Model {
    let mut model = Model::with_first_versions();
    let limits = model.policy.roles[&Role::Targets].clone();
    model.policy.roles.insert(role("releases"), limits);
    model.seed("releases", &targets(4));
    for number in [21, 22] {
        model.add(number, "releases", KeyState::Active);
    }
    model.release("targets", &delegating(2, &[("releases", 1, &[21], "releases/*")]));
    model.add(13, "targets", KeyState::Active);
    let situation = Situation { guard: model.guard("targets"), goes_on_from: Some(version(1)), ..situation_of(&model) };
    let begun = by_operators(&situation).unwrap().begun;
    model.guards.insert(Role::Targets, begun);
    model
}

#[test]
fn what_targets_delegated_holds_after_their_recovery_until_they_release_again() {
    let mut model = with_recovered_targets();
    let signs = |model: &Model, key| model.decide_one("releases", &targets(5), key).map(drop).map_err(|no| no.reason);
    assert_eq!(signs(&model, 21), Ok(()), "a delegated role goes on");
    assert_eq!(signs(&model, 22), Err(Reason::KeyNotListed), "and nobody takes it over");
    model.add(31, "elsewhere", KeyState::Active);
    let limits = model.policy.roles[&Role::Targets].clone();
    model.policy.roles.insert(role("elsewhere"), limits);
    model.seed("elsewhere", &targets(1));
    let unnamed = model.decide_one("elsewhere", &targets(2), 31).unwrap_err();
    assert_eq!(unnamed.reason, Reason::KeyNotListed, "nobody delegated to it");
    model.release("targets", &delegating(2, &[("releases", 1, &[22], "releases/*")]));
    assert_eq!((signs(&model, 21), signs(&model, 22)), (Err(Reason::KeyNotListed), Ok(())), "the new head decides");
    assert_eq!(model.guard("targets").delegated_before, None);
}

#[test]
fn keeping_the_delegations_of_a_closed_epoch_is_no_change_of_them() {
    let mut model = with_recovered_targets();
    model.may_delegate = false;
    assert!(model.allows("targets", &delegating(2, &[("releases", 1, &[21], "releases/*")])));
    let taken = delegating(2, &[("releases", 1, &[22], "releases/*")]);
    assert_eq!(model.refusal("targets", &taken), Reason::NoDelegateGrant);
    assert_eq!(model.refusal("targets", &targets(2)), Reason::NoDelegateGrant, "their end is a change");
}

#[test]
fn a_second_recovery_keeps_what_the_epoch_in_between_delegated() {
    let mut model = with_recovered_targets();
    model.release("targets", &targets(2));
    let situation = Situation { guard: model.guard("targets"), ..situation_of(&model) };
    let begun = by_operators(&situation).unwrap().begun;
    model.guards.insert(Role::Targets, begun);
    assert_eq!(model.decide_one("releases", &targets(5), 21).unwrap_err().reason, Reason::KeyNotListed);
}

/// The ledger shows the newest epoch of each role; one that lost a row shows an older one.
#[test]
fn a_closed_epoch_signs_nothing_should_the_one_after_it_be_missing() {
    let mut model = rotated("timestamp", 11);
    let closed = recover(&mut model, "timestamp", 1);
    model.guards.insert(Role::Timestamp, closed);
    assert_eq!(model.refusal("timestamp", &timestamp(12, 11)), Reason::EpochClosed);
    assert_eq!(model.refusal("timestamp", &timestamp(11, 11)), Reason::EpochClosed, "nor cosigns it");
}
