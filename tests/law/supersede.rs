//! Another payload of a released version. (`law.md` 2, burnt versions)

use sealward::domain::guard::Step;
use sealward::domain::outcome::Reason;

use crate::values::{DAY, Model, NOW, expiring, key_id, role, snapshot, targets, timestamp, version};

/// The same version with other bytes.
fn other(text: &str, variant: i64) -> String {
    expiring(text, NOW.plus_seconds(DAY + variant))
}

/// First versions released, and every role may supersede twice.
fn lenient() -> Model {
    let mut model = Model::with_first_versions();
    for name in ["timestamp", "snapshot", "targets"] {
        model.limits(name).max_supersedes = 2;
    }
    model
}

#[test]
fn no_role_supersedes_unless_its_policy_says_so() {
    let mut model = Model::with_first_versions();
    model.release("targets", &targets(2));
    model.release("timestamp", &timestamp(2, 1));
    for (name, text) in [("targets", targets(2)), ("timestamp", timestamp(2, 1))] {
        assert_eq!(model.refusal(name, &other(&text, 1)), Reason::Equivocation);
    }
}

#[test]
fn a_version_is_superseded_as_often_as_the_policy_says_and_the_next_version_as_often_again() {
    let mut model = lenient();
    for number in [2, 3] {
        model.release("timestamp", &timestamp(number, 1));
        for variant in [1, 2] {
            let decision = model.decide("timestamp", &other(&timestamp(number, 1), variant)).unwrap();
            assert_eq!(decision.judgement().keys, [(key_id(1), Ok(Step::Supersede))]);
            model.carry_out(decision);
        }
        let denial = model.denial("timestamp", &other(&timestamp(number, 1), 3));
        assert_eq!(denial.reason, Reason::Equivocation);
        assert!(denial.detail.contains("of 2 supersedes of this version 2 were made"), "{denial}");
        // Not even what was released first, which clients may hold.
        assert_eq!(model.refusal("timestamp", &timestamp(number, 1)), Reason::Equivocation);
    }
    model.limits("timestamp").max_supersedes = 3;
    assert!(model.allows("timestamp", &timestamp(3, 1)), "the count is the version's, the bound the policy's");
}

#[test]
fn what_superseded_is_the_head_for_replay_cosign_and_whatever_lists_it() {
    let mut model = lenient();
    model.add(12, "snapshot", sealward::domain::key::KeyState::Active);
    model.release("snapshot", &snapshot(2, &[("targets", 1)]));
    let second = other(&snapshot(2, &[("targets", 1)]), 1);
    let mut one = model.decide_one("snapshot", &second, 2).unwrap();
    assert_eq!(one.take_permits().len(), 1);
    model.carry_out(model.decide_one("snapshot", &second, 2).unwrap());
    let head = model.guard("snapshot").head.clone().unwrap();
    assert_eq!(head.signatures.keys().copied().collect::<Vec<_>>(), [key_id(2)], "the earlier payload's are gone");
    assert_eq!(model.guard("snapshot").released[&version(2)], head.digest);
    let keys = model.decide("snapshot", &second).unwrap().judgement().keys.clone();
    assert_eq!(keys, [(key_id(2), Ok(Step::Replay)), (key_id(12), Ok(Step::Cosign))]);
    assert!(model.allows("timestamp", &timestamp(2, 2)), "the version is released");
}

#[test]
fn a_supersede_is_held_against_the_listing_before_the_superseded_head() {
    let mut model = lenient();
    model.release("targets", &targets(2));
    model.release("targets", &targets(3));
    model.release("snapshot", &snapshot(2, &[("targets", 2)]));
    model.release("snapshot", &snapshot(3, &[("extra", 1), ("targets", 3)]));
    let take = |listed| snapshot(3, &[("targets", listed)]);
    assert_eq!(model.refusal("snapshot", &take(1)), Reason::ListedRollback, "below what snapshot 2 listed");
    assert_eq!(model.refusal("snapshot", &take(4)), Reason::ListedUnreleased);
    assert!(model.allows("snapshot", &take(2)), "what only the superseded head listed may fall, and disappear");
    model.release("snapshot", &take(2));
    model.release("targets", &targets(4));
    assert_eq!(model.refusal("snapshot", &snapshot(4, &[("targets", 1)])), Reason::ListedRollback);
    assert!(model.allows("snapshot", &snapshot(4, &[("targets", 2)])));
}

#[test]
fn a_listed_version_that_steps_is_bounded_from_before_the_superseded_head() {
    let mut model = lenient();
    model.seed("snapshot", &snapshot(50, &[("targets", 1)]));
    model.seed("timestamp", &timestamp(7, 50));
    for number in 51..=61 {
        model.release("snapshot", &snapshot(number, &[("targets", 1)]));
    }
    model.release("timestamp", &timestamp(8, 60));
    assert_eq!(model.refusal("timestamp", &timestamp(8, 61)), Reason::ListedStep, "11 above 50, and not 1 above 60");
    assert!(model.allows("timestamp", &timestamp(8, 59)));
}

