//! The files that we hand out are started, and what the README says is typed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{World, snapshot, targets, timestamp, tomorrow};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// An example with its three roots moved into the world's directory and its callers replaced by us.
pub(crate) fn example(name: &str) -> String {
    let text = fs::read_to_string(repository().join("hsm-config").join(name)).unwrap();
    text.replace("/etc/sealward", "{dir}")
        .replace("/var/lib/sealward", "{dir}")
        .replace("/run/sealward", "{dir}")
        .replace("unix:1000", "unix:{uid}")
        .replace("unix:0", "unix:{uid}")
}

fn signs(world: &World) {
    let expires = tomorrow();
    for (role, new) in [("timestamp", true), ("snapshot", false), ("targets", false)] {
        world.key("demo", role, new);
    }
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    let signed = world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    assert_eq!(signed.signatures.len(), 1);
}

#[test]
fn the_software_example_starts_and_signs() {
    let world = World::configured(&example("software.toml"));
    signs(&world);
}

#[test]
fn the_softhsm2_example_starts_and_signs() {
    let world = World::empty();
    let token = world.path("token");
    let made = Command::new("sh")
        .arg(repository().join("softhsm/setup.sh"))
        .arg(&token)
        // Without our programs on the PATH it makes the token only.
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::copy(token.join("softhsm2.conf"), world.path("softhsm2.conf")).unwrap();
    fs::copy(token.join("pin"), world.path("softhsm-pin")).unwrap();
    let world = world.init_and_start(&example("softhsm2.toml"));
    signs(&world);
}

#[test]
fn softhsm_setup_makes_a_token_keys_and_a_configuration_that_works() {
    let world = World::empty();
    let programs = Path::new(env!("CARGO_BIN_EXE_sealwardd")).parent().unwrap().display().to_string();
    let setup = || {
        let path = format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin");
        let script = repository().join("softhsm/setup.sh");
        Command::new("sh").arg(script).arg(world.path("hsm")).env("PATH", path).output().unwrap()
    };
    let made = setup();
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{text}{}", String::from_utf8_lossy(&made.stderr));
    for role in ["timestamp", "snapshot", "targets"] {
        assert!(text.lines().any(|line| line.contains(role) && line.contains("active")), "{text}");
    }
    let again = setup();
    assert!(again.status.success());
    assert!(!String::from_utf8_lossy(&again.stdout).contains("active"), "nothing is made twice");
}

#[test]
fn what_the_readme_says_is_typed() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_sealwardd")).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut typed = 0;
    for line in shell_lines(&readme) {
        let command = line.split(" #").next().unwrap().trim();
        if command.starts_with("make ") {
            // `make run`, `make test` and the demonstrations are CI's own steps (.ci/run); here only that they exist.
            let target = command.split_whitespace().nth(1).unwrap();
            let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
            assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{command}");
        } else {
            let done =
                Command::new("sh").args(["-c", command]).current_dir(repository()).env("PATH", &path).output().unwrap();
            assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        }
        typed += 1;
    }
    assert!(typed >= 3, "{typed}");
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(link.starts_with("https://") || repository().join(link).exists(), "{link}");
    }
}

#[test]
fn every_program_writes_its_manual_pages() {
    let pages = tempfile::tempdir().unwrap();
    for program in
        [env!("CARGO_BIN_EXE_sealwardd"), env!("CARGO_BIN_EXE_sealward"), env!("CARGO_BIN_EXE_sealward-ceremony")]
    {
        let done = Command::new(program).arg("man").arg(pages.path()).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    }
    for page in [
        "sealwardd.1",
        "sealwardd-init.1",
        "sealward.1",
        "sealward-sign.1",
        "sealward-ceremony.1",
        "sealward-ceremony-merge.1",
    ] {
        let text = fs::read_to_string(pages.path().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".SH NAME") && text.len() > 500, "{page}");
    }
}

fn shell_lines(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && !line.trim().is_empty() {
            lines.push(line);
        }
    }
    lines
}
