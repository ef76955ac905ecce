//! `law.md` section 6: attended roles wait for people, and acts for two operators. Section 4: offline roles never sign.

use std::collections::BTreeMap;

use sealward::domain::approval::{Act, Pending, PendingId, RejectionCode, Subject};
use sealward::domain::caller::{Caller, CallerPattern};
use sealward::domain::grant::{Grant, Grants, Verb};
use sealward::domain::guard::Guard;
use sealward::domain::key::KeyState;
use sealward::domain::law::attended::{self, Approved, Attendance, Today, Wait};
use sealward::domain::law::sign::{Answer, Decision, Keys, first_epoch};
use sealward::domain::name::{Pattern, Role, Sha256Digest};
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::person::{Person, Persons};
use sealward::domain::policy::Custody;

use crate::values::{DAY, Model, NOW, expiring, key_id, repository, role, signature, targets};

/// alice is uid 1 and a certificate, bob is uid 2, carol is uid 3. uid 1000 asks, and is nobody.
fn grants() -> Grants {
    let person = |name: &str, identities: &[&str]| Person {
        name: name.parse().unwrap(),
        identities: identities.iter().map(|text| CallerPattern::parse(text).unwrap()).collect(),
    };
    let persons = Persons::new(vec![
        person("alice", &["unix:1", "uri:spiffe://acme/alice"]),
        person("bob", &["unix:2"]),
        person("carol", &["unix:3"]),
    ]);
    let callers = ["person:alice", "person:bob", "person:carol", "unix:9"];
    Grants::new(vec![approving(&callers, "demo", "**")], persons)
}

fn approving(callers: &[&str], repositories: &str, roles: &str) -> Grant {
    Grant {
        callers: callers.iter().map(|text| CallerPattern::parse(text).unwrap()).collect(),
        verbs: vec![Verb::Approve],
        repositories: vec![Pattern::new(repositories).unwrap()],
        roles: vec![Pattern::new(roles).unwrap()],
    }
}

fn unix(uid: u32) -> Caller {
    Caller::Unix { uid, gids: vec![] }
}

fn alices_certificate() -> Caller {
    Caller::Certificate { dns: vec![], uris: vec!["spiffe://acme/alice".into()] }
}

/// A repository whose targets need some approvals, with targets 1 released.
fn attended(approvals: u32) -> Model {
    let mut model = Model::with_first_versions();
    let limits = model.limits("targets");
    (limits.custody, limits.approvals) = (Custody::Attended, approvals);
    model.grants = grants();
    model
}

fn wait(model: &Model, text: &str) -> Wait {
    match model.answer("targets", text).unwrap() {
        Answer::Pending(wait) => *wait,
        Answer::Permit(_) => panic!("nobody was asked"),
    }
}

fn permit(model: &Model, text: &str) -> Decision {
    match model.answer("targets", text).unwrap() {
        Answer::Permit(decision) => *decision,
        Answer::Pending(wait) => panic!("{}", wait.denial()),
    }
}

/// Writes down what waits, as the engine does.
fn record(model: &mut Model, wait: &Wait, by: Caller) -> PendingId {
    model.pending.push(Pending {
        subject: wait.subject.clone(),
        requesters: vec![by],
        given: vec![],
        rejection: None,
        asked: model.now,
        expires: model.now.plus_seconds(wait.seconds),
        length: 1,
        revision: 1,
    });
    wait.subject.id()
}

/// Asks for a payload as uid 1000, which is nobody.
fn ask(model: &mut Model, text: &str) -> PendingId {
    let wait = wait(model, text);
    let by = model.caller.clone();
    record(model, &wait, by)
}

fn found(model: &mut Model, id: PendingId) -> &mut Pending {
    model.pending.iter_mut().find(|pending| pending.id() == id).unwrap()
}

fn today(model: &Model) -> Today<'_> {
    Today { policy: Some(&model.policy), guard: model.guards.get(&Role::Targets), keys: &model.keys }
}

fn try_approve(model: &mut Model, id: PendingId, by: &Caller) -> Result<bool, Denial> {
    let pending = found(model, id).clone();
    let attendance = Attendance { pending: &[], grants: &model.grants, caller: by, freezes: &[] };
    let after = attended::approve(&pending, pending.subject.digest(), today(model), attendance, model.now)?;
    let changed = after.is_some();
    if let Some(after) = after {
        *found(model, id) = after;
    }
    Ok(changed)
}

