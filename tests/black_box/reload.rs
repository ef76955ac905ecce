//! A new configuration counts whole or not at all, while the daemon serves.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::{PATIENCE, SOFTWARE, World, timestamp, tomorrow};

fn in_force(world: &World) -> serde_json::Value {
    let output = world.sealward(&["--json", "status"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["configuration"].clone()
}

fn digest_of(world: &World) -> String {
    sealward::domain::name::Sha256Digest::of(&fs::read(world.path("sealward.toml")).unwrap()).to_string()
}

/// Waits until the daemon says so of its configuration.
fn wait_until(world: &World, what: impl Fn(&serde_json::Value) -> bool) {
    let begun = Instant::now();
    while !what(&in_force(world)) {
        assert!(begun.elapsed() < PATIENCE, "{}", in_force(world));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn grants_change_with_the_next_request_and_the_log_says_which_file() {
    let world = World::configured(SOFTWARE);
    assert_eq!(in_force(&world)["sha256"], digest_of(&world).as_str());
    assert!(world.sealward(&["audit", "list"]).status.success());
    world.reconfigure("\"operate\", \"audit\"", "\"operate\"");
    assert!(world.sealward(&["audit", "list"]).status.success(), "nothing changes before the reload");
    let (code, text) = world.reload();
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with(&format!("reloaded {}\n", digest_of(&world))), "{text}");
    assert!(text.contains("[wildcard-reaches-targets]"), "warnings are told: {text}");
    assert_eq!(world.sealward(&["audit", "list"]).status.code(), Some(77));
    assert_eq!(in_force(&world)["sha256"], digest_of(&world).as_str());
    // By signal, back again.
    world.reconfigure("\"operate\"", "\"operate\", \"audit\"");
    world.hang_up();
    wait_until(&world, |configuration| configuration["sha256"] == digest_of(&world).as_str());
    let leaves = String::from_utf8(world.sealward(&["audit", "list"]).stdout).unwrap();
    assert_eq!(leaves.matches(" reload ").count(), 2, "{leaves}");
}

#[test]
fn a_bad_file_changes_nothing_and_every_mistake_is_told_with_its_place() {
    let world = World::configured(SOFTWARE);
    let before = in_force(&world);
    let good = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let bad = good
        .replace("algorithm = \"ed25519\"", "algorithm = \"ed25518\"")
        .replace("custody = \"online\"", "custody = \"online\"\ncostudy = 1");
    fs::write(world.path("sealward.toml"), &bad).unwrap();
    let line = |wanted: &str| bad.lines().position(|line| line.contains(wanted)).unwrap() + 1;
    let (code, text) = world.reload();
    assert_eq!(code, 78, "{text}");
    for wanted in [line("ed25518"), line("costudy")] {
        assert!(text.contains(&format!("sealward.toml:{wanted}:")), "{text}");
    }
    assert!(text.contains("refused; in force is still"), "{text}");
    let after = in_force(&world);
    assert_eq!((&after["sha256"], &after["since"]), (&before["sha256"], &before["since"]));
    assert_eq!(after["problems"].as_array().unwrap().len(), 2, "{after}");
    assert!(world.log().contains("ed25518"), "the log says it too");
    let counted =
        "sealward_requests_total{verb=\"reload\",role=\"\",outcome=\"failed\",reason=\"configuration-refused\"} 1";
    assert!(world.metrics().contains(counted), "{}", world.metrics());
    // The file gone, then good again.
    fs::remove_file(world.path("sealward.toml")).unwrap();
    assert_eq!(world.reload().0, 78);
    fs::write(world.path("sealward.toml"), good).unwrap();
    assert_eq!(world.reload().0, 0);
    assert_eq!(in_force(&world)["refused"], "");
    assert_eq!(world.key("demo", "timestamp", true).state, "active");
}

#[test]
fn what_cannot_change_while_the_daemon_runs_is_refused_by_its_name() {
    let world = World::configured(SOFTWARE);
    let good = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let sock = format!("{}/sealward.sock", world.path("").display()).replace("//", "/");
    assert!(good.contains(&sock), "{sock}");
    for (old, new, named) in [
        ("/ledger\"", "/elsewhere\"", "[ledger]"),
        ("[log_key]", "[log_key]\npath = \"other\"", "[log_key]"),
        ("metrics.sock", "metrics2.sock", "[observe]"),
        ("mode = \"0600\"", "mode = \"0640\"", "[[listener]] `local`"),
        ("name = \"local\"", "name = \"other\"", "[[listener]] `local` is gone"),
        ("version = 1", "version = 1\nlog = { level = \"debug\" }", "[log]"),
        ("version = 1", "version = 1\nlimits = { requests_per_connection = 9 }", "requests_per_connection"),
    ] {
        assert!(good.contains(old), "{old}");
        fs::write(world.path("sealward.toml"), good.replacen(old, new, 1)).unwrap();
        let (code, text) = world.reload();
        assert_eq!(code, 78, "{new}: {text}");
        assert!(text.contains(named), "{new}: {text}");
    }
}

#[test]
fn whoever_has_no_grant_to_operate_reloads_nothing() {
    let world = World::configured(&SOFTWARE.replace("\"operate\", ", ""));
    let before = in_force(&world);
    world.reconfigure("\"explain\", ", "");
    let (code, text) = world.reload();
    assert_eq!(code, 77, "{text}");
    assert!(text.contains("no-grant"), "{text}");
    assert_eq!(in_force(&world), before);
    // The signal needs none.
    world.hang_up();
    wait_until(&world, |configuration| configuration["sha256"] == digest_of(&world).as_str());
}

const SECOND: &str = r#"
[[keystore]]
name = "second"
kind = "software"
directory = "second-keys"
unseal = { identity = { file = "identity" } }

[[repository]]
name = "other"

[repository.role.timestamp]
keystore = "second"
algorithm = "ecdsa-p256"
"#;

#[test]
fn keystores_come_and_go() {
    let world = World::configured(SOFTWARE);
    let good = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let private = |name: &str| {
        fs::create_dir(world.path(name)).unwrap();
        fs::set_permissions(world.path(name), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    };
    // One that does not open is refused, and nothing of the file counts.
    fs::write(world.path("sealward.toml"), format!("{good}{}", SECOND.replace("\"identity\"", "\"no-identity\"")))
        .unwrap();
    let (code, text) = world.reload();
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("keystore second"), "{text}");
    private("second-keys");
    fs::write(world.path("sealward.toml"), format!("{good}{SECOND}")).unwrap();
    let (code, text) = world.reload();
    assert_eq!(code, 0, "{text}");
    let key = world.key("other", "timestamp", true);
    assert_eq!(key.keystore, "second");
    let health = || world.health("keystore/second");
    let begun = Instant::now();
    while health() != Some(1) {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Changed: the same keys behind another queue.
    let changed = format!("{good}{}", SECOND.replacen("kind", "queue_limit = 3\nkind", 1));
    fs::write(world.path("sealward.toml"), changed).unwrap();
    assert_eq!(world.reload().0, 0);
    assert_eq!(world.try_key("other", &["timestamp"], false).unwrap().keystore, "second");
    // Gone.
    fs::write(world.path("sealward.toml"), &good).unwrap();
    assert_eq!(world.reload().0, 0);
    assert_eq!(world.try_key("other", &["timestamp"], false).unwrap_err().reason(), "unknown-repository");
    let status = String::from_utf8(world.sealward(&["status"]).stdout).unwrap();
    assert!(!status.contains("second"), "{status}");
    let begun = Instant::now();
    while health().is_some() {
        assert!(begun.elapsed() < PATIENCE, "health still tells of what is gone: {:?}", health());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(world.sealward(&["audit", "list"]).status.success());
}

#[test]
fn a_key_within_reach_keeps_its_role_from_becoming_offline() {
    let world = World::configured(SOFTWARE);
    world.key("demo", "timestamp", true);
    let before = in_force(&world);
    let role = "[repository.role.timestamp]\nkeystore = \"software\"\nalgorithm = \"ed25519\"\n";
    world.reconfigure(role, "[repository.role.timestamp]\ncustody = \"offline\"\n");
    let (code, text) = world.reload();
    assert_eq!(code, 78, "{text}");
    assert!(text.contains("which is offline"), "{text}");
    assert_eq!(in_force(&world)["sha256"], before["sha256"]);
    let signed = world.sign("demo", "timestamp", &timestamp(1, 1, &tomorrow()));
    assert_ne!(signed.unwrap_err().reason(), "offline-role", "the old rules are in force");
}

#[test]
fn reloads_that_race_with_signatures_and_each_other_leave_every_answer_whole() {
    let world = World::configured(SOFTWARE);
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    let expires = tomorrow();
    world.sign("demo", "targets", &crate::support::targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &crate::support::snapshot(1, 1, &[], &expires)).unwrap();
    world.reconfigure(
        "algorithm = \"ed25519\"",
        "algorithm = \"ed25519\"\nrelease_rate = { per_hour = 100000, burst = 100000 }",
    );
    assert_eq!(world.reload().0, 0);
    let good = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let without = good.replace("verbs = [\"sign\", ", "verbs = [");
    let (running, reloads) = (AtomicBool::new(true), AtomicUsize::new(0));
    let (signed, denied) = std::thread::scope(|scope| {
        for reloader in 0..2 {
            let (world, good, without, running, reloads) = (world.path(""), &good, &without, &running, &reloads);
            let server = format!("unix:{}", world.join("sealward.sock").display());
            scope.spawn(move || {
                for turn in 0..15 {
                    let text = if (turn + reloader) % 2 == 0 { without } else { good };
                    let new = world.join(format!("new-{reloader}"));
                    fs::write(&new, text).unwrap();
                    fs::rename(&new, world.join("sealward.toml")).unwrap();
                    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealward"))
                        .args(["--server", &server, "reload"])
                        .output()
                        .unwrap();
                    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
                    reloads.fetch_add(1, Ordering::Relaxed);
                }
                running.store(false, Ordering::Relaxed);
            });
        }
        let (mut version, mut denied) = (0, 0);
        while running.load(Ordering::Relaxed) {
            match world.sign("demo", "timestamp", &timestamp(version + 1, 1, &expires)) {
                Ok(_) => version += 1,
                Err(error) => {
                    assert_eq!(error.reason(), "no-grant", "{error}");
                    denied += 1;
                }
            }
        }
        (version, denied)
    });
    assert_eq!(reloads.load(Ordering::Relaxed), 30);
    assert!(signed > 0 && denied > 0, "{signed} signed, {denied} denied");
    fs::write(world.path("sealward.toml"), good).unwrap();
    assert_eq!(world.reload().0, 0);
    assert!(world.sign("demo", "timestamp", &timestamp(signed + 1, 1, &expires)).is_ok());
    let leaves = String::from_utf8(world.sealward(&["audit", "list"]).stdout).unwrap();
    assert_eq!(leaves.matches(" reload ").count(), 32, "a leaf per reload");
}

#[test]
fn files_that_say_who_is_who_are_files_that_not_everybody_may_write() {
    let world = World::configured(SOFTWARE);
    let good = fs::read_to_string(world.path("sealward.toml")).unwrap();
    let provider = "[[oidc]]\nname = \"cluster\"\nissuer = \"https://cluster.example\"\naudiences = [\"signer\"]\n";
    let identity = "[[oidc.identity]]\nname = \"signer\"\nclaims = { sub = \"signer\" }\n";
    assert!(std::process::Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    fs::write(world.path("open"), "{}").unwrap();
    fs::set_permissions(world.path("open"), std::os::unix::fs::PermissionsExt::from_mode(0o646)).unwrap();
    for keys in ["jwks_file = \"{}\"", "jwks_url = \"https://cluster.example/keys\"\nca = \"{}\""] {
        for (file, why) in [("pipe", "is no regular file"), ("open", "everybody on this machine may write it")] {
            let keys = keys.replace("{}", file);
            fs::write(world.path("sealward.toml"), format!("{good}{provider}{keys}\n{identity}")).unwrap();
            let (code, text) = world.reload();
            assert_eq!(code, 78, "{keys}: {text}");
            assert!(text.contains(why) && text.contains("provider cluster"), "{keys}: {text}");
        }
    }
    fs::write(world.path("sealward.toml"), good).unwrap();
    assert_eq!(world.reload().0, 0, "nothing is held up");
}
