//! One key, one role, one durable signature.

use crate::support::{World, snapshot, targets, timestamp, tomorrow};

#[test]
fn a_new_repository_signs_its_first_versions_and_refuses_to_contradict_them() {
    let world = World::dev();
    let expires = tomorrow();
    world.key("demo", "timestamp", true);
    world.key("demo", "snapshot", false);
    world.key("demo", "targets", false);
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    let first = world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    assert_eq!(first.signatures[0].step, "advance");
    let again = world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    assert_eq!(again.signatures[0].step, "replay");
    assert_eq!(again.signatures[0].signature, first.signatures[0].signature);
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(1, 1, &crate::support::in_seconds(3600))), "equivocation");
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 2, &expires)), "listed-unreleased");
    world.sign("demo", "timestamp", &timestamp(2, 1, &expires)).unwrap();
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(1, 1, &expires)), "rollback");
}

#[test]
fn what_was_released_survives_a_kill() {
    let mut world = World::dev();
    let expires = tomorrow();
    world.key("demo", "timestamp", true);
    world.key("demo", "snapshot", false);
    world.key("demo", "targets", false);
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    let signed = world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    world.kill();
    world.start();
    let again = world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    assert_eq!(again.signatures[0].step, "replay");
    assert_eq!(again.signatures[0].signature, signed.signatures[0].signature);
    assert_eq!(world.stop(), Some(0));
}