fn approve(model: &mut Model, id: PendingId, uid: u32) {
    assert!(try_approve(model, id, &unix(uid)).unwrap_or_else(|denial| panic!("{denial}")));
}

fn refusal(model: &mut Model, id: PendingId, by: &Caller) -> Reason {
    try_approve(model, id, by).unwrap_err().reason
}

#[test]
fn an_attended_role_is_neither_permitted_nor_denied_but_pending() {
    let mut model = attended(1);
    let first = wait(&model, &targets(2));
    assert_eq!(first.persons, (1, 0));
    let denial = first.denial();
    assert_eq!((denial.reason, denial.pending), (Reason::AwaitsApproval, Some(first.subject.id())));
    assert_eq!(denial.reason.exit_code(), 75, "not a denial");
    let id = ask(&mut model, &targets(2));
    assert_eq!(wait(&model, &targets(2)).subject.id(), id, "the same bytes have the same name");
    assert_ne!(wait(&model, &expiring(&targets(2), NOW.plus_seconds(2 * DAY))).subject.id(), id);
}

#[test]
fn the_same_bytes_asked_for_again_after_approval_are_signed() {
    let mut model = attended(1);
    let id = ask(&mut model, &targets(2));
    approve(&mut model, id, 1);
    let decision = permit(&model, &targets(2));
    let revision = found(&mut model, id).revision;
    assert_eq!(decision.approved(), Some(Approved { id, revision }));
    assert_eq!(model.carry_out(decision), [key_id(3)].into());
    let others = expiring(&targets(3), NOW.plus_seconds(2 * DAY));
    assert_eq!(wait(&model, &others).persons, (1, 0), "other bytes wait for approvals of their own");
}

#[test]
fn nobody_approves_what_would_be_denied() {
    let mut model = attended(1);
    let refused = |model: &Model, text: &str| model.answer("targets", text).unwrap_err().reason;
    assert_eq!(refused(&model, &expiring(&targets(1), NOW.plus_seconds(2 * DAY))), Reason::Equivocation);
    assert_eq!(refused(&model, &targets(50)), Reason::VersionStep);
    assert_eq!(refused(&model, &expiring(&targets(2), NOW.plus_seconds(900 * DAY))), Reason::ExpiryTooFar);
    assert_eq!(refused(&model, &expiring(&targets(2), NOW)), Reason::Expired);
    model.limits("targets").max_payload_bytes = 10;
    assert_eq!(refused(&model, &targets(2)), Reason::PayloadTooLarge);
    let mut model = attended(1);
    model.put(3, KeyState::Retired);
    assert_eq!(refused(&model, &targets(2)), Reason::NoKeyForRole);
    let mut model = attended(1);
    model.limits("targets").release_rate.burst = 0;
    assert_eq!(refused(&model, &targets(2)), Reason::RateLimited);
}

#[test]
fn a_replay_needs_no_new_approval_and_a_cosignature_does() {
    let mut model = attended(1);
    let id = ask(&mut model, &targets(2));
    approve(&mut model, id, 1);
    let decision = permit(&model, &targets(2));
    model.carry_out(decision);
    model.pending.clear();
    let replay = permit(&model, &targets(2));
    assert_eq!((replay.approved(), replay.replays().len()), (None, 1));
    model.add(4, "targets", KeyState::Active);
    assert_eq!(wait(&model, &targets(2)).persons, (1, 0), "another key's signature is a new one");
}

