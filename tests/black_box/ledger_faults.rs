//! A ledger that is missing, damaged, foreign, read-only, taken, full or broken: each has its own word, exit code and
//! advice, nothing is lost, and nothing begins from zero.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sealward::client::messages::{KeySignature, ListLeavesRequest, StatusRequest, StatusResponse};
use sealward::domain::name::Sha256Digest;

use crate::support::faults::{Injection, Mount, copy_files, restore_files, text};
use crate::support::{PATIENCE, World, snapshot, targets, timestamp, tomorrow};

const CONFIGURATION: &str = r#"version = 1
[ledger]
directory = "{dir}/ledger"
[log_key]
path = "{dir}/log-key"
unseal = { identity = { file = "{dir}/identity" } }
[[listener]]
name = "local"
kind = "unix"
path = "{dir}/sealward.sock"
mode = "0600"
[[keystore]]
name = "software"
kind = "software"
directory = "{dir}/keys"
unseal = { identity = { file = "{dir}/identity" } }
[[repository]]
name = "demo"
[repository.role.timestamp]
keystore = "software"
algorithm = "ed25519"
release_rate = { per_hour = 600000, burst = 10000 }
[repository.role.snapshot]
keystore = "software"
algorithm = "ecdsa-p256"
[repository.role.targets]
custody = "online"
keystore = "software"
algorithm = "ed25519"
[[grant]]
callers = ["unix:{uid}"]
verbs = ["sign", "explain", "read", "manage-keys", "manage-roots", "audit", "status"]
repositories = ["**"]
roles = ["timestamp", "snapshot", "targets"]
"#;

/// A started daemon with keys, and one version of each role released.
fn released() -> World {
    released_in(World::empty())
}

/// The same in a world whose ledger's directory may already be mounted.
fn released_in(mut world: World) -> World {
    world.configure(CONFIGURATION);
    expect(&world, &["init"], 0);
    world.start();
    world.key("demo", "timestamp", true);
    world.key("demo", "snapshot", false);
    world.key("demo", "targets", false);
    let expires = tomorrow();
    world.sign("demo", "targets", &targets(1, &expires)).unwrap();
    world.sign("demo", "snapshot", &snapshot(1, 1, &[], &expires)).unwrap();
    world.sign("demo", "timestamp", &timestamp(1, 1, &expires)).unwrap();
    world
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

// --- missing, twice, taken, of the other kind ---

#[test]
fn without_a_ledger_a_start_names_init_and_makes_none() {
    let world = World::empty();
    world.configure(CONFIGURATION);
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
    let second = fs::read_to_string(world.path("sealward.toml")).unwrap().replace("sealward.sock", "second.sock");
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

// --- damaged, foreign, newer, older ---

/// Puts the ledger back as it was, changes it, and expects the daemon to refuse it.
fn refused_when(world: &World, whole: &Path, what: &str, change: impl FnOnce(&mut Vec<u8>)) {
    restore_files(whole, &ledger(world));
    let mut bytes = fs::read(database(world)).unwrap();
    change(&mut bytes);
    fs::write(database(world), bytes).unwrap();
    let said = refuses_to_start(world, 65);
    assert!(said.contains("integrity check"), "{what}: {said}");
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

fn places(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    bytes.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern).map(|(place, _)| place).collect()
}

#[test]
fn a_flipped_byte_is_seen_wherever_it_matters() {
    let (world, whole) = stopped();
    let patterns: [(&str, &[u8], usize); 9] = [
        ("the magic of the file", b"SQLite format 3", 0),
        ("the version in a guard's head", b"\"head\":{\"version\":1", 18),
        ("the digest in a guard's head", b"\"digest\":\"", 12),
        ("a guard's revision", b"\"revision\":2", 11),
        ("a guard's role", b"\"role\":\"timestamp\"", 9),
        ("a key's public half", b"\"public_key\":\"", 40),
        ("a leaf", b"\"event\":\"advance\"", 10),
        ("the checkpoint", b"\xe2\x80\x94 ", 60),
        ("the verifier key", b"+", 4),
    ];
    for (what, pattern, offset) in patterns {
        refused_when(&world, &whole, what, |bytes| {
            let found = places(bytes, pattern);
            assert!(!found.is_empty(), "{what}");
            for place in found {
                bytes[place + offset] ^= 1;
            }
        });
    }
    let pages = fs::read(database(&world)).unwrap().len() / 4096;
    for page in 0..pages {
        restore_files(&whole, &ledger(&world));
        let mut bytes = fs::read(database(&world)).unwrap();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        fs::write(database(&world), bytes).unwrap();
        let said = refuses_to_start(&world, 65);
        assert!(said.contains("integrity check"), "page {page}: {said}");
    }
    restore_files(&whole, &ledger(&world));
    let mut world = world;
    world.start();
}

#[test]
fn a_truncated_ledger_is_refused() {
    let (world, whole) = stopped();
    let length = fs::metadata(database(&world)).unwrap().len();
    for shorter in [0, 1, 99, 100, 4095, 4096, length / 2, length - 4096, length - 1] {
        refused_when(&world, &whole, &format!("{shorter} bytes"), |bytes| {
            bytes.truncate(usize::try_from(shorter).unwrap())
        });
    }
}

#[test]
fn the_file_of_another_program_is_refused_and_left_alone() {
    let (world, _) = stopped();
    fs::write(database(&world), b"this is no database at all, but it is longer than a header of one is".repeat(9))
        .unwrap();
    assert!(refuses_to_start(&world, 65).contains("integrity check"));
    fs::remove_file(database(&world)).unwrap();
    let other = Connection::open(database(&world)).unwrap();
    other.execute_batch("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x');").unwrap();
    drop(other);
    let before = fs::read(database(&world)).unwrap();
    let said = refuses_to_start(&world, 65);
    assert!(said.contains("another program"), "{said}");
    assert_eq!(fs::read(database(&world)).unwrap(), before);
}

#[test]
fn a_ledger_of_a_newer_version_is_refused_and_one_of_no_version_too() {
    let (world, _) = stopped();
    let set = |version: i64| {
        let connection = Connection::open(database(&world)).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())).unwrap();
    };
    set(2);
    let said = refuses_to_start(&world, 65);
    assert!(said.contains("never downgraded") && said.contains("newer sealward"), "{said}");
    set(0);
    assert!(refuses_to_start(&world, 65).contains("integrity check"));
    set(1);
    let mut world = world;
    world.start();
}

