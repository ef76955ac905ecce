//! `law.md` section 2: steps, which keys, order.

use std::collections::{BTreeMap, BTreeSet};

use sealward::domain::algorithm::Algorithm;
use sealward::domain::guard::Step;
use sealward::domain::key::KeyState;
use sealward::domain::law::sign::{Keys, judge, meets_threshold};
use sealward::domain::name::{Role, Version};
use sealward::domain::outcome::Reason;
use sealward::domain::signature::{Encoding, Signature};

use crate::values::{
    CALLER, DAY, Model, NOW, expiring, key_id, metadata, record, repository, role, root, signature, snapshot,
    statement, targets, timestamp,
};

/// The step of each key that is asked, or the rule that refuses it.
fn steps(model: &Model, name: &str, text: &str) -> BTreeMap<u8, Result<Step, Reason>> {
    let decision = model.decide(name, text).unwrap();
    let number = |key| (1..=50).find(|number| key_id(*number) == key).expect("a key of ours");
    let step = |(key, step): &(_, Result<Step, _>)| {
        (number(*key), step.clone().map_err(|denial: sealward::domain::outcome::Denial| denial.reason))
    };
    decision.judgement().keys.iter().map(step).collect()
}

#[test]
fn advance_is_a_version_above_the_head() {
    let mut model = Model::with_first_versions();
    let before = model.guard("timestamp").clone();
    let payload = timestamp(2, 1);
    assert_eq!(steps(&model, "timestamp", &payload), [(1, Ok(Step::Advance))].into());
    model.release("timestamp", &payload);
    let guard = model.guard("timestamp");
    let head = guard.head.as_ref().unwrap();
    assert_eq!((head.version.get(), head.digest), (2, statement(&payload).digest()));
    assert_eq!((head.released, head.by.as_str()), (NOW, CALLER));
    assert_eq!(head.signatures.keys().copied().collect::<Vec<_>>(), [key_id(1)]);
    assert_eq!(guard.previous_listing, before.head.unwrap().listing);
    assert_eq!(guard.revision, before.revision + 1);
}

#[test]
fn cosign_is_the_head_again_by_a_key_that_has_not_released_it() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    let before = model.guard("timestamp").clone();
    assert_eq!(steps(&model, "timestamp", &timestamp(1, 1)), [(1, Ok(Step::Replay)), (11, Ok(Step::Cosign))].into());
    assert_eq!(model.release("timestamp", &timestamp(1, 1)), [key_id(11)].into(), "mixed cosign and replay are legal");
    let guard = model.guard("timestamp");
    let head = guard.head.as_ref().unwrap();
    assert_eq!(head.signatures.keys().copied().collect::<BTreeSet<_>>(), [key_id(1), key_id(11)].into());
    assert_eq!(head.signatures[&key_id(1)], before.head.unwrap().signatures[&key_id(1)], "the first stays as it was");
    assert_eq!((guard.revision, guard.rate), (before.revision + 1, before.rate));
}

#[test]
fn replay_is_the_stored_signature_again_and_never_a_new_one() {
    let model = Model::with_first_versions();
    let mut decision = model.decide("timestamp", &timestamp(1, 1)).unwrap();
    assert!(decision.take_permits().is_empty(), "nothing is signed again");
    let stored = &model.guard("timestamp").head.as_ref().unwrap().signatures;
    assert_eq!(decision.replays(), stored);
    assert_eq!(decision.released(BTreeMap::new()), None, "nothing changes");
}

#[test]
fn a_replay_is_transcoded_between_der_and_raw() {
    let fixed: Vec<u8> = (0..64).collect();
    let stored = Signature::from_fixed(Algorithm::EcdsaP256, fixed.clone()).unwrap();
    let der = stored.encode(Encoding::Der);
    assert_ne!(der, fixed);
    assert_eq!(Signature::from_der(Algorithm::EcdsaP256, &der).unwrap(), stored);
    assert_eq!(stored.encode(Encoding::Raw), fixed);
}

#[test]
fn older_than_the_head_is_rollback_even_if_once_released() {
    let mut model = Model::with_first_versions();
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Rollback);
    model.release("timestamp", &timestamp(5, 1));
    assert_eq!(model.refusal("timestamp", &timestamp(4, 1)), Reason::Rollback, "nor what was skipped");
}

#[test]
fn an_equivocation_denial_says_when_and_for_whom_the_version_was_released() {
    let model = Model::with_first_versions();
    let denial = model.denial("timestamp", &expiring(&timestamp(1, 1), NOW.plus_seconds(3600)));
    assert_eq!(denial.reason, Reason::Equivocation);
    assert!(denial.detail.contains(&NOW.to_string()), "{denial}");
    assert!(denial.detail.contains(CALLER), "{denial}");
}

#[test]
fn keys_are_not_part_of_a_guards_name_and_rotation_inherits_it() {
    let mut model = Model::with_first_versions();
    model.release("timestamp", &timestamp(9, 1));
    model.put(1, KeyState::Retired);
    model.add(11, "timestamp", KeyState::Active);
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Rollback);
    assert_eq!(model.refusal("timestamp", &expiring(&timestamp(9, 1), NOW.plus_seconds(5))), Reason::Equivocation);
    assert_eq!(steps(&model, "timestamp", &timestamp(9, 1)), [(11, Ok(Step::Cosign))].into());
}

