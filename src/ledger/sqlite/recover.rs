//! Lifting a fault: copy, sync, compare, swap.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use super::place::{Place, not_writable};
use super::{check, connect, rows, schema};
use crate::ledger::LedgerError;

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
    if place.sealed_copy().exists() {
        return finish(&place); // an earlier recovery was interrupted after its copy was whole
    }
    let copy_path = directory.join("ledger.recovered");
    if copy_path.exists() {
        std::fs::remove_file(&copy_path).map_err(|error| not_writable(&copy_path, &error))?;
    }
    if let Err(error) = copy_and_compare(&place, &copy_path) {
        if matches!(error, LedgerError::DiskFull) {
            drop(std::fs::remove_file(&copy_path)); // it would stand in its own way
        }
        return Err(error);
    }
    // From this name on the copy is the ledger, whatever is interrupted: the write-ahead log of the old database must
    // never meet the new one, nor the old database be read without it.
    std::fs::rename(&copy_path, place.sealed_copy())
        .and_then(|()| place.sync())
        .map_err(|error| not_writable(&copy_path, &error))?;
    finish(&place)
}

fn copy_and_compare(place: &Place, copy_path: &Path) -> Result<(), LedgerError> {
    let path = place.database();
    let failed = |error| connect::explain(&path, error);
    let source = connect::writer(place)?;
    source.execute("VACUUM INTO ?1", [copy_path.to_string_lossy()]).map_err(failed)?;
    File::open(copy_path).and_then(|file| file.sync_all()).map_err(|error| not_writable(copy_path, &error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(copy_path, flags).map_err(failed)?;
    let verdict: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(LedgerError::Corrupt { path: copy_path.to_owned(), what: verdict });
    }
    for (table, order) in schema::ORDER {
        if contents(&source, table, order).map_err(failed)? != contents(&copy, table, order).map_err(failed)? {
            let what = format!("the copy's {table} are not those of the ledger");
            return Err(LedgerError::Corrupt { path: copy_path.to_owned(), what });
        }
    }
    check::whole(&copy, copy_path)
}

fn finish(place: &Place) -> Result<Recovery, LedgerError> {
    let (path, sealed) = (place.database(), place.sealed_copy());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(&sealed, flags).map_err(|error| connect::explain(&sealed, error))?;
    let leaves = rows::tree_size(&copy).map_err(|error| connect::explain(&sealed, error))?;
    drop(copy);
    let swap = || -> std::io::Result<PathBuf> {
        let name = name_for_old(place, leaves)?;
        let kept = place.directory().join(&name);
        for suffix in ["-wal", "-shm"] {
            let from = place.directory().join(format!("ledger.sqlite3{suffix}"));
            if from.exists() {
                std::fs::rename(&from, place.directory().join(format!("{name}{suffix}")))?;
            }
        }
        if !kept.exists() {
            std::fs::hard_link(&path, &kept)?;
        }
        place.sync()?;
        std::fs::rename(&sealed, &path)?;
        place.sync()?;
        place.clear_fault()?;
        place.sync()?;
        Ok(kept)
    };
    let kept = swap().map_err(|error| not_writable(&path, &error))?;
    Ok(Recovery { leaves, kept })
}

/// A name that no earlier recovery used, or the one that this recovery used before it was interrupted.
fn name_for_old(place: &Place, leaves: u64) -> std::io::Result<String> {
    let database = std::fs::metadata(place.database())?;
    for attempt in 1_u32.. {
        let name = if attempt == 1 {
            format!("ledger.faulted-{leaves}")
        } else {
            format!("ledger.faulted-{leaves}.{attempt}")
        };
        match std::fs::metadata(place.directory().join(&name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(name),
            Err(error) => return Err(error),
            Ok(other) if (other.dev(), other.ino()) == (database.dev(), database.ino()) => return Ok(name),
            Ok(_) => {}
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

/// A digest over every value of a table.
fn contents(connection: &Connection, table: &str, order: &str) -> rusqlite::Result<[u8; 32]> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut digest = Sha256::new();
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            let (kind, bytes): (u8, Cow<'_, [u8]>) = match row.get_ref(column)? {
                ValueRef::Null => (0, Cow::Borrowed(&[])),
                ValueRef::Integer(number) => (1, Cow::Owned(number.to_be_bytes().to_vec())),
                ValueRef::Real(number) => (2, Cow::Owned(number.to_be_bytes().to_vec())),
                ValueRef::Text(text) => (3, Cow::Borrowed(text)),
                ValueRef::Blob(blob) => (4, Cow::Borrowed(blob)),
            };
            digest.update([kind]);
            digest.update(bytes.len().to_be_bytes());
            digest.update(&bytes);
        }
    }
    Ok(digest.finalize().into())
}