/// I4: what a checkpoint showed is still there, or nothing is.
#[test]
fn a_tree_that_was_cut_below_the_newest_checkpoint_is_refused() {
    let (world, whole) = stopped();
    let cut = |statements: &str| {
        restore_files(&whole, &ledger(&world));
        let connection = Connection::open(database(&world)).unwrap();
        connection.execute_batch(statements).unwrap();
        drop(connection);
        let (code, said) = run_daemon(&world, &["--config", "sealward.toml"]);
        assert_eq!(code, Some(65), "{statements}: {said}");
        assert!(said.contains("integrity check"), "{said}");
        said
    };
    let last = "(SELECT max(sequence) FROM leaves)";
    let both = "DELETE FROM leaves WHERE sequence >= 4;
        DELETE FROM nodes WHERE (place + 1) << level > 4;";
    let said = cut(both);
    assert!(said.contains("a checkpoint of size 6 was shown, the tree has 4 leaves"), "{said}");
    cut(&format!("DELETE FROM leaves WHERE sequence = {last};"));
    cut("DELETE FROM leaves WHERE sequence = 2;");
    cut("DELETE FROM nodes WHERE level = 0 AND place = 2;");
    cut("DELETE FROM nodes WHERE level = 2;");
    cut("UPDATE nodes SET hash = zeroblob(32) WHERE level = 1 AND place = 0;");
    cut("UPDATE checkpoints SET size = 5;");
    cut("UPDATE leaves SET entry = (SELECT entry FROM leaves WHERE sequence = 1) WHERE sequence = 2;");
}

#[test]
fn a_guard_that_does_not_hold_what_the_log_says_was_released_is_refused() {
    let (world, whole) = stopped();
    let (older, newer) = (r#""head":{"version":1"#, r#""head":{"version":2"#);
    for (from, to) in [(older, newer), (r#""head":{"#, r#""head":null,"was":{"#)] {
        restore_files(&whole, &ledger(&world));
        let connection = Connection::open(database(&world)).unwrap();
        let select = "SELECT record FROM guards WHERE role = 'timestamp'";
        let record: String = connection.query_row(select, [], |row| row.get(0)).unwrap();
        let changed = record.replacen(from, to, 1);
        assert_ne!(changed, record);
        // Whoever changes a record by hand may well put its digest right.
        let update = "UPDATE guards SET record = ?1, digest = ?2 WHERE role = 'timestamp'";
        let digest = Sha256Digest::of(changed.as_bytes());
        assert_eq!(connection.execute(update, (&changed, digest.as_bytes())).unwrap(), 1);
        drop(connection);
        let said = refuses_to_start(&world, 65);
        assert!(said.contains("does not hold what its newest leaf released"), "{said}");
    }
}

/// Without an anchor nobody can know; so it is said in every status, and nothing more is claimed.
#[test]
fn a_restored_older_copy_is_warned_about() {
    let (mut world, older) = stopped();
    world.start();
    world.sign("demo", "timestamp", &timestamp(2, 1, &tomorrow())).unwrap();
    world.stop();
    restore_files(&older, &ledger(&world));
    world.start();
    let warnings = status(&world).warnings.join("\n");
    assert!(warnings.contains("no anchor is set") && warnings.contains("restored older copy"), "{warnings}");
}

// --- a full disk ---

/// Fills the file system of the ledger. Removing the file frees it.
fn fill(world: &World) -> PathBuf {
    use std::io::Write as _;
    let path = world.path("ledger/filler");
    let mut file = fs::File::create(&path).unwrap();
    for block in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; block]).is_ok() {}
    }
    path
}

