//! What a daemon says that cannot start, and what it leaves behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{SOFTWARE, World};

/// Whoever runs a daemon that somebody else has made.
const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A daemon that `init` has made, whose sockets anybody may bind.
fn made() -> World {
    let world = World::empty();
    set_mode(&world.path(""), 0o755);
    fs::create_dir(world.path("run")).unwrap();
    set_mode(&world.path("run"), 0o777);
    world.configure(
        &SOFTWARE.replace("{dir}/sealward.sock", "{dir}/run/sock").replace("{dir}/metrics.sock", "{dir}/run/m"),
    );
    let config = world.path("sealward.toml");
    let init = world.sealwardd(&["init", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&init.stderr).into_owned();
    assert!(init.status.success(), "{said}");
    assert!(said.ends_with(&format!("serve with: sealwardd --config {}\n", config.display())), "{said}");
    world
}

/// Keeps a path from the daemon: its owner alone may use it, or not even that one where we are no root.
fn keep(path: &Path) -> u32 {
    let mode = if is_root() { fs::metadata(path).unwrap().mode() & 0o777 } else { 0 };
    set_mode(path, mode);
    mode
}

/// The daemon, as another user where that can be: its exit code and what it said.
fn start(world: &World) -> (i32, String) {
    let program = world.path("sealwardd");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_sealwardd"), &program).unwrap();
        set_mode(&program, 0o755);
    }
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.arg("--config").arg(world.path("sealward.toml")).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The user who owns what the test made, and the one as whom [`start`] runs.
fn users() -> (u32, u32) {
    let us = rustix::process::geteuid().as_raw();
    (us, if is_root() { NOBODY } else { us })
}

fn give_away(path: &Path) {
    if !is_root() {
        return;
    }
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

#[test]
fn a_ledger_that_may_not_be_read_is_not_called_missing() {
    let world = made();
    let (owner, daemon) = users();
    let mode = keep(&world.path("ledger"));
    let (code, said) = start(&world);
    assert_eq!(code, 78, "{said}");
    assert!(!said.contains("no ledger"), "{said}");
    let wanted = format!("ledger belongs to uid {owner}, mode {mode:04o}; run as its owner, or chown it");
    assert!(said.contains(&wanted) && said.contains(&format!("cannot be used by uid {daemon}")), "{said}");
    assert_eq!(fs::read_dir(world.path("run")).unwrap().count(), 0, "a failed start leaves no socket file");

    set_mode(&world.path("ledger"), 0o700);
    fs::rename(world.path("ledger"), world.path("away")).unwrap();
    let (code, said) = start(&world);
    assert!(code == 78 && said.contains("no ledger at") && said.contains("sealwardd init --config"), "{said}");
}

#[test]
fn an_identity_is_restored_or_given_to_the_daemon_and_never_made_anew() {
    let world = made();
    let (owner, daemon) = users();
    give_away(&world.path("ledger"));
    let mode = keep(&world.path("identity"));
    let (code, said) = start(&world);
    assert_eq!(code, 78, "{said}");
    let wanted = format!("it belongs to uid {owner}, mode {mode:04o}, and the daemon runs as uid {daemon}. chown it");
    assert!(said.contains(&wanted), "{said}");

    fs::remove_file(world.path("identity")).unwrap();
    let (code, said) = start(&world);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("there is no such file") && said.contains("restore it from your backup"), "{said}");
    assert!(!said.to_lowercase().contains("create"), "{said}");
}

#[test]
fn every_mistake_about_owners_and_modes_ends_with_78() {
    let world = made();
    for name in ["ledger", "keys", "identity"] {
        give_away(&world.path(name));
    }
    for (name, bad, good) in [("keys", 0o755, 0o700), ("identity", 0o644, 0o600)] {
        set_mode(&world.path(name), bad);
        let (code, said) = start(&world);
        assert!(code == 78 && said.contains(&format!("chmod it to {good:04o}")), "{name}: {code} {said}");
        set_mode(&world.path(name), good);
    }
}

#[test]
fn a_socket_file_of_somebody_else_is_not_called_in_use() {
    let world = made();
    let path = world.path("run/sock");
    drop(UnixListener::bind(&path).unwrap());
    set_mode(&path, if is_root() { 0o600 } else { 0 });
    let (owner, daemon) = users();
    let (code, said) = start(&world);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains(&format!("belongs to uid {owner}, and uid {daemon} may not ask")), "{said}");
    assert!(!said.contains("in use") && path.exists(), "{said}");
}

#[test]
fn a_daemon_that_was_stopped_leaves_no_socket_files() {
    let mut world = World::configured(SOFTWARE);
    assert!(world.path("sealward.sock").exists() && world.path("metrics.sock").exists());
    assert_eq!(world.stop(), Some(0));
    assert!(!world.path("sealward.sock").exists() && !world.path("metrics.sock").exists());
    world.start();
    // What stands there by then may be somebody else's.
    fs::rename(world.path("sealward.sock"), world.path("moved.sock")).unwrap();
    let other = UnixListener::bind(world.path("sealward.sock")).unwrap();
    assert_eq!(world.stop(), Some(0));
    assert!(world.path("sealward.sock").exists());
    drop(other);
}