#[test]
fn approvals_are_bound_to_digest_key_head_and_policy() {
    let fresh = || {
        let mut model = attended(1);
        let id = ask(&mut model, &targets(3));
        approve(&mut model, id, 1);
        (model, id)
    };
    let void = |model: &Model, id: PendingId| {
        let wait = wait(model, &targets(3));
        assert_ne!(wait.subject.id(), id);
        let [(earlier, why)] = wait.void.as_slice() else { panic!("{wait:?}") };
        assert_eq!(*earlier, id);
        assert!(wait.denial().detail.contains(&format!("{id} is void: {why}")), "and the answer says so");
        *why
    };
    let (mut model, id) = fresh();
    let guard = model.guards.remove(&Role::Targets).unwrap();
    let head = guard.head.clone().unwrap();
    let moved = Guard { head: Some(sealward::domain::guard::Head { digest: Sha256Digest::of(b"2"), ..head }), ..guard };
    model.guards.insert(Role::Targets, moved);
    assert_eq!(void(&model, id), "the guard has another head");
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::ApprovalVoid);

    let (mut model, id) = fresh();
    model.limits("targets").max_version_step = 9;
    assert_eq!(void(&model, id), "the policy of the role has changed");
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::ApprovalVoid);

    let (mut model, id) = fresh();
    model.add(4, "targets", KeyState::Active);
    let other = wait(&model, &targets(3));
    assert!(other.subject.id() != id && other.void.is_empty(), "another request, which ends nobody's approvals");
    try_approve(&mut model, id, &unix(2)).unwrap();
    model.put(3, KeyState::Retired);
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::ApprovalVoid);

    let (mut model, id) = fresh();
    model.guards.get_mut(&Role::Targets).unwrap().name.epoch = 2;
    assert_eq!(void(&model, id), "the guard began another epoch");

    let (mut model, id) = fresh();
    model.limits("targets").custody = Custody::Offline;
    assert_eq!(model.answer("targets", &targets(3)).unwrap_err().reason, Reason::OfflineRole);
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::ApprovalVoid);
}

#[test]
fn an_approval_is_of_the_digest_that_the_approver_computed() {
    let mut model = attended(1);
    let id = ask(&mut model, &targets(2));
    let pending = found(&mut model, id).clone();
    let by = unix(1);
    let attendance = Attendance { pending: &[], grants: &model.grants, caller: &by, freezes: &[] };
    let other = Sha256Digest::of(b"what the approver was shown");
    let refused = attended::approve(&pending, other, today(&model), attendance, NOW).unwrap_err();
    assert_eq!(refused.reason, Reason::ApprovalDigest);
}

#[test]
fn approver_and_requester_are_different_persons() {
    let mut model = attended(1);
    model.caller = unix(1);
    let id = ask(&mut model, &targets(2));
    assert_eq!(refusal(&mut model, id, &unix(1)), Reason::SelfApproval);
    assert_eq!(refusal(&mut model, id, &alices_certificate()), Reason::SelfApproval, "by another identity of hers");
    // Every requester is one, not only the first.
    found(&mut model, id).requesters = vec![unix(1000), unix(1)];
    assert_eq!(refusal(&mut model, id, &alices_certificate()), Reason::SelfApproval);
    approve(&mut model, id, 2);
    assert!(matches!(model.answer("targets", &targets(2)), Ok(Answer::Permit(_))));
    // And whoever approved does not take the signature out.
    model.caller = unix(2);
    assert_eq!(model.answer("targets", &targets(2)).unwrap_err().reason, Reason::SelfApproval);
    // An approval of somebody who asked afterwards counts no more.
    found(&mut model, id).requesters.push(unix(2));
    model.caller = unix(1000);
    assert_eq!(wait(&model, &targets(2)).persons, (1, 0));
}

#[test]
fn who_may_be_one_of_two_persons_is_both_when_asking_and_neither_when_approving() {
    let mut model = attended(1);
    let alice_or_bob =
        Person { name: "bob".parse().unwrap(), identities: vec![CallerPattern::parse("uri:spiffe://acme/*").unwrap()] };
    let alice = model.grants.persons().iter().next().unwrap().clone();
    let callers = ["person:alice", "person:bob", "uri:**"];
    model.grants = Grants::new(vec![approving(&callers, "demo", "**")], Persons::new(vec![alice, alice_or_bob]));
    model.caller = alices_certificate();
    let id = ask(&mut model, &targets(2));
    assert_eq!(refusal(&mut model, id, &unix(1)), Reason::SelfApproval, "it may have been alice who asked");
    assert_eq!(refusal(&mut model, id, &alices_certificate()), Reason::NoPerson);
}

#[test]
fn two_approvals_are_two_persons_and_never_two_identities_of_one() {
    let mut model = attended(2);
    let id = ask(&mut model, &targets(2));
    approve(&mut model, id, 1);
    assert!(try_approve(&mut model, id, &alices_certificate()).unwrap());
    assert_eq!(wait(&model, &targets(2)).persons, (2, 1));
    assert!(!try_approve(&mut model, id, &alices_certificate()).unwrap(), "again changes nothing");
    approve(&mut model, id, 2);
    assert!(permit(&model, &targets(2)).approved().is_some());
}

