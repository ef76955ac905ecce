//! Making a ledger: an act of its own, never a side effect.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::place::{Place, not_writable};
use super::{connect, rows, schema};
use crate::domain::switches::Switches;
use crate::ledger::{Identity, LedgerError};

/// Makes an empty ledger in a directory, with the switches of its beginning. Refuses to touch an existing one.
pub fn create(directory: &Path, identity: &Identity, switches: &Switches) -> Result<(), LedgerError> {
    let place = Place::prepare(directory)?;
    let path = place.database();
    let failed = |error| connect::explain(&path, error);
    // Made under another name and renamed when whole: a crash in between leaves no half ledger.
    let draft = directory.join("ledger.draft");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(not_writable(&draft, &error)),
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&draft, flags).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    schema::create(&transaction).map_err(failed)?;
    rows::put_identity(&transaction, identity).map_err(failed)?;
    rows::put_switches(&transaction, switches).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    std::fs::rename(&draft, &path).and_then(|()| place.sync()).map_err(|error| not_writable(&path, &error))
}
