//! `law.md` section 2: seeding.

use sealward::domain::guard::Guard;
use sealward::domain::key::RoleSet;
use sealward::domain::law::keys::{KeyRequest, Known, plan_key};
use sealward::domain::law::roots::seed;
use sealward::domain::law::sign::first_epoch;
use sealward::domain::name::Role;
use sealward::domain::outcome::{Denial, Reason};
use sealward::domain::policy::Custody;

use crate::values::{
    CALLER, DAY, Model, NOW, expiring, key_id, repository, role, root, snapshot, statement, targets, timestamp, version,
};

/// Seeds a role of the model from published metadata.
fn seed_from(model: &Model, name: &str, text: &str) -> Result<Guard, Denial> {
    let role = role(name);
    let existing = model.guards.get(&role);
    let (name, listed) = (first_epoch(&repository(), &role), [key_id(90)].into());
    seed(&name, &statement(text), existing, &model.policy, listed, NOW, CALLER.to_owned())
}

fn new_repository(model: &Model) -> Result<Vec<Guard>, Denial> {
    let (repository, roles) = (repository(), RoleSet::new([Role::Timestamp].into()).unwrap());
    let request =
        KeyRequest { repository: &repository, roles: &roles, keystore: None, algorithm: None, new_repository: true };
    let known =
        Known { policy: &model.policy, keys: &model.keys, guards: &model.guards, unrecorded: 0, roots: &model.roots };
    plan_key(&request, known).map(|plan| plan.guards)
}

#[test]
fn a_new_repository_begins_with_every_online_role_seeded_as_0() {
    let mut model = Model::new();
    model.guards.clear();
    model.limits("targets").custody = Custody::Offline;
    let guards = new_repository(&model).unwrap();
    let roles: Vec<&str> = guards.iter().map(|guard| guard.name.role.as_str()).collect();
    assert_eq!(roles, ["snapshot", "timestamp"]);
    for guard in guards {
        assert_eq!((guard.head, guard.released.len(), guard.revision, guard.name.epoch), (None, 0, 1, 1));
    }
}

#[test]
fn a_new_repository_is_refused_when_any_guard_or_root_of_that_name_exists() {
    let mut model = Model::new();
    assert_eq!(new_repository(&model).unwrap_err().reason, Reason::NotNew);
    model.guards.clear();
    assert!(new_repository(&model).is_ok());
    model.roots.staged = Some(root(1, &[]));
    model.roots.revision = 1;
    assert_eq!(new_repository(&model).unwrap_err().reason, Reason::NotNew);
    model.roots.trusted = model.roots.staged.take();
    assert_eq!(new_repository(&model).unwrap_err().reason, Reason::NotNew);
}

#[test]
fn an_unseeded_guard_denies_and_says_which_command_seeds_it() {
    let mut model = Model::new();
    model.guards.remove(&Role::Timestamp);
    let denial = model.denial("timestamp", &timestamp(1, 1));
    assert_eq!(denial.reason, Reason::Unseeded);
    assert!(denial.reason.advice().contains("sealward guard seed"), "{}", denial.reason.advice());
    assert!(denial.reason.advice().contains("--new-repository"));
}

#[test]
fn an_adopted_repository_begins_at_its_published_version() {
    let mut model = Model::new();
    model.guards.clear();
    let guard = seed_from(&model, "timestamp", &timestamp(18_234, 9_000)).unwrap();
    let head = guard.head.clone().unwrap();
    assert_eq!(head.version.get(), 18_234);
    assert_eq!((head.released, head.by.as_str(), head.signatures.len()), (NOW, CALLER, 0));
    assert!(guard.has_released(version(18_234)), "its seeded head counts as released");
    model.guards.insert(Role::Timestamp, guard);
    assert_eq!(model.refusal("timestamp", &timestamp(18_233, 9_000)), Reason::Rollback);
    assert_eq!(model.refusal("timestamp", &timestamp(18_245, 9_000)), Reason::VersionStep);
    assert_eq!(model.refusal("timestamp", &timestamp(18_235, 8_999)), Reason::ListedRollback);
    assert!(model.allows("timestamp", &timestamp(18_235, 9_000)));
}

#[test]
fn expiry_is_ignored_when_seeding_and_not_when_signing() {
    for expires in [NOW.plus_seconds(-300 * DAY), NOW.plus_seconds(300 * DAY)] {
        let mut model = Model::new();
        model.guards.clear();
        let published = expiring(&timestamp(7, 3), expires);
        assert!(seed_from(&model, "timestamp", &published).is_ok());
        model.seed("timestamp", &published);
        assert!(!model.allows("timestamp", &published), "a cosign of it is");
    }
}

