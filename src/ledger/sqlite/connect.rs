//! Connections with the settings that our promises rest on, read back and refused otherwise.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::place::Place;
use super::schema::{APPLICATION_ID, SCHEMA};
use crate::ledger::LedgerError;
use crate::ledger::mutation::{Mutation, active};

/// A connection that may write. Never makes a file.
pub(super) fn writer(place: &Place) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(&place.database(), flags)?;
    let path = place.database();
    let failed = |error| explain(&path, error);
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // A checkpoint that SQLite runs by itself swallows its errors; ours are looked at (writer.rs).
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    if !journal.eq_ignore_ascii_case("wal") || synchronous != 2 {
        let what = format!("SQLite reports journal_mode {journal} and synchronous {synchronous}, not WAL and FULL");
        return Err(LedgerError::ReadOnly { path, what });
    }
    if active() == Some(Mutation::SynchronousOff) {
        connection.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    }
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(place: &Place) -> Result<Connection, LedgerError> {
    open(&place.database(), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, LedgerError> {
    let failed = |error| explain(path, error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    // Closing would move the write-ahead log into the database, after a failed sync as well, when neither can be trusted.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        let what = "it is a SQLite database of another program".to_owned();
        return Err(LedgerError::Corrupt { path: path.to_owned(), what });
    }
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > SCHEMA {
        return Err(LedgerError::NewerSchema { found, known: SCHEMA });
    }
    if found != SCHEMA {
        let what = format!("it has schema {found}, which no version of sealward ever wrote");
        return Err(LedgerError::Corrupt { path: path.to_owned(), what });
    }
    Ok(connection)
}

/// SQLite's word as ours.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> LedgerError {
    let path = path.to_owned();
    if is_misread(&error) {
        return LedgerError::Corrupt { path, what: error.to_string() };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LedgerError::DiskFull,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            LedgerError::Corrupt { path, what: error.to_string() }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            LedgerError::ReadOnly { path, what: error.to_string() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerError::Locked(path),
        _ => LedgerError::Database(error.to_string()),
    }
}

/// What is there is not what we wrote: a value of another type or form, a row or a table that is missing.
pub(super) fn is_misread(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => true,
        // "no such table" and its like: our statements are fixed, so the schema is not ours.
        Error::SqlInputError { .. } => true,
        Error::SqliteFailure(failure, _) => failure.extended_code == rusqlite::ffi::SQLITE_ERROR,
        _ => false,
    }
}
