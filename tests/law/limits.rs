//! How long a key signs, and how often: warn, stage, refuse.

use sealward::domain::guard::Step;
use sealward::domain::key::KeyState;
use sealward::domain::law::attended::Attendance;
use sealward::domain::law::sign::{Keys, judge, signatures_made};
use sealward::domain::name::Role;
use sealward::domain::outcome::Reason;
use sealward::domain::thresholds::Thresholds;

use crate::values::{DAY, Model, NOW, expiring, key_id, record, root, snapshot, timestamp};

fn made(model: &Model, number: u8) -> u64 {
    let record = model.keys.iter().find(|key| key.id() == key_id(number)).unwrap();
    signatures_made(&model.guards, record)
}

fn refuse_at(number: u64) -> Thresholds {
    Thresholds { warn: Some(1), stage: Some(1), refuse: Some(number) }
}

/// The first versions are released, and key 1 became active at [`NOW`].
fn model() -> Model {
    let mut model = Model::with_first_versions();
    for key in &mut model.keys {
        key.history.activated = Some(NOW);
    }
    model
}

#[test]
fn a_key_signs_until_its_cryptoperiod_is_over_and_then_nothing_not_even_again() {
    let mut model = model();
    model.limits("timestamp").cryptoperiod = refuse_at(90 * 86_400);
    model.now = NOW.plus_seconds(90 * DAY - 1);
    let payload = expiring(&timestamp(2, 1), model.now.plus_seconds(DAY));
    assert!(model.allows("timestamp", &payload), "warn and stage refuse nothing");
    model.release("timestamp", &payload);
    model.now = NOW.plus_seconds(90 * DAY);
    let again = expiring(&timestamp(3, 1), model.now.plus_seconds(DAY));
    let denial = model.denial("timestamp", &again);
    assert_eq!(denial.reason, Reason::CryptoperiodOver);
    assert!(denial.detail.contains("90 days"), "{denial}");
    assert_eq!(model.refusal("timestamp", &payload), Reason::CryptoperiodOver, "a replay runs the whole law");
    let other = snapshot(2, &[("targets", 1)]);
    assert!(model.allows("snapshot", &expiring(&other, model.now.plus_seconds(DAY))), "each role has its own");
}

#[test]
fn age_counts_from_the_first_activation_and_a_withdrawn_root_makes_no_key_younger() {
    let pending = record(11, &[Role::Timestamp], KeyState::Pending);
    assert_eq!(pending.age(NOW), None);
    let active = pending.with_state(KeyState::Active, NOW.plus_seconds(50));
    assert_eq!(active.age(NOW.plus_seconds(60)), Some(10));
    let retiring = active.with_state(KeyState::Retiring, NOW.plus_seconds(70));
    assert_eq!(retiring.age(NOW.plus_seconds(80)), Some(30));
    let back = retiring.with_state(KeyState::Active, NOW.plus_seconds(90));
    assert_eq!(back.age(NOW.plus_seconds(90)), Some(40), "it never stopped signing");
    let undone = active.with_state(KeyState::Pending, NOW.plus_seconds(60));
    assert_eq!(undone.age(NOW.plus_seconds(60)), None, "it signs nothing");
    let again = undone.with_state(KeyState::Active, NOW.plus_seconds(70));
    assert_eq!(again.age(NOW.plus_seconds(80)), Some(30), "whoever stages and withdraws in turns resets nothing");
    assert_eq!(back.with_state(KeyState::Retired, NOW).age(NOW), None);
    assert_eq!(active.age(NOW), Some(0), "a clock that went back makes no key younger than new");
}

#[test]
fn advance_and_cosign_count_and_a_replay_does_not() {
    let mut model = model();
    assert_eq!(made(&model, 1), 1);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(made(&model, 1), 2);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(made(&model, 1), 2, "a replay makes no signature");
    model.add(11, "timestamp", KeyState::Active);
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!((made(&model, 1), made(&model, 11)), (2, 1), "a cosign is one");
    model.release("timestamp", &timestamp(3, 1));
    assert_eq!((made(&model, 1), made(&model, 11)), (3, 2));
}

