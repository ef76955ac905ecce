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
    let known = Known { policy: &model.policy, keys: &model.keys, guards: &model.guards, roots: &model.roots };
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
fn seeding_happens_once() {
    let mut model = Model::new();
    let first = seed_from(&model, "timestamp", &timestamp(7, 3)).unwrap();
    assert_eq!(first.revision, 2, "a guard seeded as 0 may still learn what was published");
    model.guards.insert(Role::Timestamp, first);
    assert_eq!(seed_from(&model, "timestamp", &timestamp(8, 3)).unwrap_err().reason, Reason::AlreadySeeded);
    let mut model = Model::new();
    model.release("targets", &targets(1));
    assert_eq!(seed_from(&model, "targets", &targets(5)).unwrap_err().reason, Reason::AlreadySeeded);
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
