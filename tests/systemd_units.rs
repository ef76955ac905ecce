//! The units of `systemd/`, held by systemd's own tools against copies in a directory of the test's own.

// clippy.toml lets tests stop at the first surprise; their helpers are no tests to clippy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealward::config::ConfigErrors;
use sealward::domain::outcome::{Outcome, Reason};

const UNITS: [&str; 3] = ["sealward.service", "sealward.socket", "sealward-tcp.socket"];

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd")
}

fn unit(name: &str) -> String {
    fs::read_to_string(directory().join(name)).unwrap()
}

/// The values of a key in a unit.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Copies of the units that name programs which exist here; the drop-ins as they would stand in /etc.
fn installed(drop_ins: bool) -> tempfile::TempDir {
    let world = tempfile::tempdir().unwrap();
    for name in UNITS {
        let text =
            unit(name).replace("/usr/bin/sealwardd", "/bin/true").replace("/usr/bin/sealward-token", "/bin/true");
        fs::write(world.path().join(name), text).unwrap();
    }
    if drop_ins {
        let target = world.path().join("sealward.service.d");
        fs::create_dir(&target).unwrap();
        for entry in fs::read_dir(directory().join("sealward.service.d")).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            fs::copy(entry.path(), target.join(name.strip_suffix(".example").unwrap())).unwrap();
        }
    }
    world
}

/// Runs systemd-analyze. `None` where there is none: told on a developer's machine, a failure in CI.
fn analyze(world: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("systemd-analyze");
    command.current_dir(world).args(arguments).env("SYSTEMD_UNIT_PATH", format!("{}:", world.display()));
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs systemd-analyze: {error}");
            println!("skipped: systemd-analyze does not run here: {error}");
            None
        }
    }
}

#[test]
fn systemd_accepts_the_units_with_and_without_drop_ins() {
    for drop_ins in [false, true] {
        let world = installed(drop_ins);
        let units = UNITS.map(|name| format!("./{name}"));
        let mut arguments = vec!["verify", "--man=no"];
        arguments.extend(units.iter().map(String::as_str));
        let Some(output) = analyze(world.path(), &arguments) else { return };
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !talk.contains("sealward"), "drop-ins {drop_ins}: {talk}");
    }
}

/// The test above can fail: systemd tells a key that it does not know.
#[test]
fn systemd_tells_a_mistake_in_a_unit() {
    let world = installed(false);
    let path = world.path().join("sealward.service");
    let text = fs::read_to_string(&path).unwrap().replace("NoNewPrivileges=", "NoNewPriviliges=");
    fs::write(&path, text).unwrap();
    let Some(output) = analyze(world.path(), &["verify", "--man=no", "./sealward.service"]) else { return };
    assert!(String::from_utf8_lossy(&output.stderr).contains("NoNewPriviliges"), "{output:?}");
}

#[test]
fn the_exposure_of_the_service_stays_below_one() {
    let exposure = |threshold: &str| {
        let world = installed(false);
        let threshold = format!("--threshold={threshold}");
        let arguments = ["security", "--offline=true", "--no-pager", threshold.as_str(), "./sealward.service"];
        analyze(world.path(), &arguments)
    };
    let Some(output) = exposure("10") else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let Some(output) = exposure("1") else { return };
    assert!(!output.status.success(), "a gate that nothing fails is no gate");
}

#[test]
fn what_stops_restarts_is_exactly_what_starting_again_cannot_change() {
    let service = unit("sealward.service");
    let listed: BTreeSet<u8> = values(&service, "RestartPreventExitStatus")
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(|code| code.parse().unwrap())
        .collect();
    let codes = |wanted: &dyn Fn(Reason) -> bool| -> BTreeSet<u8> {
        let reasons = Reason::ALL.iter().copied().filter(|reason| wanted(*reason));
        reasons.map(Reason::exit_code).collect()
    };
    let mut final_codes = codes(&|reason| reason.outcome() == Outcome::Denied || reason == Reason::LedgerIntegrity);
    final_codes.insert(ConfigErrors::EXIT_CODE);
    assert_eq!(listed, final_codes);
    assert_eq!(listed, BTreeSet::from([65, 77, 78]));
    // A configuration that a reload refuses ends no daemon; only the command that asked ends with its code.
    let final_ones = [Reason::LedgerIntegrity, Reason::ConfigurationRefused];
    let failed = codes(&|reason| reason.outcome() == Outcome::Failed && !final_ones.contains(&reason));
    assert!(listed.is_disjoint(&failed), "what may heal is tried again: {failed:?}");
    assert_eq!(values(&service, "Restart"), ["on-failure"]);
}