/// Signs timestamps until the disk is full. The newest that was released.
fn sign_until_full(world: &World, from: u64) -> u64 {
    let expires = tomorrow();
    for version in from.. {
        match world.sign("demo", "timestamp", &timestamp(version, 1, &expires)) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.reason(), "disk-full", "{error}");
                assert_eq!(error.exit_code(), 75);
                return version - 1;
            }
        }
    }
    unreachable!("a disk without end")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_disk_is_told_and_heals_by_itself_and_nothing_is_lost() {
    let world = World::empty();
    let Some(_mount) = Mount::small(&world.path("ledger"), 2048) else { return };
    let mut world = released_in(world);
    let expires = tomorrow();
    let filler = fill(&world);
    let newest = sign_until_full(&world, 2);
    let pid = world.pid();

    assert_eq!(latches(&world), ["disk-full"]);
    assert_eq!(world.sealward(&["status"]).status.code(), Some(69));
    let beyond = timestamp(newest + 1, 1, &expires);
    assert_eq!(world.refusal("demo", "timestamp", &beyond), "disk-full");
    assert_eq!(
        world.refusal("demo", "timestamp", &timestamp(newest.max(2) - 1, 9, &expires)),
        "disk-full",
        "no leaf, no denial"
    );
    let replay = signatures(&world, "timestamp", &timestamp(newest, 1, &expires));
    assert_eq!(replay[0].step, "replay", "what needs no space is answered");
    let known = leaves(&world);
    assert!(world.try_key("demo", &["timestamp"], false).is_err_and(|error| error.reason() == "disk-full"));
    assert_eq!(leaves(&world), known);

    fs::remove_file(filler).unwrap();
    wait_until("it serves although nobody asked", || latches(&world).is_empty());
    assert_eq!(world.pid(), pid);
    assert_eq!(world.sealward(&["status"]).status.code(), Some(0));
    assert_eq!(signatures(&world, "timestamp", &beyond)[0].step, "advance");
    assert_eq!(leaves(&world), known + 1, "nothing of what failed was written");

    world.kill();
    world.start();
    assert_eq!(leaves(&world), known + 1);
    assert_eq!(signatures(&world, "timestamp", &beyond)[0].step, "replay");
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(newest, 1, &expires)), "rollback");
}

#[test]
fn a_daemon_that_was_killed_on_a_full_disk_starts_again_when_there_is_space() {
    let world = World::empty();
    let Some(_mount) = Mount::small(&world.path("ledger"), 2048) else { return };
    let mut world = released_in(world);
    let expires = tomorrow();
    let filler = fill(&world);
    let newest = sign_until_full(&world, 2);
    world.kill();
    match world.try_start() {
        Ok(()) => {
            assert_eq!(world.refusal("demo", "timestamp", &timestamp(newest + 1, 1, &expires)), "disk-full");
            world.kill();
        }
        Err(said) => assert!(said.starts_with("exit Some(75)"), "{said}"),
    }
    fs::remove_file(filler).unwrap();
    world.start();
    assert_eq!(signatures(&world, "timestamp", &timestamp(newest, 1, &expires))[0].step, "replay");
    assert_eq!(signatures(&world, "timestamp", &timestamp(newest + 1, 1, &expires))[0].step, "advance");
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn init_on_a_full_disk_leaves_no_half_ledger() {
    let world = World::empty();
    let Some(_mount) = Mount::small(&world.path("ledger"), 128) else { return };
    world.configure(CONFIGURATION);
    let filler = fill(&world);
    let said = expect(&world, &["init"], 75);
    assert!(said.contains("disk") && said.contains("full"), "{said}");
    assert!(!database(&world).exists());
    fs::remove_file(filler).unwrap();
    expect(&world, &["recover"], 78);
}

/// The same without a mount: the system says so once.
#[test]
fn a_write_that_finds_no_space_is_rolled_back_and_tried_again() {
    let world = released();
    let expires = tomorrow();
    let log = world.path("ledger/ledger.sqlite3-wal");
    let Some(injection) = Injection::into(world.pid(), &log, "pwrite64:error=ENOSPC") else { return };
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 1, &expires)), "disk-full");
    assert_eq!(latches(&world), ["disk-full"]);
    drop(injection);
    assert_eq!(signatures(&world, "timestamp", &timestamp(2, 1, &expires))[0].step, "advance");
    assert!(latches(&world).is_empty());
}

