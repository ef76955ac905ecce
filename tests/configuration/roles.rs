//! Roles by pattern, the loud `targets/*`, sets of roles, and what keys may be made.

use sealward::config::Configuration;
use sealward::domain::name::Role;

use super::{good, line_of, mistake, mistakes, usual_with};

/// The usual file with more about its repository.
fn with(more: &str) -> String {
    usual_with("[[grant]]", &format!("{more}\n[[grant]]"))
}

fn role(name: &str) -> Role {
    name.parse().unwrap()
}

fn expiry(configuration: &Configuration, name: &str) -> Option<i64> {
    let policy = configuration.policies.find(&"acme/app".parse().unwrap()).unwrap();
    policy.role(&role(name)).map(|limits| limits.max_expiry_seconds / 86_400)
}

/// A table of a role that is online, with an expiry in days to know it by.
fn table(name: &str, days: u32) -> String {
    format!("[repository.role.\"{name}\"]\ncustody = \"online\"\nmax_expiry = \"{days}d\"\n")
}

#[test]
fn a_pattern_is_for_delegated_roles_without_a_table_and_the_first_of_the_file_holds() {
    let text = [table("releases/*", 1), table("releases/stable", 2), table("releases/**", 3), table("**", 4)].concat();
    let configuration = good(&with(&text));
    let found = ["releases/a", "releases/stable", "releases/a/b", "other", "timestamp"]
        .map(|name| expiry(&configuration, name));
    assert_eq!(found, [Some(1), Some(2), Some(3), Some(4), Some(7)]);
}

#[test]
fn no_pattern_reaches_a_top_level_role_nor_the_unguarded_one() {
    let configuration = good(&with(&[table("**", 4), table("t*", 5), table("targets/*", 6)].concat()));
    for name in ["targets", "snapshot", "root", Role::UNGUARDED] {
        assert_eq!(expiry(&configuration, name), None, "{name}");
    }
    assert_eq!(expiry(&configuration, "targets/a"), Some(4), "without `unguarded` that is a pattern like others");
    let policy = configuration.policies.find(&"acme/app".parse().unwrap()).unwrap();
    assert!(policy.unguarded().is_none());
}

const LOUD: &str = "[repository.role.\"targets/*\"]\nunguarded = true\ncustody = \"online\"\nmax_expiry = \"9d\"\nkeystore = \"hsm\"\n";

#[test]
fn the_unguarded_role_exists_only_when_it_is_said_and_is_warned_of() {
    let configuration = good(&with(LOUD));
    assert_eq!(expiry(&configuration, Role::UNGUARDED), Some(9));
    assert_eq!((expiry(&configuration, "targets"), expiry(&configuration, "targets/a")), (None, None));
    let warnings = configuration.warnings.join("\n");
    assert!(
        warnings.contains("[unguarded-targets] `targets/*` of `acme/app` has no guard, nor has targets"),
        "{warnings}"
    );
}

#[test]
fn unguarded_is_said_of_nothing_else_and_beside_no_guard_of_targets() {
    for name in ["targets", "snapshot", "releases", "releases/*", "targets/**", "targets/a"] {
        let line = mistake(&with(&LOUD.replace("targets/*", name)));
        assert!(line.contains("[conflict] `unguarded` is for \"targets/*\" alone"), "{line}");
    }
    let beside = mistake(&with(&format!("{LOUD}{}", table("targets", 3))));
    assert!(beside.contains("[conflict] beside an unguarded `targets/*` no guard could hold targets"), "{beside}");
    let offline = "[repository.role.targets]\ncustody = \"offline\"\n";
    assert_eq!(expiry(&good(&with(&format!("{LOUD}{offline}"))), "targets"), Some(365));
    let both = mistakes(&with(&LOUD.replace("\"online\"", "\"offline\""))).join("\n");
    assert!(both.contains("[conflict] `targets/*` is online"), "{both}");
    let attended = mistakes(&with(&LOUD.replace("custody = \"online\"\n", ""))).join("\n");
    assert!(attended.contains("[conflict] `targets/*` is online"), "{attended}");
}