#[test]
fn systemctl_reload_asks_the_daemon_by_its_signal_outside_the_sandbox() {
    // `+`: /bin/kill may not be executed inside (NoExecPaths=).
    assert_eq!(values(&unit("sealward.service"), "ExecReload"), ["+/bin/kill -HUP $MAINPID"]);
}

#[test]
fn peers_of_the_unix_socket_keep_their_uids() {
    assert_eq!(values(&unit("sealward.service"), "PrivateUsers"), ["no"]);
}

#[test]
fn the_worker_and_the_daemon_may_be_executed_and_little_else() {
    let service = unit("sealward.service");
    let allowed: Vec<&str> = values(&service, "ExecPaths").iter().flat_map(|line| line.split_whitespace()).collect();
    assert_eq!(values(&service, "NoExecPaths"), ["/"]);
    for program in ["/usr/bin/sealwardd", "/usr/bin/sealward-token"] {
        assert!(allowed.contains(&program), "{allowed:?}");
    }
    assert!(
        !allowed.iter().any(|path| ["/", "/usr", "/usr/bin", "/bin", "/var", "/run"].contains(path)),
        "{allowed:?}"
    );
}

/// Each block of systemd/README.md with an activation names what a socket unit hands in, and the other way round.
#[test]
fn socket_units_and_documented_listeners_name_the_same_descriptors() {
    let units: BTreeSet<String> = ["sealward.socket", "sealward-tcp.socket"]
        .iter()
        .flat_map(|name| values(&unit(name), "FileDescriptorName").iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        .collect();
    let readme = unit("README.md");
    let documented: BTreeSet<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("activation = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .collect();
    assert_eq!(units, documented);
    assert_eq!(units, BTreeSet::from(["local".to_owned(), "remote".to_owned()]));
    for name in ["sealward.socket", "sealward-tcp.socket"] {
        assert_eq!(values(&unit(name), "Service"), ["sealward.service"]);
    }
}

/// The socket file lies in a directory that the service shares: were it removed with the service, the socket unit would
/// listen on a file that nobody finds.
#[test]
fn the_socket_outlives_the_service() {
    assert_eq!(values(&unit("sealward.service"), "RuntimeDirectoryPreserve"), ["yes"]);
    assert_eq!(values(&unit("sealward.socket"), "ListenStream"), ["/run/sealward/sealward.sock"]);
    assert_eq!(values(&unit("sealward.service"), "RuntimeDirectory"), ["sealward"]);
}

#[test]
fn accounts_and_directories_are_made_as_the_units_need_them() {
    let world = tempfile::tempdir().unwrap();
    fs::create_dir(world.path().join("etc")).unwrap();
    let root = format!("--root={}", world.path().display());
    let sysusers =
        Command::new("systemd-sysusers").arg(&root).arg(directory().join("sysusers.d/sealward.conf")).output();
    let Ok(output) = sysusers else {
        assert!(std::env::var_os("CI").is_none(), "CI needs systemd-sysusers");
        println!("skipped: systemd-sysusers is not installed");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let passwd = fs::read_to_string(world.path().join("etc/passwd")).unwrap();
    assert!(passwd.starts_with("sealward:") && passwd.contains(":/var/lib/sealward:/usr/sbin/nologin"), "{passwd}");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can give directories to another user");
        return;
    }
    let file = directory().join("tmpfiles.d/sealward.conf");
    let output = Command::new("systemd-tmpfiles").args([&root, "--create"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for (path, mode) in [("run/sealward", 0o755), ("var/lib/sealward", 0o700), ("etc/sealward/credentials", 0o700)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found = fs::metadata(world.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
}