#[test]
fn only_a_configured_person_with_the_grant_approves() {
    let mut model = attended(1);
    let id = ask(&mut model, &targets(2));
    assert_eq!(refusal(&mut model, id, &unix(9)), Reason::NoPerson, "granted, and nobody");
    assert_eq!(refusal(&mut model, id, &unix(77)), Reason::UnknownApproval, "not granted: it does not exist");
    let persons = model.grants.persons().clone();
    for (repositories, roles) in [("other", "**"), ("demo", "snapshot")] {
        model.grants = Grants::new(vec![approving(&["person:alice"], repositories, roles)], persons.clone());
        assert_eq!(refusal(&mut model, id, &unix(1)), Reason::UnknownApproval);
    }
}

#[test]
fn an_approval_counts_only_while_its_giver_is_that_person_and_granted() {
    let mut model = attended(1);
    let id = ask(&mut model, &targets(2));
    approve(&mut model, id, 1);
    let before = model.grants.clone();
    let persons = before.persons().clone();
    model.grants = Grants::new(vec![approving(&["person:bob"], "demo", "**")], persons);
    assert_eq!(wait(&model, &targets(2)).persons, (1, 0), "alice lost her grant");
    let nobody = Persons::new(before.persons().iter().skip(1).cloned().collect());
    model.grants = Grants::new(before.iter().cloned().collect(), nobody);
    assert_eq!(wait(&model, &targets(2)).persons, (1, 0), "alice is nobody any more");
    model.grants = before;
    permit(&model, &targets(2));
}

#[test]
fn what_waits_expires_with_its_approvals() {
    let mut model = attended(1);
    model.limits("targets").approval_expiry_seconds = 60;
    let id = ask(&mut model, &targets(2));
    approve(&mut model, id, 1);
    model.now = NOW.plus_seconds(59);
    permit(&model, &targets(2));
    model.now = NOW.plus_seconds(60);
    assert_eq!(wait(&model, &targets(2)).persons, (1, 0));
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::UnknownApproval);
}

#[test]
fn a_rejection_stands_for_everybody_until_it_expires() {
    let mut model = attended(1);
    model.limits("targets").approval_expiry_seconds = 60;
    let id = ask(&mut model, &targets(2));
    let pending = found(&mut model, id).clone();
    let by = unix(2);
    let attendance = Attendance { pending: &[], grants: &model.grants, caller: &by, freezes: &[] };
    let after = attended::reject(&pending, RejectionCode::Suspicious, attendance, NOW).unwrap().unwrap();
    assert_eq!(attended::reject(&after, RejectionCode::Unexpected, attendance, NOW), Ok(None), "the first one stands");
    let nobody = Attendance { caller: &unix(9), ..attendance };
    assert_eq!(
        attended::reject(&pending, RejectionCode::Unexpected, nobody, NOW).unwrap_err().reason,
        Reason::NoPerson
    );
    *found(&mut model, id) = after;
    let denial = model.answer("targets", &targets(2)).unwrap_err();
    assert_eq!(denial.reason, Reason::ApprovalRejected);
    assert!(denial.detail.contains("bob") && denial.detail.contains("suspicious"), "{denial}");
    assert_eq!(refusal(&mut model, id, &unix(1)), Reason::ApprovalRejected);
    model.now = NOW.plus_seconds(60);
    wait(&model, &targets(2));
}

#[test]
fn a_first_version_waits_as_well() {
    let mut model = Model::new();
    model.limits("targets").custody = Custody::Attended;
    model.grants = grants();
    let id = ask(&mut model, &targets(1));
    approve(&mut model, id, 3);
    assert_eq!(permit(&model, &targets(1)).approved().map(|approved| approved.id), Some(id));
}

