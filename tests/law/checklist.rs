//! `law.md` section 4: the published order as a checked list.

use std::collections::BTreeSet;

use sealward::domain::key::{KeyRecord, KeyState};
use sealward::domain::law::destroy::schedule;
use sealward::domain::law::retire::Around;
use sealward::domain::law::roots::{Known, RootDecision, publish, stage};
use sealward::domain::law::rotation::{Checklist, Line, LineState, Phase, Standing, Step, checklist};
use sealward::domain::name::Role;
use sealward::domain::root::VerifiedRoot;

use crate::values::{DAY, Model, key_id, repository, root, timestamp};

fn list(model: &Model) -> Checklist {
    checklist(Standing {
        repository: &repository(),
        policy: &model.policy,
        keys: &model.keys,
        roots: &model.roots,
        guards: &model.guards,
    })
}

fn line(model: &Model, step: Step) -> Line {
    list(model).lines.into_iter().find(|line| line.step == step).unwrap()
}

/// The one step that is next, if any; what is before it is done and what comes after waits.
fn next(model: &Model) -> Option<Step> {
    let lines = list(model).lines;
    let position = lines.iter().position(|line| line.state != LineState::Done)?;
    let (done, rest) = lines.split_at(position);
    assert!(done.iter().all(|line| line.state == LineState::Done));
    assert!(rest[1..].iter().all(|line| line.state == LineState::Waiting), "{lines:#?}");
    (rest[0].state == LineState::Next).then_some(rest[0].step)
}

fn known<'a>(model: &'a Model, held: &'a BTreeSet<sealward::domain::public_key::KeyId>) -> Known<'a> {
    Known { policy: &model.policy, keys: &model.keys, roots: &model.roots, held, now: model.now }
}

fn apply(model: &mut Model, decision: RootDecision) {
    let RootDecision::Accepted { roots, keys } = decision else { panic!("{decision:?}") };
    model.roots = roots;
    model.change_keys(keys);
}

fn full(number: u64, timestamps: &[u8]) -> VerifiedRoot {
    root(number, &[(Role::Timestamp, timestamps), (Role::Snapshot, &[2]), (Role::Targets, &[3])])
}

fn rooted() -> Model {
    let mut model = Model::with_first_versions();
    model.roots.trusted = Some(full(1, &[1]));
    model
}

fn stage_in(model: &mut Model, candidate: &VerifiedRoot) {
    let decision = stage(candidate.clone(), None, &BTreeSet::new(), known(model, &BTreeSet::new())).unwrap();
    apply(model, decision);
}

fn publish_in(model: &mut Model, candidate: &VerifiedRoot) {
    let decision = publish(candidate.clone(), None, &BTreeSet::new(), known(model, &BTreeSet::new())).unwrap();
    apply(model, decision);
}

#[test]
fn the_list_has_the_published_order() {
    let names: Vec<_> = list(&rooted()).lines.iter().map(|line| line.step.name()).collect();
    assert_eq!(
        names,
        [
            "make",
            "stage",
            "dual-sign",
            "publish-root",
            "publish-timestamp",
            "test-clients",
            "promote",
            "retire",
            "destroy"
        ]
    );
}

#[test]
fn the_list_follows_a_rotation_from_its_beginning_to_its_end() {
    let mut model = rooted();
    assert_eq!((list(&model).phase, next(&model)), (Phase::Idle, Some(Step::Make)));
    model.add(11, "timestamp", KeyState::Pending);
    assert_eq!((list(&model).phase, next(&model)), (Phase::Made, Some(Step::Stage)));
    assert_eq!(line(&model, Step::Stage).command, "sealward root stage --repository demo 2.root.json");
    let second = full(2, &[11]);
    stage_in(&mut model, &second);
    assert_eq!((list(&model).phase, next(&model)), (Phase::Staged, Some(Step::DualSign)));
    assert_eq!(line(&model, Step::DualSign).command, "sealward sign --repository demo --role timestamp timestamp.json");
    model.release("timestamp", &timestamp(1, 1));
    assert_eq!(next(&model), Some(Step::PublishRoot), "the head again is enough: it was cosigned");
    assert_eq!(line(&model, Step::Promote).command, "sealward root publish --repository demo 2.root.json");
    publish_in(&mut model, &second);
    assert_eq!((list(&model).phase, next(&model)), (Phase::Published, Some(Step::Destroy)));
    assert_eq!(line(&model, Step::Destroy).command, format!("sealward key destroy {}", key_id(1)));
    let around = Around { keys: &model.keys, roots: &model.roots, guards: &model.guards, now: model.now };
    let asked = schedule(&model.keys[0], 30 * DAY, around).unwrap().unwrap();
    model.change_keys(vec![asked.clone()]);
    assert_eq!(next(&model), None, "only time is missing");
    assert!(line(&model, Step::Destroy).detail.contains(&asked.history.destruction.unwrap().due.to_string()));
    let gone: KeyRecord = asked.with_state(KeyState::Destroyed, model.now);
    model.change_keys(vec![gone]);
    assert_eq!((list(&model).phase, next(&model)), (Phase::Idle, Some(Step::Make)));
}

