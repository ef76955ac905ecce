//! `softhsm/setup.sh`: one command, a token and a configuration that reads; run again, nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealward::config::load;
use sealward::domain::caller::Caller;
use sealward::domain::grant::Verb;
use sealward::domain::name::Role;
use sealward::keystore::settings::{KindSettings, SecretSource};

fn setup(directory: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("softhsm/setup.sh");
    // Without our programs on the PATH: with them it also makes keys (tests/black_box/examples.rs).
    Command::new("sh").arg(script).arg(directory).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
}

/// Whether SoftHSM2 is here. On a developer's machine its absence is told; in CI it is a failure.
fn softhsm_is_here() -> bool {
    let here = Command::new("softhsm2-util").arg("--version").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "CI needs softhsm2-util");
    if !here {
        println!("skipped: softhsm2-util is not installed");
    }
    here
}

/// Every file with its bytes and mode.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(contents(&entry.path()));
        } else {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            files.insert(entry.path(), (fs::read(entry.path()).unwrap(), mode));
        }
    }
    files
}

#[test]
fn one_command_makes_a_token_and_a_configuration_that_reads_and_again_changes_nothing() {
    if !softhsm_is_here() {
        return;
    }
    let world = tempfile::tempdir().unwrap();
    let directory = world.path().join("new/token");
    let output = setup(&directory);
    assert!(output.status.success(), "{output:?}");
    let talk = String::from_utf8(output.stdout).unwrap();

    let configuration = load(&directory.join("sealward.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(configuration.warnings, Vec::<String>::new());
    let KindSettings::Pkcs11(token) = &configuration.keystores[0].kind else { panic!("{configuration:?}") };
    let serial = token.token_serial.as_deref().unwrap();
    assert!(serial.len() == 16 && talk.contains(&format!("serial {serial}\n")), "{talk}");
    let SecretSource::File(pin) = &token.pin else { panic!("{token:?}") };
    assert!(!talk.contains(&fs::read_to_string(pin).unwrap()), "the PIN is not shown");
    let me = Caller::Unix { uid: fs::metadata(&directory).unwrap().uid(), gids: vec![] };
    let demo = "demo".parse().unwrap();
    assert!(configuration.grants.allow_role(&me, Verb::Sign, &demo, &Role::Timestamp));
    assert!(configuration.grants.allow_daemon(&me, Verb::Status));
    for command in ["sealwardd init --config ", "sealwardd --config ", "key generate --repository demo"] {
        assert!(talk.contains(command), "{talk}");
    }

    let before = contents(&directory);
    assert!(before.len() >= 6 && before.values().all(|(_, mode)| mode & 0o077 == 0), "{:?}", before.keys());
    assert!(setup(&directory).status.success());
    assert_eq!(contents(&directory), before);

    // What an interrupted run left out is made by the next one, and what it made stays.
    fs::remove_file(directory.join("sealward.toml")).unwrap();
    assert!(setup(&directory).status.success());
    assert_eq!(contents(&directory), before);
}

#[test]
fn a_directory_with_other_files_is_refused_and_left_alone() {
    if !softhsm_is_here() {
        return;
    }
    let world = tempfile::tempdir().unwrap();
    fs::write(world.path().join("thesis.txt"), "x").unwrap();
    let mode = fs::metadata(world.path()).unwrap().permissions().mode();
    let output = setup(world.path());
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert_eq!(contents(world.path()).len(), 1);
    assert_eq!(fs::metadata(world.path()).unwrap().permissions().mode(), mode);
    for bad in [world.path().join("a\"b"), world.path().join("a b"), world.path().join("x".repeat(100))] {
        let output = setup(&bad);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
    }
}
