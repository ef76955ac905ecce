//! `docs/rotation.md`, typed; and the same rotation with python-tuf's clients at each step.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealward::domain::name::Sha256Digest;

use super::rotation::{asked, wait_for, world_with};
use crate::support::{World, bounded, snapshot, targets, timestamp, tomorrow};

fn programs() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sealward")).parent().unwrap().to_owned()
}

/// Types commands in a world's directory.
pub(crate) fn typed(world: &World, script: &str) -> Output {
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(world.path(""));
    let output = bounded(command.env("PATH", path).env("SEALWARD_SERVER", world.server()));
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    output
}

/// What stands in a page's `sh` blocks.
pub(crate) fn commands(page: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}

/// What the page takes for granted: holders, a first root, first metadata.
fn begun() -> World {
    let world = world_with("destroy_delay = \"2s\"", "");
    let mut online = String::new();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        let key = world.key("demo", role, new).public_key.unwrap();
        fs::write(world.path(&format!("{role}.pem")), key.pem).unwrap();
        online.push_str(&format!(" {role}={role}.pem"));
    }
    let script = format!(
        "umask 077; mkdir published
        for holder in alice bob; do
          echo \"$holder has a secret\" > $holder.passphrase
          sealward-ceremony keygen --state $holder --name $holder --passphrase-file $holder.passphrase --work-factor 10
        done
        sealward-ceremony propose --out proposal.json --first --expires-in 365d --root-threshold 2 \
          --root-key alice/alice.pub.json bob/bob.pub.json --key{online} > digest
        for holder in alice bob; do
          sealward-ceremony sign --state $holder --name $holder --proposal proposal.json --first \
            --digest \"$(cat digest)\" --passphrase-file $holder.passphrase
        done
        sealward-ceremony merge --proposal proposal.json --first --out 1.root.json alice/alice.sig.json bob/bob.sig.json"
    );
    typed(&world, &script);
    let pin = Sha256Digest::of(&fs::read(world.path("1.root.json")).unwrap()).to_string();
    asked(&world, &["root", "publish", "--repository", "demo", "--pin", &pin, "1.root.json"], 0);
    let expires = tomorrow();
    for (role, file, payload) in [
        ("targets", "1.targets.json", targets(1, &expires)),
        ("snapshot", "1.snapshot.json", snapshot(1, 1, &[], &expires)),
        ("timestamp", "timestamp.json", timestamp(1, 1, &expires)),
    ] {
        fs::write(world.path("unsigned"), format!(r#"{{"signatures":[],"signed":{payload}}}"#)).unwrap();
        let signed = world.sealward(&["sign", "--repository", "demo", "--role", role, "unsigned"]);
        fs::write(world.path(file), signed.stdout).unwrap();
    }
    world
}

#[test]
fn an_operator_who_types_the_page_rotates_both_online_keys() {
    let script = commands("rotation.md");
    assert!(script.matches("sealward ").count() >= 20, "{script}");
    let world = begun();
    let before = asked(&world, &["key", "list", "--repository", "demo"], 0)["keys"].clone();
    let told = typed(&world, &script);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("1. next    make") && told.contains("rotation published"), "{told}");
    for file in ["timestamp.json", "1.snapshot.json"] {
        let file = fs::read_to_string(world.path("published").join(file)).unwrap();
        assert_eq!(file.matches("\"keyid\"").count(), 2, "{file}");
    }
    for key in before.as_array().unwrap() {
        let id = key["public_key"]["key"].as_str().unwrap();
        if key["roles"][0] != "targets" {
            wait_for(&world, id, "state", "destroyed");
        }
    }
    let signed = world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).unwrap();
    assert_eq!((signed.signatures.len(), signed.trusted_threshold_met), (1, Some(true)));
}

#[test]
fn no_client_of_any_older_root_fails_at_any_step_of_a_rotation_through_two_roots() {
    let venv = std::env::var_os("SEALWARD_TEST_VENV").map(PathBuf::from);
    let venv = venv.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/sealward-venv"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/rotation.py");
    let output = bounded(Command::new(venv.join("bin/python")).arg(script).arg("--bin").arg(programs()));
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("and none failed") && told.contains("rotation: ok, "), "{told}");
    assert!(told.contains("root 3 is promoted: clients that began at root 1, 2, 3 update to root 3"), "{told}");
}
