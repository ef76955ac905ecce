//! A ledger that is missing, damaged, foreign, read-only, taken, full or broken: each has its own word, exit code and
//! advice, nothing is lost, and nothing begins from zero.

mod damaged;
mod failing;
mod full;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sealward::client::messages::{KeySignature, ListLeavesRequest, StatusRequest, StatusResponse};

use crate::support::faults::{Mount, copy_files, text};
use crate::support::{SOFTWARE, World, snapshot, targets, timestamp, tomorrow};

/// The usual daemon, which a full disk does not also hold up by its release rate, with its log key on another disk.
fn configuration() -> String {
    [
        ("[repository.role.timestamp]\n", "release_rate = { per_hour = 600000, burst = 10000 }\n"),
        ("[log_key]\n", "path = \"{dir}/log-key\"\n"),
    ]
    .iter()
    .fold(SOFTWARE.to_owned(), |text, (table, line)| text.replacen(table, &format!("{table}{line}"), 1))
}

/// A started daemon with keys, and one version of each role released.
fn released() -> World {
    released_in(World::empty())
}

/// The expiry of what is released here and asked for again: made anew in another second, it would be another payload.
fn expiry() -> &'static str {
    static EXPIRY: OnceLock<String> = OnceLock::new();
    EXPIRY.get_or_init(tomorrow)
}

/// The same in a world whose ledger's directory may already be mounted.
fn released_in(mut world: World) -> World {
    world.configure(&configuration());
    expect(&world, &["init"], 0);
    world.start();
    world.key("demo", "timestamp", true);
    world.key("demo", "snapshot", false);
    world.key("demo", "targets", false);
    let expires = expiry();
    world.sign("demo", "targets", &targets(1, expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], expires)).unwrap();
    world.sign("demo", "timestamp", &timestamp(1, 1, expires)).unwrap();
    world
}

/// A world that is stopped, with a copy of its ledger.
fn stopped() -> (World, PathBuf) {
    let mut world = released();
    world.sealward(&["audit", "checkpoint"]);
    assert_eq!(world.stop(), Some(0));
    let whole = world.path("whole");
    copy_files(&ledger(&world), &whole);
    (world, whole)
}

/// Runs `sealwardd` with the world's configuration, to its end. What it said.
#[track_caller]
fn expect(world: &World, arguments: &[&str], code: i32) -> String {
    let (found, said) = run_daemon(world, &[arguments, &["--config", "sealward.toml"]].concat());
    assert_eq!(found, Some(code), "{arguments:?}: {said}");
    said
}

/// Runs `sealwardd` as a service that must end by itself with this code.
#[track_caller]
fn refuses_to_start(world: &World, code: i32) -> String {
    expect(world, &[], code)
}

/// Exit code and talk; 124 when it had to be stopped.
fn run_daemon(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_sealwardd")])
        .args(arguments)
        .current_dir(world.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stderr))
}

fn ledger(world: &World) -> PathBuf {
    world.path("ledger")
}

fn database(world: &World) -> PathBuf {
    world.path("ledger/ledger.sqlite3")
}

fn status(world: &World) -> StatusResponse {
    world.with_client(async |client| client.status(StatusRequest {}).await).unwrap()
}

fn latches(world: &World) -> Vec<String> {
    status(world).latches.into_iter().map(|latch| latch.name).collect()
}

fn leaves(world: &World) -> usize {
    world.with_client(async |client| client.list_leaves(ListLeavesRequest::default()).await).unwrap().leaves.len()
}

/// The signatures over a payload, in the order of their keys.
fn signatures(world: &World, role: &str, payload: &str) -> Vec<KeySignature> {
    world.sign("demo", role, payload).unwrap().signatures
}

/// Every file under a directory with its bytes and the time of its last change.
fn everything(directory: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.is_file() {
                found.push((entry.path(), fs::read(entry.path()).unwrap(), metadata.modified().unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn without_a_ledger_a_start_names_init_and_makes_none() {
    let world = World::empty();
    world.configure(&configuration());
    let said = refuses_to_start(&world, 78);
    assert!(said.contains("sealwardd init"), "{said}");
    assert!(said.contains("forget every released version"), "{said}");
    assert!(!ledger(&world).exists());
    expect(&world, &["recover"], 78);
    assert!(!ledger(&world).exists());
}

#[test]
fn a_ledger_that_was_lost_is_not_replaced_by_an_empty_one() {
    let mut world = released();
    world.stop();
    fs::remove_file(database(&world)).unwrap();
    let said = refuses_to_start(&world, 78);
    assert!(said.contains("restore the ledger"), "{said}");
    assert!(!database(&world).exists());
}

#[test]
fn a_second_init_refuses_and_touches_nothing() {
    let mut world = released();
    world.stop();
    let before = everything(&world.path(""));
    let said = expect(&world, &["init"], 78);
    assert!(said.contains("never overwrites"), "{said}");
    assert_eq!(everything(&world.path("")), before);
}

#[test]
fn a_ledger_that_another_daemon_holds_is_refused_and_left_alone() {
    let world = released();
    let second = fs::read_to_string(world.path("sealward.toml"))
        .unwrap()
        .replace("sealward.sock", "second.sock")
        .replace("metrics.sock", "second-metrics.sock");
    fs::write(world.path("second.toml"), second).unwrap();
    for arguments in [&["--config", "second.toml"][..], &["recover", "--config", "second.toml"]] {
        let (code, said) = run_daemon(&world, arguments);
        assert_eq!(code, Some(75), "{arguments:?}: {said}");
        assert!(said.contains("only one daemon may use a ledger"), "{said}");
    }
    assert!(world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).is_ok());
}

#[test]
fn a_throw_away_ledger_is_refused_by_a_plain_start_and_a_real_one_by_dev() {
    let mut throw_away = World::dev();
    throw_away.stop();
    let said = refuses_to_start(&throw_away, 78);
    assert!(said.contains("--dev") && said.contains("throw-away"), "{said}");
    let mut real = released();
    real.stop();
    let (code, said) = run_daemon(&real, &["--dev", "--dir", "."]);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("real daemon"), "{said}");
}

#[test]
fn the_log_key_of_another_ledger_is_refused() {
    let mut world = released();
    world.stop();
    let mut other = released();
    other.stop();
    for file in ["log-key/log-key.age", "identity"] {
        fs::copy(other.path(file), world.path(file)).unwrap();
    }
    let said = refuses_to_start(&world, 78);
    assert!(said.contains("is not the key of this ledger"), "{said}");
    assert!(said.contains("Restore the log key"), "{said}");
}

#[test]
fn a_read_only_ledger_is_refused() {
    let mut world = released();
    world.stop();
    let Some(_mount) = Mount::read_only(&ledger(&world)) else { return };
    let said = refuses_to_start(&world, 78);
    assert!(said.contains("cannot be written"), "{said}");
    assert!(said.contains("writable file system"), "{said}");
}
