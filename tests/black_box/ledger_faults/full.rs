//! A full disk heals by itself.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{configuration, database, expect, expiry, latches, leaves, released, released_in, signatures};
use crate::support::faults::{Injection, Mount};
use crate::support::{PATIENCE, World, timestamp};

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
    let expires = expiry();
    for version in from.. {
        match world.sign("demo", "timestamp", &timestamp(version, 1, expires)) {
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
    let expires = expiry();
    let filler = fill(&world);
    let newest = sign_until_full(&world, 2);
    let pid = world.pid();

    assert_eq!(latches(&world), ["disk-full"]);
    assert_eq!(world.sealward(&["status"]).status.code(), Some(69));
    let beyond = timestamp(newest + 1, 1, expires);
    assert_eq!(world.refusal("demo", "timestamp", &beyond), "disk-full");
    assert_eq!(
        world.refusal("demo", "timestamp", &timestamp(newest.max(2) - 1, 9, expires)),
        "disk-full",
        "no leaf, no denial"
    );
    let replay = signatures(&world, "timestamp", &timestamp(newest, 1, expires));
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
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(newest, 1, expires)), "rollback");
}

#[test]
fn a_daemon_that_was_killed_on_a_full_disk_starts_again_when_there_is_space() {
    let world = World::empty();
    let Some(_mount) = Mount::small(&world.path("ledger"), 2048) else { return };
    let mut world = released_in(world);
    let expires = expiry();
    let filler = fill(&world);
    let newest = sign_until_full(&world, 2);
    world.kill();
    match world.try_start() {
        Ok(()) => {
            assert_eq!(world.refusal("demo", "timestamp", &timestamp(newest + 1, 1, expires)), "disk-full");
            world.kill();
        }
        Err(said) => assert!(said.starts_with("exit Some(75)"), "{said}"),
    }
    fs::remove_file(filler).unwrap();
    world.start();
    assert_eq!(signatures(&world, "timestamp", &timestamp(newest, 1, expires))[0].step, "replay");
    assert_eq!(signatures(&world, "timestamp", &timestamp(newest + 1, 1, expires))[0].step, "advance");
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn init_on_a_full_disk_leaves_no_half_ledger() {
    let world = World::empty();
    let Some(_mount) = Mount::small(&world.path("ledger"), 128) else { return };
    world.configure(&configuration());
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
    let expires = expiry();
    let log = world.path("ledger/ledger.sqlite3-wal");
    let Some(injection) = Injection::into(world.pid(), &log, "pwrite64:error=ENOSPC") else { return };
    assert_eq!(world.refusal("demo", "timestamp", &timestamp(2, 1, expires)), "disk-full");
    assert_eq!(latches(&world), ["disk-full"]);
    drop(injection);
    assert_eq!(signatures(&world, "timestamp", &timestamp(2, 1, expires))[0].step, "advance");
    assert!(latches(&world).is_empty());
}