#[test]
fn only_a_first_root_is_staged_with_a_pin() {
    let model = Model::with_first_versions();
    let pinned = "sealward root stage --repository demo --pin SHA256-that-merge-printed 1.root.json";
    assert_eq!(line(&model, Step::Stage).command, pinned);
    assert!(!line(&rooted(), Step::Stage).command.contains("--pin"));
}

#[test]
fn what_is_said_of_a_staged_root_is_read_off_the_keys() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    let made = line(&model, Step::Stage).detail;
    assert!(made.contains("list the successor in it"), "{made}");
    stage_in(&mut model, &full(2, &[1]));
    let forgotten = line(&model, Step::Stage).detail;
    assert!(forgotten.contains(&format!("it does not list {}, pending", key_id(11))), "{forgotten}");

    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    let second = full(2, &[1, 11]);
    stage_in(&mut model, &second);
    assert_eq!(line(&model, Step::Stage).detail, "2.root.json is staged");
    publish_in(&mut model, &second);
    stage_in(&mut model, &full(3, &[11]));
    let second_half = line(&model, Step::Stage).detail;
    assert!(second_half.contains(&format!("without {}, retiring", key_id(1))), "{second_half}");
}

#[test]
fn dual_signing_is_done_when_the_newest_metadata_satisfies_both_roots() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Pending);
    model.add(12, "snapshot", KeyState::Pending);
    stage_in(&mut model, &root(2, &[(Role::Timestamp, &[11]), (Role::Snapshot, &[12]), (Role::Targets, &[3])]));
    assert!(line(&model, Step::DualSign).detail.contains("snapshot and timestamp"), "{:?}", list(&model));
    assert!(line(&model, Step::DualSign).command.contains("--role snapshot"), "snapshot first");
    model.release("snapshot", &crate::values::snapshot(1, &[("targets", 1)]));
    assert!(line(&model, Step::DualSign).command.contains("--role timestamp"));
    let decision = model.decide_one("timestamp", &timestamp(2, 1), 11).unwrap();
    model.carry_out(decision);
    assert_eq!(next(&model), Some(Step::DualSign), "the new key alone does not satisfy the trusted root");
    model.release("timestamp", &timestamp(2, 1));
    assert_eq!(next(&model), Some(Step::PublishRoot));
}

#[test]
fn the_list_says_what_cannot_be_seen_from_here() {
    let list = list(&rooted());
    let unseen: Vec<_> = list.lines.iter().filter(|line| !line.step.is_seen_here()).map(|line| line.step).collect();
    assert_eq!(unseen, [Step::PublishRoot, Step::PublishTimestamp, Step::TestClients]);
    assert!(list.notes[0].contains("publishes no files and cannot see clients"));
}

#[test]
fn an_active_key_that_no_root_lists_is_to_be_retired() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Active);
    assert_eq!((list(&model).phase, next(&model)), (Phase::Published, Some(Step::Retire)));
    assert_eq!(line(&model, Step::Retire).command, format!("sealward key retire {}", key_id(11)));
}

#[test]
fn two_keys_where_one_must_sign_are_noted_as_the_first_of_two_roots() {
    let mut model = rooted();
    model.add(11, "timestamp", KeyState::Active);
    model.roots.trusted = Some(full(2, &[1, 11]));
    assert!(list(&model).notes.iter().any(|note| note.contains("timestamp has 2 keys where 1 must sign")));
    model.roots.trusted = Some(full(2, &[11]));
    assert_eq!(list(&model).notes.len(), 1);
}
