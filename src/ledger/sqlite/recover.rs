//! Checking the audit tree, and lifting a fault: copy, sync, compare, swap.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::place::{Place, not_writable};
use super::{connect, rows};
use crate::audit::merkle::{self, Hash};
use crate::audit::{checkpoint, leaf, note};
use crate::ledger::{Identity, LedgerError};

/// What recovery did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// How many leaves the recovered ledger has.
    pub leaves: u64,
    /// Where the old database lies now.
    pub kept: PathBuf,
}

/// Rebuilds a ledger whose writes failed. The daemon must be stopped. What the copy holds is what a fresh read of the
/// database and its write-ahead log gave, synced and compared; the old files are kept beside it.
pub fn recover(directory: &Path) -> Result<Recovery, LedgerError> {
    let place = Place::take_faulted(directory)?;
    let path = place.database();
    let failed = |error| connect::explain(&path, error);
    if place.sealed_copy().exists() {
        return finish(&place); // an earlier recovery was interrupted after its copy was whole
    }
    let copy_path = directory.join("ledger.recovered");
    if copy_path.exists() {
        std::fs::remove_file(&copy_path).map_err(|error| not_writable(&copy_path, &error))?;
    }
    let source = connect::writer(&place)?;
    source.execute("VACUUM INTO ?1", [copy_path.to_string_lossy()]).map_err(failed)?;
    File::open(&copy_path).and_then(|file| file.sync_all()).map_err(|error| not_writable(&copy_path, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(&copy_path, flags).map_err(failed)?;
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(LedgerError::Corrupt { path: copy_path, what: verdict });
    }
    let identity = rows::identity(&copy).map_err(failed)?;
    check_tree(&copy, &identity, &copy_path)?;
    check_leaves(&copy, &copy_path)?;
    for table in ["keys", "guards", "roots", "root_files", "intents", "leaves", "nodes", "checkpoints"] {
        let count = |connection: &Connection| -> rusqlite::Result<u64> {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        };
        let (before, after) = (count(&source).map_err(failed)?, count(&copy).map_err(failed)?);
        if before != after {
            let what = format!("{table} has {before} rows, the copy {after}");
            return Err(LedgerError::Corrupt { path: copy_path, what });
        }
    }
    drop(copy);
    drop(source);
    // From this name on the copy is the ledger, whatever is interrupted: the write-ahead log of the old database must
    // never meet the new one, nor the old database be read without it.
    std::fs::rename(&copy_path, place.sealed_copy())
        .and_then(|()| place.sync())
        .map_err(|error| not_writable(&copy_path, &error))?;
    finish(&place)
}

fn finish(place: &Place) -> Result<Recovery, LedgerError> {
    let (path, sealed) = (place.database(), place.sealed_copy());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(&sealed, flags).map_err(|error| connect::explain(&sealed, error))?;
    let leaves = rows::tree_size(&copy).map_err(|error| connect::explain(&sealed, error))?;
    drop(copy);
    let kept = place.directory().join(format!("ledger.faulted-{leaves}"));
    let swap = || -> std::io::Result<()> {
        for suffix in ["-wal", "-shm"] {
            let from = place.directory().join(format!("ledger.sqlite3{suffix}"));
            if from.exists() {
                std::fs::rename(&from, place.directory().join(format!("ledger.faulted-{leaves}{suffix}")))?;
            }
        }
        if !kept.exists() {
            std::fs::hard_link(&path, &kept)?;
        }
        place.sync()?;
        std::fs::rename(&sealed, &path)?;
        place.sync()?;
        place.clear_fault()?;
        place.sync()
    };
    swap().map_err(|error| not_writable(&path, &error))?;
    Ok(Recovery { leaves, kept })
}

/// I4: the tree is at least as large as every checkpoint that was shown, and has its root there.
pub(super) fn check_tree(connection: &Connection, identity: &Identity, path: &Path) -> Result<(), LedgerError> {
    let corrupt = |what: String| LedgerError::Corrupt { path: path.to_owned(), what };
    let failed = |error| connect::explain(path, error);
    let Some((size, text)) = rows::newest_checkpoint(connection).map_err(failed)? else {
        return Ok(());
    };
    let key = note::VerifierKey::parse(&identity.verifier_key)
        .map_err(|_| corrupt("the log's verifier key does not read".into()))?;
    let shown = checkpoint::open(&text, &key).map_err(|error| corrupt(format!("newest checkpoint: {error}")))?;
    let tree_size = rows::tree_size(connection).map_err(failed)?;
    if shown.size != size || tree_size < size {
        return Err(corrupt(format!("a checkpoint of size {} was shown, the tree has {tree_size} leaves", shown.size)));
    }
    let root = merkle::root(&Nodes(connection), size).map_err(|error| corrupt(error.to_string()))?;
    if root != shown.root {
        return Err(corrupt(format!("the tree of size {size} does not have the root that was shown")));
    }
    Ok(())
}

/// Every leaf reads, has its own number, and hashes to its node.
fn check_leaves(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let corrupt = |what: String| LedgerError::Corrupt { path: path.to_owned(), what };
    let failed = |error| connect::explain(path, error);
    let mut statement = connection.prepare("SELECT sequence, entry FROM leaves ORDER BY sequence").map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut expected = 0_u64;
    while let Some(row) = found.next().map_err(failed)? {
        let sequence: u64 = row.get(0).map_err(failed)?;
        let entry: Vec<u8> = row.get(1).map_err(failed)?;
        let inside = leaf::decode(&entry).map_err(|error| corrupt(format!("leaf {sequence}: {error}")))?.0;
        let node: Option<Hash> = rows::node(connection, 0, sequence).map_err(failed)?;
        if sequence != expected || inside != sequence || node != Some(merkle::leaf_hash(&entry)) {
            return Err(corrupt(format!("leaf {sequence} is out of place")));
        }
        expected += 1;
    }
    Ok(())
}

struct Nodes<'a>(&'a Connection);

impl merkle::NodeStore for Nodes<'_> {
    type Error = rusqlite::Error;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, rusqlite::Error> {
        rows::node(self.0, level, index)
    }
}
