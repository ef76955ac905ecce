//! `law.md` section 3, item 3: versions, and the versions that a payload lists.

use sealward::domain::name::Role;
use sealward::domain::outcome::Reason;

use crate::values::{Model, role, snapshot, targets, timestamp};

/// Snapshot 1 lists targets 100 and `releases` 100, neither of which is signed here.
fn lister() -> Model {
    let mut model = Model::new();
    model.guards.remove(&Role::Targets);
    model.seed("snapshot", &snapshot(1, &[("releases", 100), ("targets", 100)]));
    model
}

#[test]
fn a_version_advances_by_max_version_step_at_most() {
    let mut model = Model::with_first_versions();
    assert!(model.allows("timestamp", &timestamp(11, 1)), "10 more than 1");
    assert_eq!(model.refusal("timestamp", &timestamp(12, 1)), Reason::VersionStep);
    model.limits("timestamp").max_version_step = 1;
    assert!(model.allows("timestamp", &timestamp(2, 1)));
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::VersionStep);
    assert_eq!(model.refusal("timestamp", &timestamp((1 << 53) - 1, 1)), Reason::VersionStep);
}

#[test]
fn a_first_version_is_bounded_as_an_advance_from_0() {
    let mut model = Model::new();
    assert!(model.allows("targets", &targets(10)));
    assert_eq!(model.refusal("targets", &targets(11)), Reason::VersionStep);
    model.release("targets", &targets(3));
    assert_eq!(model.refusal("targets", &targets(14)), Reason::VersionStep);
}

#[test]
fn a_listed_version_advances_by_max_version_step_at_most() {
    let model = lister();
    assert!(model.allows("snapshot", &snapshot(2, &[("releases", 110), ("targets", 100)])));
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("releases", 111), ("targets", 100)])), Reason::ListedStep);
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("releases", 100), ("targets", 111)])), Reason::ListedStep);
    let mut model = Model::new();
    model.guards.remove(&Role::Snapshot);
    model.seed("timestamp", &timestamp(1, 100));
    assert!(model.allows("timestamp", &timestamp(2, 110)));
    assert_eq!(model.refusal("timestamp", &timestamp(2, 111)), Reason::ListedStep);
}

#[test]
fn a_listed_version_never_goes_down() {
    let model = lister();
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("releases", 99), ("targets", 100)])), Reason::ListedRollback);
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("releases", 100), ("targets", 1)])), Reason::ListedRollback);
    assert!(model.allows("snapshot", &snapshot(2, &[("releases", 100), ("targets", 100)])), "it may stay");
    let mut model = Model::new();
    model.guards.remove(&Role::Snapshot);
    model.seed("timestamp", &timestamp(1, 100));
    assert_eq!(model.refusal("timestamp", &timestamp(2, 99)), Reason::ListedRollback);
}

#[test]
fn no_entry_disappears() {
    let mut model = lister();
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("targets", 100)])), Reason::EntryRemoved);
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("other", 1), ("targets", 100)])), Reason::EntryRemoved);
    model.release("snapshot", &snapshot(2, &[("new", 1), ("releases", 100), ("targets", 100)]));
    assert_eq!(model.refusal("snapshot", &snapshot(3, &[("releases", 100), ("targets", 100)])), Reason::EntryRemoved);
}

#[test]
fn a_first_seen_entry_is_bounded_by_a_setting_of_its_own() {
    let mut model = lister();
    let with_new = |listed| snapshot(2, &[("new", listed), ("releases", 100), ("targets", 100)]);
    assert!(model.allows("snapshot", &with_new(10_000)), "max_version_step does not apply to it");
    assert_eq!(model.refusal("snapshot", &with_new(10_001)), Reason::ListedStep);
    model.limits("snapshot").first_listed_max = 5;
    assert!(model.allows("snapshot", &with_new(5)));
    assert_eq!(model.refusal("snapshot", &with_new(6)), Reason::ListedStep);
}

#[test]
fn the_first_listing_of_a_new_repository_is_first_seen() {
    let mut model = Model::new();
    model.guards.remove(&Role::Targets);
    assert!(model.allows("snapshot", &snapshot(1, &[("targets", 10_000)])));
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("targets", 10_001)])), Reason::ListedStep);
}

#[test]
fn a_listed_version_of_a_role_held_here_is_its_seeded_head_or_a_released_one() {
    let mut model = Model::new();
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("targets", 1)])), Reason::ListedUnreleased, "seeded as 0");
    model.seed("targets", &targets(500));
    assert!(model.allows("snapshot", &snapshot(1, &[("targets", 500)])), "the seeded head");
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("targets", 499)])), Reason::ListedUnreleased);
    model.release("targets", &targets(503));
    assert!(model.allows("snapshot", &snapshot(1, &[("targets", 503)])));
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("targets", 502)])), Reason::ListedUnreleased, "skipped");
    assert_eq!(model.refusal("snapshot", &snapshot(1, &[("targets", 504)])), Reason::ListedUnreleased, "not yet");
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::ListedUnreleased);
    model.release("snapshot", &snapshot(1, &[("targets", 503)]));
    assert!(model.allows("timestamp", &timestamp(1, 1)));
}

#[test]
fn a_listed_role_that_is_not_held_here_is_bounded_by_the_listing_alone() {
    let model = lister();
    assert!(!model.guards.contains_key(&role("releases")));
    assert!(model.allows("snapshot", &snapshot(2, &[("releases", 109), ("targets", 103)])));
}

#[test]
fn the_listing_rules_hold_for_an_advance_and_not_for_the_head_again() {
    let mut model = Model::with_first_versions();
    model.limits("timestamp").max_version_step = 0;
    model.limits("timestamp").first_listed_max = 0;
    model.guards.get_mut(&Role::Snapshot).unwrap().released.clear();
    assert!(model.allows("timestamp", &timestamp(1, 1)), "it is released; only its signature is asked for");
}

#[test]
fn versions_near_the_end_neither_overflow_nor_slip_through() {
    let last = (1 << 53) - 1;
    let mut model = Model::new();
    model.guards.remove(&Role::Snapshot);
    model.limits("timestamp").max_version_step = u64::MAX;
    model.limits("timestamp").first_listed_max = u64::MAX;
    model.release("timestamp", &timestamp(1, 1));
    model.release("timestamp", &timestamp(last, last));
    assert_eq!(model.refusal("timestamp", &timestamp(last - 1, last)), Reason::Rollback);
    assert_eq!(model.refusal("timestamp", &timestamp(last, 1)), Reason::Equivocation);
}
