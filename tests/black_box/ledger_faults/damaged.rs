//! Damaged, foreign, newer, cut, older.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use sealward::domain::name::Sha256Digest;

use super::{database, ledger, refuses_to_start, run_daemon, status, stopped};
use crate::support::faults::restore_files;
use crate::support::{World, timestamp, tomorrow};

/// Puts the ledger back as it was, changes it, and expects the daemon to refuse it.
fn refused_when(world: &World, whole: &Path, what: &str, change: impl FnOnce(&mut Vec<u8>)) {
    restore_files(whole, &ledger(world));
    let mut bytes = fs::read(database(world)).unwrap();
    change(&mut bytes);
    fs::write(database(world), bytes).unwrap();
    let said = refuses_to_start(world, 65);
    assert!(said.contains("integrity check"), "{what}: {said}");
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
    assert!(said.contains("a checkpoint of size 7 was shown, the tree has 4 leaves"), "{said}");
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

/// Without it the role would begin anew.
#[test]
fn a_guard_that_the_log_tells_of_and_that_is_gone_is_missed() {
    let (world, _) = stopped();
    let connection = Connection::open(database(&world)).unwrap();
    assert_eq!(connection.execute("DELETE FROM guards WHERE role = 'timestamp'", []).unwrap(), 1);
    drop(connection);
    let said = refuses_to_start(&world, 65);
    assert!(said.contains("timestamp epoch 1, which leaves tell of, is missing"), "{said}");
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
    assert!(
        warnings.contains("no anchor: this version has none to set") && warnings.contains("restored older copy"),
        "{warnings}"
    );
}