#[test]
fn only_a_signature_that_is_released_counts() {
    let mut model = model();
    model.add(11, "timestamp", KeyState::Active);
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let guard = decision.released([(key_id(11), crate::values::signature(11))].into()).unwrap();
    model.guards.insert(Role::Timestamp, guard);
    assert_eq!((made(&model, 1), made(&model, 11)), (1, 1), "the token of key 1 failed");
}

#[test]
fn after_its_last_signature_a_key_repeats_and_makes_no_new_one() {
    let mut model = model();
    model.limits("timestamp").max_signatures = refuse_at(2);
    model.release("timestamp", &timestamp(2, 1));
    let denial = model.denial("timestamp", &timestamp(3, 1));
    assert_eq!(denial.reason, Reason::SignatureLimit);
    assert!(denial.detail.contains("2 signatures"), "{denial}");
    assert!(model.allows("timestamp", &timestamp(2, 1)), "what is on record may be asked for again");
    model.add(11, "timestamp", KeyState::Active);
    let decision = model.decide("timestamp", &timestamp(3, 1)).unwrap();
    let steps: Vec<_> =
        decision.judgement().keys.iter().map(|(_, step)| step.as_ref().map_err(|denial| denial.reason)).collect();
    assert_eq!(steps, [Err(Reason::SignatureLimit), Ok(&Step::Advance)], "its successor signs");
}

#[test]
fn a_key_of_two_roles_has_one_number_of_signatures() {
    let mut model = Model::new();
    model.keys = vec![record(7, &[Role::Timestamp, Role::Snapshot], KeyState::Active)];
    model.keys.push(record(3, &[Role::Targets], KeyState::Active));
    model.release("targets", &crate::values::targets(1));
    model.release("snapshot", &snapshot(1, &[("targets", 1)]));
    model.release("timestamp", &timestamp(1, 1));
    assert_eq!(made(&model, 7), 2);
    model.limits("timestamp").max_signatures = refuse_at(2);
    assert_eq!(model.refusal("timestamp", &timestamp(2, 1)), Reason::SignatureLimit);
    assert!(model.allows("snapshot", &snapshot(2, &[("targets", 1)])), "the limit is the role's, the number the key's");
}

#[test]
fn a_retiring_key_leaves_with_an_active_key_whose_time_is_not_over() {
    let mut model = model();
    model.add(11, "timestamp", KeyState::Active);
    model.put(1, KeyState::Retiring);
    model.roots.trusted = Some(root(1, &[(Role::Timestamp, &[1])]));
    model.roots.staged = Some(root(2, &[(Role::Timestamp, &[11])]));
    assert!(model.allows("timestamp", &timestamp(2, 1)));
    model.keys.last_mut().unwrap().history.activated = Some(NOW.plus_seconds(-100 * DAY));
    model.limits("timestamp").cryptoperiod = refuse_at(90 * 86_400);
    let denial = model.denial("timestamp", &timestamp(2, 1));
    assert!(matches!(denial.reason, Reason::KeyState | Reason::CryptoperiodOver), "{denial}");
}

#[test]
fn earlier_items_of_a_batch_count_before_they_are_signed() {
    let mut model = model();
    model.limits("timestamp").max_signatures = refuse_at(2);
    let tentative = model.decide("timestamp", &timestamp(2, 1)).unwrap().tentative().unwrap();
    model.guards.insert(Role::Timestamp, tentative);
    assert_eq!(model.refusal("timestamp", &timestamp(3, 1)), Reason::SignatureLimit);
}

#[test]
fn explaining_tells_of_a_limit_as_signing_does() {
    let mut model = model();
    model.limits("timestamp").max_signatures = refuse_at(1);
    let (repository, role) = (crate::values::repository(), Role::Timestamp);
    let statement = crate::values::statement(&timestamp(2, 1));
    let judged = judge(&sealward::domain::law::sign::Situation {
        repository: &repository,
        role: &role,
        policy: &model.policy,
        statement: &statement,
        keys: Keys::OfRole(&model.keys),
        guards: &model.guards,
        roots: &model.roots,
        attached_snapshot: None,
        now: model.now,
        may_delegate: true,
        attendance: Attendance { pending: &model.pending, grants: &model.grants, caller: &model.caller, freezes: &[] },
        caller: crate::values::CALLER,
        frozen: sealward::domain::freeze::Frozen::NOTHING,
    });
    assert_eq!(judged.unwrap_err().reason, Reason::SignatureLimit);
}