// --- a disk that fails ---

/// Makes the daemon's ledger fail once, and looks at everything that a latched daemon does and does not. The payload
/// whose release failed.
fn fault(world: &mut World, file: &str, expression: &str) -> Option<String> {
    let expires = tomorrow();
    let before = status(world).guards.into_iter().find(|guard| guard.role == "timestamp").unwrap().version;
    let (head, next) = (timestamp(before, 1, &expires), timestamp(before + 1, 1, &expires));
    let known = leaves(world);
    {
        let _injection = Injection::into(world.pid(), &world.path(file), expression)?;
        assert_eq!(world.refusal("demo", "timestamp", &next), "ledger-fault");
    }
    // The disk works again. The latch stays: what the page cache holds cannot be trusted.
    for payload in [&next, &head] {
        let refused = world.sign("demo", "timestamp", payload).unwrap_err();
        assert_eq!((refused.reason(), refused.exit_code()), ("latched", 69));
    }
    assert_eq!(world.try_key("demo", &["timestamp"], false).unwrap_err().reason(), "latched");
    assert_eq!(latches(world), ["fault"]);
    assert!(status(world).latches[0].cause.contains("I/O error"), "{:?}", status(world).latches);
    let shown = world.sealward(&["status"]);
    assert_eq!(shown.status.code(), Some(69));
    assert!(text(&shown.stdout).contains("LATCHED fault"), "{}", text(&shown.stdout));
    assert_eq!(leaves(world), known, "reading verbs answer");
    assert_eq!(world.sealward(&["key", "list", "--repository", "demo"]).status.code(), Some(0));
    world.stop();
    let said = refuses_to_start(world, 74);
    assert!(said.contains("sealwardd recover"), "{said}");
    Some(next)
}

/// Serves again: what was released is there, and what failed ends in a signature (I6).
fn check_recovered(world: &mut World, released: &str, failed: &str) {
    world.start();
    assert!(latches(world).is_empty());
    assert!(matches!(signatures(world, "timestamp", failed)[0].step.as_str(), "advance" | "replay"));
    assert_eq!(signatures(world, "timestamp", failed)[0].step, "replay");
    assert_eq!(world.refusal("demo", "timestamp", released), "rollback");
    assert_eq!(world.sealward(&["audit", "checkpoint"]).status.code(), Some(0));
}

#[test]
fn a_failed_sync_latches_at_once_and_only_recover_lifts_it() {
    let mut world = released();
    let expires = tomorrow();
    let first = signatures(&world, "snapshot", &snapshot(1, 1, &[], &expires))[0].clone();
    let head = timestamp(1, 1, &expires);
    let Some(failed) = fault(&mut world, "ledger/ledger.sqlite3-wal", "fsync,fdatasync:error=EIO:when=1") else {
        return;
    };
    let said = expect(&world, &["recover"], 0);
    assert!(said.contains("recovered") && said.contains("ledger.faulted-"), "{said}");
    check_recovered(&mut world, &head, &failed);
    let again = signatures(&world, "snapshot", &snapshot(1, 1, &[], &expires))[0].clone();
    assert_eq!(
        (again.step.as_str(), &again.signature),
        ("replay", &first.signature),
        "what was released is still there"
    );
}

#[test]
fn a_failed_write_latches_as_well() {
    let mut world = released();
    let Some(failed) = fault(&mut world, "ledger/ledger.sqlite3-wal", "pwrite64:error=EIO:when=1") else { return };
    expect(&world, &["recover"], 0);
    check_recovered(&mut world, &timestamp(1, 1, &tomorrow()), &failed);
}