#[test]
fn a_set_of_roles_is_of_roles_of_the_repository_and_is_warned_of() {
    let sets = |sets: &str, more: &str| {
        usual_with("name = \"acme/app\"", &format!("name = \"acme/app\"\nrole_sets = {sets}"))
            .replace("[[grant]]", &format!("{more}\n[[grant]]"))
    };
    let configuration = good(&sets("[[\"timestamp\", \"targets/*\"]]", LOUD));
    let policy = configuration.policies.find(&"acme/app".parse().unwrap()).unwrap();
    assert_eq!(policy.role_sets, [[Role::Timestamp, role("targets/*")].into()]);
    let warnings = configuration.warnings.join("\n");
    assert!(warnings.contains("[key-of-several-roles] one key of `acme/app` may sign for"), "{warnings}");
    for (set, code) in [
        ("[[\"timestamp\", \"snapshot\"]]", "[unknown-reference]"),
        ("[[\"timestamp\", \"root\"]]", "[offline-role]"),
        ("[[\"timestamp\", \"targets\"]]", "[offline-role]"),
        ("[[\"timestamp\"]]", "[invalid-value]"),
        ("[[]]", "[invalid-value]"),
        ("[\"timestamp\"]", "[wrong-type]"),
        ("[[\"timestamp\", \"Targets\"]]", "[invalid-name]"),
        ("[[\"timestamp\", \"targets/*\", \"timestamp\"]]", "[duplicate]"),
    ] {
        let text = sets(set, &format!("{LOUD}[repository.role.targets]\ncustody = \"offline\"\n"));
        let found = mistakes(&text).join("\n");
        assert!(found.contains(code), "{set}: {found}");
    }
}

#[test]
fn no_set_has_the_unguarded_role_beside_one_that_has_a_guard_to_hold_it() {
    let sets = |set: &str| {
        let more = format!("{LOUD}{}", table("releases", 3));
        usual_with(
            "name = \"acme/app\"",
            &format!("name = \"acme/app\"\nrole_sets = [[\"timestamp\", \"targets/*\"], {set}]"),
        )
        .replace("[[grant]]", &format!("{more}\n[[grant]]"))
    };
    let text = sets("[\"releases\", \"targets/*\"]");
    let line = mistake(&text);
    assert!(line.contains("[conflict] `role_sets`: a key of `targets/*` signs whatever is of type targets"), "{line}");
    assert!(line.starts_with(&line_of(&text, "role_sets")), "{line}");
    good(&sets("[\"releases\", \"timestamp\"]"));
}

#[test]
fn a_template_names_keystores_and_algorithms_that_exist() {
    let more = "keystore = \"hsm\"\nkeystores = [\"files\"]\nalgorithms = [\"ed25519\"]\nmax_pending_keys = 2\n";
    let configuration = good(&usual_with("keystore = \"hsm\"\n", more));
    let policy = configuration.policies.find(&"acme/app".parse().unwrap()).unwrap();
    let limits = policy.role(&Role::Timestamp).unwrap();
    assert_eq!(limits.keystores, ["files".parse().unwrap()]);
    assert_eq!(limits.algorithms, ["ed25519".parse().unwrap()]);
    assert_eq!(limits.max_pending_keys, 2);
    for (old, new, code) in [
        ("\"files\"", "\"flies\"", "[unknown-reference]"),
        ("\"ed25519\"", "\"ed448\"", "[invalid-value]"),
        ("= 2", "= 0", "[out-of-range]"),
        ("[\"files\"]", "\"files\"", "[wrong-type]"),
    ] {
        let line = mistake(&usual_with("keystore = \"hsm\"\n", &more.replacen(old, new, 1)));
        assert!(line.contains(code), "{new}: {line}");
    }
    let offline = format!("{more}custody = \"offline\"\n");
    assert!(mistakes(&usual_with("keystore = \"hsm\"\n", &offline)).iter().all(|line| line.contains("[offline-role]")));
}