#[test]
fn once_the_listing_role_released_a_payload_with_the_version_in_it_nothing_supersedes_it() {
    let mut model = lenient();
    model.release("targets", &targets(2));
    model.release("snapshot", &snapshot(2, &[("targets", 2)]));
    let denial = model.denial("targets", &other(&targets(2), 1));
    assert!(denial.reason == Reason::Equivocation && denial.detail.contains("snapshot released"), "{denial}");
    assert!(model.allows("snapshot", &other(&snapshot(2, &[("targets", 2)]), 1)), "no timestamp lists snapshot 2 yet");
    model.release("timestamp", &timestamp(2, 2));
    assert_eq!(model.refusal("snapshot", &other(&snapshot(2, &[("targets", 2)]), 1)), Reason::Equivocation);
    assert!(model.allows("timestamp", &other(&timestamp(2, 2), 1)), "nobody lists a timestamp");
}

/// What a superseded head listed was out, although no head says so any more.
#[test]
fn a_listing_that_was_superseded_still_protects_what_it_listed() {
    let mut model = lenient();
    model.release("snapshot", &snapshot(2, &[("targets", 1)]));
    model.release("timestamp", &timestamp(2, 2));
    model.release("timestamp", &timestamp(2, 1));
    let second = other(&snapshot(2, &[("targets", 1)]), 1);
    assert_eq!(model.refusal("snapshot", &second), Reason::Equivocation);
    model.release("timestamp", &timestamp(3, 1));
    assert_eq!(model.refusal("snapshot", &second), Reason::Equivocation, "not forgotten with the next version");
    model.release("snapshot", &snapshot(3, &[("targets", 1)]));
    assert!(model.allows("snapshot", &other(&snapshot(3, &[("targets", 1)]), 1)), "this one nobody listed");
    model.release("timestamp", &timestamp(4, 3));
    assert!(model.guard("timestamp").withdrawn.is_empty(), "the head says it now");
}

/// After a recovery the highest withdrawn version is one of the epoch before, and stands above what this one listed.
#[test]
fn what_was_listed_below_the_highest_withdrawn_version_is_protected_as_well() {
    let mut model = lenient();
    model.guards.get_mut(&role("timestamp")).unwrap().withdrawn = [("snapshot.json".to_owned(), version(11))].into();
    model.release("snapshot", &snapshot(2, &[("targets", 1)]));
    model.release("timestamp", &timestamp(2, 2));
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.guard("timestamp").withdrawn["snapshot.json"], version(11));
    assert_eq!(model.refusal("snapshot", &other(&snapshot(2, &[("targets", 1)]), 1)), Reason::Equivocation);
}

#[test]
fn published_metadata_that_a_guard_was_seeded_with_is_never_superseded() {
    let mut model = lenient();
    model.seed("timestamp", &timestamp(40, 1));
    let denial = model.denial("timestamp", &other(&timestamp(40, 1), 1));
    assert!(denial.reason == Reason::Equivocation && denial.detail.contains("published"), "{denial}");
    model.release("timestamp", &timestamp(40, 1));
    assert_eq!(model.refusal("timestamp", &other(&timestamp(40, 1), 1)), Reason::Equivocation, "nor once cosigned");
    model.release("timestamp", &timestamp(41, 1));
    assert!(model.allows("timestamp", &other(&timestamp(41, 1), 1)));
}

#[test]
fn nothing_is_superseded_where_what_the_listing_role_released_is_unknown() {
    let mut model = lenient();
    model.release("targets", &targets(2));
    model.guards.remove(&role("snapshot"));
    let denial = model.denial("targets", &other(&targets(2), 1));
    assert!(denial.reason == Reason::Equivocation && denial.detail.contains("not known here"), "{denial}");
}

#[test]
fn a_supersede_counts_against_the_release_rate() {
    let mut model = lenient();
    model.limits("timestamp").release_rate = sealward::domain::policy::ReleaseRate { per_hour: 1, burst: 2 };
    model.guards.get_mut(&role("timestamp")).unwrap().rate = None;
    model.release("timestamp", &timestamp(2, 1));
    model.release("timestamp", &other(&timestamp(2, 1), 1));
    assert_eq!(model.refusal("timestamp", &other(&timestamp(2, 1), 2)), Reason::RateLimited);
    assert!(model.allows("timestamp", &other(&timestamp(2, 1), 1)), "a replay costs nothing");
}

#[test]
fn a_retiring_key_alone_supersedes_nothing() {
    let mut model = lenient();
    model.release("timestamp", &timestamp(2, 1));
    model.put(1, sealward::domain::key::KeyState::Retiring);
    assert_eq!(model.refusal("timestamp", &other(&timestamp(2, 1), 1)), Reason::KeyState);
}
