//! A disk that fails latches at once, and only `sealwardd recover` lifts it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rusqlite::Connection;

use super::{
    database, everything, expect, expiry, latches, leaves, ledger, refuses_to_start, released, signatures, status,
    stopped,
};
use crate::support::faults::{Injection, copy_files, restore_files, text};
use crate::support::{World, snapshot, timestamp};

/// Makes the daemon's ledger fail once, and looks at everything that a latched daemon does and does not. The payload
/// whose release failed.
fn fault(world: &mut World, file: &str, expression: &str) -> Option<String> {
    let expires = expiry();
    let before = status(world).guards.into_iter().find(|guard| guard.role == "timestamp").unwrap().version;
    let (head, next) = (timestamp(before, 1, expires), timestamp(before + 1, 1, expires));
    let known = leaves(world);
    let shown_before = world.sealward(&["audit", "checkpoint"]).stdout;
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
    assert_eq!(world.sealward(&["audit", "checkpoint"]).stdout, shown_before, "the one that was shown, and no new one");
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
    let expires = expiry();
    let first = signatures(&world, "snapshot", &snapshot(1, 1, &[], expires))[0].clone();
    let head = timestamp(1, 1, expires);
    let Some(failed) = fault(&mut world, "ledger/ledger.sqlite3-wal", "fsync,fdatasync:error=EIO:when=1") else {
        return;
    };
    let said = expect(&world, &["recover"], 0);
    assert!(said.contains("recovered") && said.contains("ledger.faulted-"), "{said}");
    check_recovered(&mut world, &head, &failed);
    let again = signatures(&world, "snapshot", &snapshot(1, 1, &[], expires))[0].clone();
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
    check_recovered(&mut world, &timestamp(1, 1, expiry()), &failed);
}

#[test]
fn each_recovery_keeps_the_database_that_it_replaced() {
    let mut world = released();
    let expires = expiry();
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
            check_recovered(&mut world, &timestamp(1, 1, expires), &failed);
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
    check_recovered(&mut world, &timestamp(1, 1, expiry()), &timestamp(2, 1, expiry()));
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
    let expires = expiry();
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
        assert_eq!(signatures(&world, "snapshot", &snapshot(1, 1, &[], expires))[0].step, "replay", "call {number}");
        assert!(leaves(&world) >= 6, "call {number}");
        world.kill();
    }
    assert!(interruptions >= 8, "only {interruptions} calls were interrupted");
    check_recovered(&mut world, &timestamp(1, 1, expires), &failed);
}

#[test]
fn a_recovery_without_a_fault_changes_nothing_that_is_remembered() {
    let (mut world, _) = stopped();
    expect(&world, &["recover"], 0);
    expect(&world, &["recover"], 0);
    check_recovered(&mut world, &timestamp(1, 1, expiry()), &timestamp(2, 1, expiry()));
}
