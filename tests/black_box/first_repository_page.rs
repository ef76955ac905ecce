//! `docs/first-repository.md`, typed under `hsm-config/software.toml`.

use std::fs;

use super::examples::example;
use super::rotation_page::{commands, typed};
use crate::support::{World, targets, tomorrow};

#[test]
fn a_newcomer_who_types_the_page_goes_from_an_empty_daemon_to_a_first_release() {
    // A rehearsal's work factor, without a word about it in the page: only time differs.
    let script = commands("first-repository.md").replace("keygen ", "keygen --work-factor 10 ");
    assert!(script.matches("sealward ").count() >= 12, "{script}");
    let world = World::configured(&example("software.toml"));
    let told = typed(&world, &script);
    let talk = String::from_utf8_lossy(&told.stderr).into_owned();
    let told = String::from_utf8(told.stdout).unwrap();
    for role in ["targets", "snapshot", "timestamp"] {
        assert!(told.contains(&format!("verified: {role} version 1")), "{told}");
    }
    assert!(told.contains("trusted     version 1"), "{told}");
    assert!(!talk.contains("nothing can be signed"), "with --new-repository nothing is missing: {talk}");
    for file in ["1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"] {
        assert!(fs::read_to_string(world.path("published").join(file)).unwrap().contains("\"keyid\""), "{file}");
    }
}

#[test]
fn a_first_key_without_new_repository_says_that_nothing_can_be_signed() {
    let world = World::configured(&example("software.toml"));
    let output = world.sealward(&["key", "generate", "--repository", "demo", "--role", "timestamp"]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{talk}");
    assert!(talk.contains("nothing can be signed for timestamp of demo yet"), "{talk}");
    assert!(talk.contains("sealward guard seed --repository demo --role timestamp FILE"), "{talk}");
    // As it is told.
    let seed = ["guard", "seed", "--repository", "demo", "--new-repository"];
    assert!(talk.contains(&format!("sealward {}", seed.join(" "))), "{talk}");
    assert_eq!(world.sealward(&seed).status.code(), Some(0));
    let output = world.sealward(&["--json", "key", "generate", "--repository", "demo", "--role", "snapshot"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["unseeded"], &answer["key"]["state"]), (&serde_json::json!([]), &"active".into()), "{answer}");
    world.key("demo", "targets", false);
    world.sign("demo", "targets", &targets(1, &tomorrow())).unwrap();
    let again = world.sealward(&seed);
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(77), "{told}");
    assert!(told.starts_with("denied: not-new-repository: "), "{told}");
}