#[test]
fn a_cosign_costs_no_release_and_an_advance_does() {
    let mut model = Model::with_first_versions();
    model.limits("timestamp").release_rate.burst = 1;
    model.limits("timestamp").release_rate.per_hour = 1;
    model.release("timestamp", &timestamp(2, 1));
    model.add(11, "timestamp", KeyState::Active);
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::RateLimited);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(model.guard("timestamp").head.as_ref().unwrap().signatures.len(), 2);
}

#[test]
fn replay_runs_the_whole_law_except_the_step() {
    let model = Model::with_first_versions();
    let again = timestamp(1, 1);
    let refused = |change: &dyn Fn(&mut Model)| {
        let mut model = model.clone();
        change(&mut model);
        model.refusal("timestamp", &again)
    };
    assert!(model.allows("timestamp", &again));
    assert_eq!(refused(&|model| model.put(1, KeyState::Retired)), Reason::NoKeyForRole);
    assert_eq!(refused(&|model| model.now = NOW.plus_seconds(DAY)), Reason::Expired);
    assert_eq!(refused(&|model| model.limits("timestamp").max_expiry_seconds = DAY - 1), Reason::ExpiryTooFar);
    assert_eq!(refused(&|model| model.limits("timestamp").max_payload_bytes = 10), Reason::PayloadTooLarge);
    assert_eq!(
        refused(&|model| model.limits("timestamp").custody = sealward::domain::policy::Custody::Offline),
        Reason::OfflineRole
    );
    assert_eq!(refused(&|model| model.policy.require_root = true), Reason::NoRoot);
    assert_eq!(refused(&|model| model.policy.require_snapshot_bytes = true), Reason::SnapshotBytesRequired);
    assert_eq!(refused(&|model| model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[9])]))), Reason::KeyNotListed);
    assert_eq!(refused(&|model| model.roots.fork = Some(statement(&again).digest())), Reason::Latched);
}

#[test]
fn a_request_for_a_role_is_one_decision_with_a_permit_for_every_eligible_key() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    model.add(12, "timestamp", KeyState::Active);
    let mut decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let permits = decision.take_permits();
    assert_eq!(permits.iter().map(|permit| permit.key()).collect::<BTreeSet<_>>(), [1, 11, 12].map(key_id).into());
    let guards: BTreeSet<_> = permits.iter().map(|permit| permit.guard().cloned()).collect();
    assert_eq!(guards.len(), 1, "all rest on one head");
    assert!(decision.take_permits().is_empty(), "permits are taken once");
}

#[test]
fn it_succeeds_when_at_least_one_key_may_and_tells_the_others_refusals() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1])]));
    let found = steps(&model, "timestamp", &timestamp(2, 1));
    assert_eq!(found, [(1, Ok(Step::Advance)), (11, Err(Reason::KeyNotListed))].into());
    assert_eq!(model.release("timestamp", &timestamp(2, 1)), [key_id(1)].into());
}

#[test]
fn a_named_key_signs_alone() {
    let mut model = Model::with_first_versions();
    model.add(11, "timestamp", KeyState::Active);
    let decision = model.decide_one("timestamp", &timestamp(2, 1), 11).unwrap();
    assert_eq!(model.carry_out(decision), [key_id(11)].into());
    assert_eq!(steps(&model, "timestamp", &timestamp(2, 1)), [(1, Ok(Step::Cosign)), (11, Ok(Step::Replay))].into());
}

#[test]
fn a_role_without_any_key_says_so() {
    let mut model = Model::with_first_versions();
    model.keys.retain(|key| !key.roles.contains(&Role::Timestamp));
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::NoKeyForRole);
}

#[test]
fn a_threshold_is_met_by_distinct_listed_keys_that_signed_the_head() {
    let mut trusted = root(1, &[(Role::Timestamp, &[1, 2, 3])]);
    trusted.roles.get_mut(&Role::Timestamp).unwrap().threshold = 2;
    let met = |keys: &[u8]| meets_threshold(&trusted, &Role::Timestamp, &keys.iter().map(|key| key_id(*key)).collect());
    assert!(!met(&[]));
    assert!(!met(&[1]));
    assert!(!met(&[1, 9]), "a key that is not listed does not count");
    assert!(met(&[1, 3]));
    assert!(met(&[1, 2, 3]));
    assert!(!meets_threshold(&trusted, &Role::Snapshot, &[key_id(1)].into()), "a role that the root does not have");
}

