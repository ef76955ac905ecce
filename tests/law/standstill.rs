//! `law.md` sections 2 and 6: what is frozen.

use sealward::domain::freeze::FreezeScope;
use sealward::domain::key::KeyState;
use sealward::domain::law::sign::Keys;
use sealward::domain::name::Role;
use sealward::domain::outcome::Reason;
use sealward::domain::policy::RolePolicy;

use crate::values::{Model, key_id, record, repository, role, snapshot, targets, timestamp};

#[test]
fn what_a_freeze_covers_is_denied_and_what_it_does_not_goes_on() {
    let stopped = |scope: FreezeScope| {
        let mut model = Model::with_first_versions();
        model.freeze(scope);
        let of = |name: &str, text: &str| model.decide(name, text).err().map(|denial| denial.reason);
        (of("timestamp", &timestamp(2, 1)), of("snapshot", &snapshot(2, &[("targets", 1)])))
    };
    let frozen = Some(Reason::Frozen);
    let elsewhere = "elsewhere".parse().unwrap();
    assert_eq!(stopped(FreezeScope::All), (frozen, frozen));
    assert_eq!(stopped(FreezeScope::Repository(repository())), (frozen, frozen));
    assert_eq!(stopped(FreezeScope::Repository(elsewhere)), (None, None));
    assert_eq!(stopped(FreezeScope::Role(repository(), Role::Timestamp)), (frozen, None));
    assert_eq!(stopped(FreezeScope::Caller("unix:1000".parse().unwrap())), (frozen, frozen));
    assert_eq!(stopped(FreezeScope::Caller("unix:1001".parse().unwrap())), (None, None));
    assert_eq!(stopped(FreezeScope::Key(key_id(1))), (frozen, None));
}

#[test]
fn a_replay_is_frozen_like_everything_else() {
    let mut model = Model::with_first_versions();
    assert!(model.allows("timestamp", &timestamp(1, 1)));
    model.freeze(FreezeScope::Role(repository(), Role::Timestamp));
    assert_eq!(model.refusal("timestamp", &timestamp(1, 1)), Reason::Frozen);
}

#[test]
fn a_frozen_key_rests_while_another_of_its_role_signs() {
    let mut model = Model::with_first_versions();
    model.keys.push(record(4, &[Role::Timestamp], KeyState::Active));
    model.freeze(FreezeScope::Key(key_id(1)));
    let decision = model.decide("timestamp", &timestamp(2, 1)).unwrap();
    let refused = decision.judgement().keys.iter().find(|(key, _)| *key == key_id(1)).unwrap().1.clone();
    assert_eq!(refused.unwrap_err().reason, Reason::Frozen);
    assert_eq!(model.carry_out(decision), [key_id(4)].into());
    let named = model.decide_with("timestamp", &timestamp(3, 1), Keys::One(&model.keys[0]));
    assert_eq!(named.unwrap_err().reason, Reason::Frozen);
}

#[test]
fn the_denial_says_who_froze_what_when_and_why() {
    let mut model = Model::with_first_versions();
    model.freeze(FreezeScope::Role(repository(), Role::Timestamp));
    let denial = model.denial("timestamp", &timestamp(2, 1));
    let said = "role timestamp of demo is frozen since 2030-03-17T17:46:40Z, by unix:0 (drill)";
    assert_eq!(denial.detail, said);
    assert!(denial.reason.advice().contains("sealward thaw"));
}

/// Nobody says which role its payload is for.
#[test]
fn a_freeze_of_any_role_of_targets_stops_the_unguarded_one_too() {
    for (frozen, stops) in [("targets", true), ("releases/stable", true), (Role::UNGUARDED, true), ("snapshot", false)]
    {
        let mut model = Model::new();
        let limits = model.policy.roles.remove(&Role::Targets).unwrap();
        model.policy.roles.insert(role(Role::UNGUARDED), RolePolicy { unguarded: true, ..limits });
        model.add(9, Role::UNGUARDED, KeyState::Active);
        model.freeze(FreezeScope::Role(repository(), role(frozen)));
        assert_eq!(!model.allows(Role::UNGUARDED, &targets(1)), stops, "{frozen}");
    }
}