#[test]
fn only_the_signatures_that_are_made_need_people() {
    let mut model = attended(1);
    model.add(4, "targets", KeyState::Active);
    let one = model.keys.iter().find(|key| key.id() == key_id(4)).unwrap();
    let Err(denial) = model.decide_with("targets", &targets(1), Keys::One(one)) else { panic!("signed") };
    assert_eq!(denial.reason, Reason::AwaitsApproval, "a new key over the head");
    let Subject::Signature(binding) = wait(&model, &targets(1)).subject else { panic!("an act") };
    assert_eq!(binding.keys, [key_id(4)].into(), "key 3 has signed it before");
    assert_eq!(binding.guard, first_epoch(&repository(), &role("targets")));
    let signatures = BTreeMap::from([(key_id(4), signature(4))]);
    assert!(permit_with(&mut model).released(signatures).is_some());
}

fn permit_with(model: &mut Model) -> Decision {
    let id = ask(model, &targets(1));
    approve(model, id, 1);
    permit(model, &targets(1))
}

// --- Acts of two operators ---

fn act_of(model: &Model, by: &Caller) -> Result<Approved, Denial> {
    let act = Act::in_repository("destroy-key", &repository(), Some(&Role::Targets)).with("key", key_id(3));
    let attendance = Attendance { pending: &model.pending, grants: &model.grants, caller: by, freezes: &[] };
    attended::act(act, attendance, model.now)?.map_err(|wait| wait.denial())
}

fn ask_act(model: &mut Model, by: Caller) -> PendingId {
    let act = Act::in_repository("destroy-key", &repository(), Some(&Role::Targets)).with("key", key_id(3));
    let attendance = Attendance { pending: &model.pending, grants: &model.grants, caller: &by, freezes: &[] };
    let wait = attended::act(act, attendance, model.now).unwrap().unwrap_err();
    record(model, &wait, by)
}

#[test]
fn two_operators_are_two_persons() {
    let mut model = attended(1);
    assert_eq!(act_of(&model, &unix(1)).unwrap_err().reason, Reason::AwaitsApproval);
    let id = ask_act(&mut model, unix(1));
    assert_eq!(act_of(&model, &unix(1)).unwrap_err().reason, Reason::AwaitsApproval, "one operator is not two");
    assert_eq!(act_of(&model, &alices_certificate()).unwrap_err().reason, Reason::AwaitsApproval);
    assert_eq!(refusal(&mut model, id, &alices_certificate()), Reason::SelfApproval);
    approve(&mut model, id, 2);
    assert_eq!(act_of(&model, &unix(1)).unwrap().id, id);
}

#[test]
fn somebody_who_is_no_person_needs_two_approvals_for_an_act() {
    let mut model = attended(1);
    let id = ask_act(&mut model, unix(1000));
    approve(&mut model, id, 1);
    assert_eq!(act_of(&model, &unix(1000)).unwrap_err().reason, Reason::AwaitsApproval);
    approve(&mut model, id, 2);
    assert_eq!(act_of(&model, &unix(1000)).unwrap().id, id);
}

#[test]
fn an_operator_of_one_role_does_not_decide_about_all() {
    let mut model = attended(1);
    let id = ask_act(&mut model, unix(1));
    let persons = model.grants.persons().clone();
    let lines = vec![approving(&["person:alice"], "demo", "root"), approving(&["person:bob"], "demo", "targets")];
    model.grants = Grants::new(lines, persons.clone());
    assert_eq!(refusal(&mut model, id, &unix(2)), Reason::UnknownApproval);
    let daemon = Subject::Act(Act::in_daemon("resolve-latch"));
    let (half, whole) = (approving(&["person:bob"], "demo", "**"), approving(&["person:bob"], "**", "**"));
    let rootless = approving(&["person:bob"], "**", "targets");
    for (lines, may) in [(vec![half, rootless], false), (vec![whole], true)] {
        assert_eq!(daemon.may_be_approved_by(&Grants::new(lines, persons.clone()), &unix(2)), may);
    }
}

#[test]
fn an_act_with_other_facts_is_another_act() {
    let mut model = attended(1);
    let id = ask_act(&mut model, unix(1));
    approve(&mut model, id, 2);
    let other = Act::in_repository("destroy-key", &repository(), Some(&Role::Targets)).with("key", key_id(4));
    let by = unix(1);
    let attendance = Attendance { pending: &model.pending, grants: &model.grants, caller: &by, freezes: &[] };
    assert!(attended::act(other, attendance, NOW).unwrap().is_err());
}