#[test]
fn each_recovery_keeps_the_database_that_it_replaced() {
    let mut world = released();
    let expires = tomorrow();
    let mut kept = 0;
    for round in 1..=3 {
        let inject = "fsync,fdatasync:error=EIO:when=1";
        let Some(failed) = fault(&mut world, "ledger/ledger.sqlite3-wal", inject) else { return };
        expect(&world, &["recover"], 0);
        let names =
            fs::read_dir(ledger(&world)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names: Vec<_> = names.filter(|name| name.starts_with("ledger.faulted-")).collect();
        let databases = names.iter().filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).count();
        assert_eq!(databases, round, "{names:?}");
        let logs = names.iter().filter(|name| name.ends_with("-wal")).count();
        assert!(logs > kept, "the log that failed is kept with its database: {names:?}");
        kept = logs;
        if round == 3 {
            check_recovered(&mut world, &timestamp(1, 1, &expires), &failed);
        } else {
            world.start();
        }
    }
}

#[test]
fn a_sync_that_fails_while_the_daemon_stops_is_known_to_the_next_start() {
    let mut world = released();
    let Some(_injection) = Injection::into(world.pid(), &database(&world), "fsync,fdatasync:error=EIO") else { return };
    world.stop();
    let said = refuses_to_start(&world, 74);
    assert!(said.contains("sealwardd recover"), "{said}");
    expect(&world, &["recover"], 0);
    check_recovered(&mut world, &timestamp(1, 1, &tomorrow()), &timestamp(2, 1, &tomorrow()));
}

#[test]
fn a_mark_of_a_fault_that_does_not_read_is_a_mark_all_the_same() {
    let (mut world, _) = stopped();
    fs::write(world.path("ledger/FAULT"), b"\xff\xfe\x00").unwrap();
    refuses_to_start(&world, 74);
    expect(&world, &["recover"], 0);
    fs::create_dir(world.path("ledger/FAULT")).unwrap();
    refuses_to_start(&world, 74);
    fs::remove_dir(world.path("ledger/FAULT")).unwrap();
    world.start();
}

#[test]
fn a_damaged_ledger_is_not_recovered_into_a_good_one() {
    let (world, _) = stopped();
    let connection = Connection::open(database(&world)).unwrap();
    connection.execute_batch("DELETE FROM leaves WHERE sequence = 2").unwrap();
    drop(connection);
    let before = everything(&ledger(&world));
    let said = expect(&world, &["recover"], 65);
    assert!(said.contains("integrity check"), "{said}");
    let database =
        |files: Vec<(PathBuf, Vec<u8>, _)>| files.into_iter().find(|file| file.0.ends_with("ledger.sqlite3"));
    assert_eq!(database(everything(&ledger(&world))).unwrap().1, database(before).unwrap().1);
    refuses_to_start(&world, 65);
}

/// The recovery is killed at each system call by which it changes the directory, and then run again.
#[test]
fn an_interrupted_recovery_is_taken_up_again_wherever_it_was_interrupted() {
    let mut world = released();
    let expires = tomorrow();
    let inject = "fsync,fdatasync:error=EIO:when=1";
    let Some(failed) = fault(&mut world, "ledger/ledger.sqlite3-wal", inject) else { return };
    let faulted = world.path("faulted");
    copy_files(&ledger(&world), &faulted);
    let calls = "rename,renameat,renameat2,link,linkat,unlink,unlinkat,fsync,fdatasync,ftruncate";
    let mut interruptions = 0;
    for number in 1.. {
        restore_files(&faulted, &ledger(&world));
        let inject = format!("inject={calls}:signal=SIGKILL:when={number}");
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject])
            .args([
                env!("CARGO_BIN_EXE_sealwardd"),
                "recover",
                "--config",
                world.path("sealward.toml").to_str().unwrap(),
            ])
            .output()
            .unwrap();
        if output.status.success() {
            break;
        }
        interruptions += 1;
        // Until it is finished, nobody serves from what lies there. After its last step there is nothing to finish.
        if world.path("ledger/FAULT").exists() || world.path("ledger/ledger.sealed").exists() {
            refuses_to_start(&world, 74);
            expect(&world, &["recover"], 0);
        }
        assert!(!world.path("ledger/ledger.sealed").exists());
        world.start();
        assert_eq!(signatures(&world, "snapshot", &snapshot(1, 1, &[], &expires))[0].step, "replay", "call {number}");
        assert!(leaves(&world) >= 6, "call {number}");
        world.kill();
    }
    assert!(interruptions >= 8, "only {interruptions} calls were interrupted");
    check_recovered(&mut world, &timestamp(1, 1, &expires), &failed);
}

#[test]
fn a_recovery_without_a_fault_changes_nothing_that_is_remembered() {
    let (mut world, _) = stopped();
    expect(&world, &["recover"], 0);
    expect(&world, &["recover"], 0);
    check_recovered(&mut world, &timestamp(1, 1, &tomorrow()), &timestamp(2, 1, &tomorrow()));
}
