//! `sealwardd init` and the first administrator: named in the configuration, in the log's first leaf, and nowhere else.

use std::fs;
use std::process::Output;

use crate::support::{SOFTWARE, World, targets, tomorrow};

/// The usual daemon with nobody in it.
fn without_grants() -> World {
    let world = World::empty();
    world.configure(SOFTWARE.split("[[grant]]").next().unwrap());
    world
}

fn init(world: &World, more: &[&str]) -> Output {
    let config = world.path("sealward.toml");
    world.sealwardd(&[&["init", "--config", config.to_str().unwrap()], more].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn init_makes_nothing_before_it_knows_who_administers() {
    let world = without_grants();
    let before = fs::read(world.path("sealward.toml")).unwrap();
    let refused = init(&world, &[]);
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("--administrator unix:"), "{}", said(&refused));
    for (bad, wanted) in [
        ("unix-group:0", "is one person"),
        ("uri:spiffe://acme/*", "is one person"),
        ("anonymous@local", "is one person"),
        ("person:alice", "no [[person]] `alice`"),
        ("root", "names no caller"),
        ("a b=unix:1", "1 to 64 characters"),
        ("unix:1\"]\ncallers=[\"unix:2", "names no caller"),
        ("unix:1,unix:2", "names no caller"),
    ] {
        let refused = init(&world, &["--administrator", bad]);
        assert_eq!(refused.status.code(), Some(64), "{bad}: {}", said(&refused));
        assert!(said(&refused).contains(wanted), "{bad}: {}", said(&refused));
    }
    assert_eq!(fs::read(world.path("sealward.toml")).unwrap(), before);
    assert!(!world.path("ledger").exists() && !world.path("keys").exists() && !world.path("identity").exists());
}

#[test]
fn the_first_administrator_is_written_to_the_file_and_to_the_first_leaf() {
    let mut world = without_grants();
    let before = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let made = init(&world, &["--administrator", &format!("alice=unix:{uid}")]);
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("first administrator: person:alice, written to "), "{}", said(&made));
    let after = fs::read_to_string(world.path("sealward.toml")).unwrap();
    assert!(after.starts_with(&before) && after.contains("callers = [\"person:alice\"]"), "{after}");
    let check = world.sealwardd(&["config", "check", "--config", world.path("sealward.toml").to_str().unwrap()]);
    assert!(!said(&check).contains("[wildcard") && !said(&check).contains("[person"), "{}", said(&check));

    world.start();
    world.key("demo", "targets", true);
    assert_eq!(world.refusal("demo", "targets", &targets(1, &tomorrow())), "no-grant", "administrators do not sign");
    let whoami = world.sealward(&["--json", "whoami"]);
    assert!(String::from_utf8_lossy(&whoami.stdout).contains("person:alice"), "{whoami:?}");
    let leaves = world.sealward(&["--json", "audit", "list", "--start", "0"]);
    let first = String::from_utf8(leaves.stdout).unwrap().lines().next().unwrap_or_default().to_owned();
    assert!(
        first.contains("person:alice") && first.contains("\"init\"") && first.contains("administration"),
        "{first}"
    );
    let config = world.path("sealward.toml");
    let table = world.sealward(&["config", "explain", "--config", config.to_str().unwrap()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("manage-keys") && !table.contains("sign,") && !table.contains("approve"), "{table}");
}

#[test]
fn init_makes_one_administrator_and_only_the_first() {
    let world = World::empty();
    world.configure(SOFTWARE);
    let refused = init(&world, &["--administrator", "unix:7"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(said(&refused).contains("may make keys already"), "{}", said(&refused));
    assert!(!world.path("ledger").exists());
    let made = init(&world, &[]);
    assert!(made.status.success() && said(&made).contains("first administrator: unix:"), "{}", said(&made));
    let text = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let again = init(&world, &["--administrator", "unix:7"]);
    assert_eq!(again.status.code(), Some(78), "the ledger is there: {}", said(&again));
    assert_eq!(fs::read_to_string(world.path("sealward.toml")).unwrap(), text);
}

#[test]
fn a_person_of_the_file_becomes_administrator_by_name_or_identity() {
    for wish in ["person:alice", "unix:7"] {
        let world = World::empty();
        let nobody = SOFTWARE.split("[[grant]]").next().unwrap();
        world.configure(&format!("{nobody}\n[[person]]\nname = \"alice\"\nidentities = [\"unix:7\"]\n# the end"));
        let made = init(&world, &["--administrator", wish]);
        assert!(made.status.success(), "{}", said(&made));
        let text = fs::read_to_string(world.path("sealward.toml")).unwrap();
        assert!(text.matches("[[person]]").count() == 1 && text.contains("# the end\n\n# The first"), "{text}");
        assert!(text.contains("callers = [\"person:alice\"]"), "{text}");
    }
}