#[test]
fn a_seeded_head_is_cosigned_and_never_contradicted() {
    let mut model = Model::with_first_versions();
    let published = timestamp(50, 1);
    model.seed("timestamp", &published);
    let signed = model.release("timestamp", &published);
    assert_eq!(signed.len(), 1, "our key has not released it yet");
    assert_eq!(model.refusal("timestamp", &expiring(&published, NOW.plus_seconds(5))), Reason::Equivocation);
}

#[test]
fn published_metadata_raises_a_guard_and_never_lowers_it() {
    let mut model = Model::new();
    let first = seed_from(&model, "timestamp", &timestamp(7, 3)).unwrap();
    assert_eq!(first.revision, 2, "a guard seeded as 0 may still learn what was published");
    model.guards.insert(Role::Timestamp, first);
    for lower in [1, 6, 7] {
        let denial = seed_from(&model, "timestamp", &timestamp(lower, 3)).unwrap_err();
        assert_eq!(denial.reason, Reason::AlreadySeeded, "{lower}: {}", denial.detail);
    }
    let raised = seed_from(&model, "timestamp", &timestamp(700, 3)).unwrap();
    assert_eq!((raised.revision, raised.head.as_ref().unwrap().version.get()), (3, 700));
    assert!(raised.has_released(version(700)) && raised.has_released(version(7)));
    assert_eq!(raised.head.as_ref().unwrap().signatures.len(), 0, "no key here has signed it");
    model.guards.insert(Role::Timestamp, raised);
    assert_eq!(model.refusal("timestamp", &timestamp(8, 3)), Reason::Rollback);
}

#[test]
fn a_guard_that_released_is_raised_too_and_keeps_its_rate() {
    let mut model = Model::new();
    model.release("targets", &targets(1));
    let before = model.guards[&Role::Targets].clone();
    let raised = seed_from(&model, "targets", &targets(5)).unwrap();
    assert_eq!((raised.rate, raised.revision), (before.rate, before.revision + 1));
    model.guards.insert(Role::Targets, raised);
    assert_eq!(model.refusal("targets", &targets(4)), Reason::Rollback);
    assert!(model.allows("targets", &targets(6)));
}

#[test]
fn a_published_version_with_other_bytes_than_the_released_is_told_as_what_it_is() {
    let mut model = Model::new();
    model.release("targets", &targets(1));
    let other = expiring(&targets(1), NOW.plus_seconds(3 * DAY));
    assert_eq!(seed_from(&model, "targets", &other).unwrap_err().reason, Reason::Equivocation);
}

#[test]
fn what_published_metadata_lists_does_not_fall_either() {
    let mut model = Model::new();
    model.guards.clear();
    model.seed("timestamp", &timestamp(7, 30));
    assert_eq!(seed_from(&model, "timestamp", &timestamp(8, 29)).unwrap_err().reason, Reason::ListedRollback);
    model.seed("snapshot", &snapshot(7, &[("releases", 2), ("targets", 3)]));
    let fewer = snapshot(8, &[("targets", 3)]);
    assert_eq!(seed_from(&model, "snapshot", &fewer).unwrap_err().reason, Reason::EntryRemoved);
    let jumped = snapshot(900, &[("releases", 700), ("targets", 800)]);
    assert!(seed_from(&model, "snapshot", &jumped).is_ok(), "another signer's steps are not ours to bound");
}

#[test]
fn a_guard_is_seeded_from_metadata_of_its_own_role_and_never_for_an_offline_one() {
    let mut model = Model::new();
    model.guards.clear();
    assert_eq!(seed_from(&model, "timestamp", &targets(1)).unwrap_err().reason, Reason::WrongRole);
    assert_eq!(seed_from(&model, "targets", &snapshot(1, &[("targets", 1)])).unwrap_err().reason, Reason::WrongRole);
    assert_eq!(seed_from(&model, "root", &targets(1)).unwrap_err().reason, Reason::OfflineRole);
    model.limits("targets").custody = Custody::Offline;
    assert_eq!(seed_from(&model, "targets", &targets(1)).unwrap_err().reason, Reason::OfflineRole);
    assert_eq!(seed_from(&model, "releases", &targets(1)).unwrap_err().reason, Reason::WrongRole);
}