#[test]
fn judging_without_a_permit_says_the_same_as_deciding() {
    let model = Model::with_first_versions();
    for (name, text) in
        [("timestamp", timestamp(2, 1)), ("timestamp", timestamp(1, 1)), ("snapshot", snapshot(2, &[("targets", 1)]))]
    {
        let (repository, role, read) = (repository(), role(name), statement(&text));
        let judged = judge(&sealward::domain::law::sign::Situation {
            repository: &repository,
            role: &role,
            policy: &model.policy,
            statement: &read,
            keys: Keys::OfRole(&model.keys),
            guards: &model.guards,
            roots: &model.roots,
            attached_snapshot: None,
            may_delegate: true,
            now: model.now,
            caller: CALLER,
            frozen: sealward::domain::freeze::Frozen::NOTHING,
            attendance: sealward::domain::law::attended::Attendance {
                pending: &model.pending,
                grants: &model.grants,
                caller: &model.caller,
            },
        });
        assert_eq!(&judged.unwrap().0, model.decide(name, &text).unwrap().judgement());
    }
}

#[test]
fn an_earlier_items_tentative_head_counts_as_released_for_later_items() {
    let mut model = Model::with_first_versions();
    let lists_the_next = snapshot(2, &[("targets", 2)]);
    assert_eq!(model.refusal("snapshot", &lists_the_next), Reason::ListedUnreleased);
    let tentative = model.decide("targets", &targets(2)).unwrap().released(BTreeMap::new()).unwrap();
    model.guards.insert(Role::Targets, tentative);
    assert!(model.allows("snapshot", &lists_the_next));
}

#[test]
fn released_pairs_are_kept_back_to_the_lowest_version_that_another_guard_still_lists() {
    let mut model = Model::with_first_versions();
    for number in 2..=6 {
        model.release("targets", &targets(number));
    }
    let kept = |model: &Model| model.guard("targets").released.keys().map(|version| version.get()).collect::<Vec<_>>();
    assert_eq!(kept(&model), [1, 2, 3, 4, 5, 6], "snapshot 1 lists targets 1");
    for listed in [1, 4] {
        assert!(model.allows("snapshot", &snapshot(2, &[("targets", listed)])), "{listed}");
    }
    model.release("snapshot", &snapshot(2, &[("targets", 4)]));
    model.release("snapshot", &snapshot(3, &[("targets", 5)]));
    model.release("targets", &targets(7));
    assert_eq!(kept(&model), [4, 5, 6, 7], "the head lists targets 5, the listing before it targets 4");
    for listed in 5..=7 {
        assert!(model.allows("snapshot", &snapshot(4, &[("targets", listed)])), "{listed}");
    }
}

/// Snapshots that nobody lists yet: what a timestamp of a later day may name must still be known.
#[test]
fn nothing_is_forgotten_while_the_listing_role_has_released_nothing() {
    let mut model = Model::new();
    for number in 1..=10 {
        model.release("targets", &targets(number));
    }
    assert_eq!(model.guard("targets").released.len(), 10);
    assert!(model.allows("snapshot", &snapshot(1, &[("targets", 1)])));
}

#[test]
fn a_delegated_role_has_a_guard_and_a_key_of_its_own() {
    let mut model = Model::with_first_versions();
    let releases = role("releases");
    let limits = model.policy.roles[&Role::Targets].clone();
    model.policy.roles.insert(releases.clone(), limits);
    assert_eq!(model.refusal("releases", &targets(1)), Reason::Unseeded);
    model.seed("releases", &metadata("targets", 4, NOW.plus_seconds(DAY), ""));
    assert_eq!(model.refusal("releases", &targets(5)), Reason::NoKeyForRole, "the key of targets is not bound to it");
    model.keys.push(record(21, &[releases], KeyState::Active));
    model.guards.get_mut(&Role::Targets).unwrap().head = None; // nothing that would delegate to it, or not
    model.release("releases", &targets(5));
    assert_eq!(model.guard("targets").head, None);
    let two = [("releases", 5), ("targets", 1)];
    assert!(model.allows("snapshot", &snapshot(2, &two)));
    assert_eq!(model.refusal("snapshot", &snapshot(2, &[("releases", 6), ("targets", 1)])), Reason::ListedUnreleased);
}

#[test]
fn signatures_are_those_of_the_permitted_keys_as_they_were_made() {
    let mut model = Model::with_first_versions();
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let guard = decision.released([(key_id(1), signature(77))].into()).unwrap();
    assert_eq!(guard.head.as_ref().unwrap().signatures, [(key_id(1), signature(77))].into());
    model.guards.insert(Role::Timestamp, guard);
    assert_eq!(model.decide("timestamp", &timestamp(2, 1)).unwrap().replays()[&key_id(1)], signature(77));
}

#[test]
fn versions_end_at_the_largest_that_json_holds() {
    let mut model = Model::with_first_versions();
    model.seed("timestamp", &timestamp(Version::MAX - 1, 1));
    model.release("timestamp", &timestamp(Version::MAX, 1));
    let beyond = timestamp(Version::MAX + 1, 1);
    let denial = sealward::tuf::metadata::read_signed(beyond.as_bytes(), 1000).unwrap_err();
    assert_eq!(denial.reason, Reason::VersionInvalid);
    assert!(model.allows("timestamp", &timestamp(Version::MAX, 1)), "the last one is still replayed");
}
