//! A rotation under SIGKILL: at each step the daemon is killed again and again while it works, what it left is whole, and
//! the step is taken once more. In the end the rotation is complete.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::rotation::{asked, id, leaves, root_for, rooted, wait_for, world_with};
use crate::support::{World, timestamp, tomorrow};

/// When the daemon is killed after the command was started, in microseconds: around the time that a request takes, on a
/// machine that has nothing else to do and on one that has.
const DELAYS: [u64; 12] = [0, 1000, 2000, 3000, 3500, 4000, 4500, 5000, 6000, 8000, 15_000, 40_000];

/// Runs a command, kills the daemon meanwhile, and starts it again.
fn killed_during(world: &mut World, delay: u64, arguments: &[&str]) {
    let mut client = Command::new(env!("CARGO_BIN_EXE_sealward"))
        .args(["--server", &world.server(), "--timeout", "2s"])
        .args(arguments)
        .current_dir(world.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_micros(delay));
    world.kill();
    // Its retries find nobody; whether it got its answer does not matter.
    client.kill().unwrap();
    client.wait().unwrap();
    world.start();
}

/// Trusted version, staged version, and the state of each key.
fn standing(world: &World) -> (u64, Option<u64>, BTreeMap<String, String>) {
    let state = asked(world, &["root", "show", "--repository", "demo"], 0)["state"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let keys = state["keys"].as_array().unwrap();
    let states = keys.iter().map(|key| (text(&key["public_key"]["key"]), text(&key["state"]))).collect();
    (state["trusted"]["version"].as_u64().unwrap(), state["staged"]["version"].as_u64(), states)
}

/// Roots, key states and leaves go together, whatever was cut short. Returns how far the rotation is.
fn check_whole(world: &World, old: &str, new: &str) -> &'static str {
    let (trusted, staged, states) = standing(world);
    let of = |key: &str| states.get(key).map_or("", String::as_str);
    let phase = match (trusted, staged, of(old), of(new)) {
        (1, None, "active", "pending") => "made",
        (1, Some(2), "retiring", "active") => "staged",
        (2, None, "retired" | "destroyed", "active") => "published",
        other => panic!("half a rotation: {other:?}"),
    };
    let told = leaves(world);
    let count = |verb: &str| {
        told.iter()
            .filter(|leaf| leaf["verb"] == verb && leaf["outcome"] == "succeeded" && leaf["version"] == 2)
            .count()
    };
    assert_eq!(count("publish-root"), usize::from(phase == "published"), "a promotion and its leaf are one");
    let staged_now = count("stage-root") - count("withdraw-root") - count("publish-root");
    assert_eq!(staged_now, usize::from(phase == "staged"), "so are a staging, a withdrawal and theirs");
    phase
}

/// Takes a step, killed at each delay and then in peace, with everything whole after each.
fn under_kills(world: &mut World, delays: &[u64], command: &[&str], (old, new): (&str, &str), after: &str) {
    for delay in delays {
        killed_during(world, *delay, command);
        check_whole(world, old, new);
    }
    asked(world, command, 0);
    assert_eq!(check_whole(world, old, new), after);
}

#[test]
fn a_rotation_that_is_killed_at_each_step_goes_on_to_its_end() {
    let mut repository = rooted(world_with("destroy_delay = \"1s\"", "max_version_step = 100"));
    let old = repository.roles[0].1[0].id().to_string();

    // Making the successor: a key is recorded, or an orphan is told of; none is lost without a word.
    for delay in DELAYS {
        let rotate = ["key", "rotate", "--repository", "demo", "--role", "timestamp"];
        killed_during(&mut repository.world, delay, &rotate);
        let files = std::fs::read_dir(repository.world.path("keys")).unwrap().count();
        let status = asked(&repository.world, &["status"], 0);
        let orphans = status["keystores"][0]["orphans"].as_array().unwrap().len();
        assert_eq!(standing(&repository.world).2.len() + orphans, files);
    }
    let successor = repository.world.key("demo", "timestamp", false);
    let new = id(&successor);
    assert_eq!(check_whole(&repository.world, &old, &new), "made");

    std::fs::write(repository.world.path("2.root.json"), root_for(&repository, 2, &successor)).unwrap();
    let stage = ["root", "stage", "--repository", "demo", "2.root.json"];
    let withdraw = ["root", "withdraw", "--repository", "demo"];
    let publish = ["root", "publish", "--repository", "demo", "2.root.json"];
    for delay in DELAYS {
        under_kills(&mut repository.world, &[delay], &stage, (&old, &new), "staged");
        under_kills(&mut repository.world, &[delay], &withdraw, (&old, &new), "made");
    }
    asked(&repository.world, &stage, 0);

    // Dual signing: what comes back in the end carries both signatures, and a version that was begun is never lost.
    let expires = tomorrow();
    let metadata = repository.world.path("timestamp.json");
    let sign = ["sign", "--repository", "demo", "--role", "timestamp", "timestamp.json"];
    for (version, delay) in (2..).zip(DELAYS) {
        let payload = timestamp(version, 1, &expires);
        std::fs::write(&metadata, format!(r#"{{"signatures":[],"signed":{payload}}}"#)).unwrap();
        killed_during(&mut repository.world, delay, &sign);
        let signed = repository.world.sign("demo", "timestamp", &payload).unwrap();
        assert_eq!(signed.signatures.len(), 2);
        assert_eq!((signed.trusted_threshold_met, signed.staged_threshold_met), (Some(true), Some(true)));
        assert_eq!(check_whole(&repository.world, &old, &new), "staged");
    }

    under_kills(&mut repository.world, &DELAYS, &publish, (&old, &new), "published");
    let by_new = repository.world.sign("demo", "timestamp", &timestamp(20, 1, &expires)).unwrap();
    assert_eq!(by_new.signatures.iter().map(|one| one.key.clone()).collect::<Vec<_>>(), std::slice::from_ref(&new));

    // The end of the old key: asked for under kills, due after a second, carried out under kills.
    let destroy = ["key", "destroy", old.as_str()];
    under_kills(&mut repository.world, &DELAYS, &destroy, (&old, &new), "published");
    for delay in [0, 300, 700, 1000, 1500] {
        std::thread::sleep(Duration::from_millis(delay));
        repository.world.kill();
        repository.world.start();
    }
    wait_for(&repository.world, &old, "state", "destroyed");
    assert_eq!(check_whole(&repository.world, &old, &new), "published");
    let ended = leaves(&repository.world);
    let ends = ended.iter().filter(|leaf| leaf["verb"] == "destroy-end" && leaf["outcome"] == "succeeded").count();
    assert_eq!(ends, 1);
}
