//! The tables, and how an older ledger becomes a newer one.

use rusqlite::Connection;

/// `PRAGMA application_id`: "SEAL".
pub(super) const APPLICATION_ID: i64 = 0x5345_414c;
/// `PRAGMA user_version` that this code writes and reads. Each later version adds a migration from the one before.
pub(super) const SCHEMA: i64 = 1;

/// Values are JSON of the domain's own types; columns beside it are what is searched and compared. STRICT, so that a
/// value of another type is an error and not a surprise. Beside each record stands its SHA-256: SQLite has no checksums, and a
/// bit that flips in a version must not be read as a version.
const TABLES: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    record     TEXT NOT NULL,
    digest     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_repository ON keys (repository, sequence);

CREATE TABLE guards (
    repository TEXT NOT NULL,
    role       TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    record     TEXT NOT NULL,
    digest     BLOB NOT NULL,
    payload    BLOB,
    PRIMARY KEY (repository, role, epoch)
) STRICT;

CREATE TABLE roots (
    repository TEXT PRIMARY KEY,
    revision   INTEGER NOT NULL,
    record     TEXT NOT NULL,
    digest     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE root_files (
    digest     TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    version    INTEGER NOT NULL,
    file       BLOB NOT NULL
) STRICT;

CREATE TABLE switches (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,
    record   TEXT NOT NULL,
    digest   BLOB NOT NULL
) STRICT;
CREATE TABLE pending (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL,
    asked      INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    record     TEXT NOT NULL,
    digest     BLOB NOT NULL,
    payload    BLOB NOT NULL
) STRICT;
CREATE INDEX pending_by_repository ON pending (repository, asked, id);

CREATE TABLE intents (
    id     TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leaves (
    sequence INTEGER PRIMARY KEY,
    entry    BLOB NOT NULL
) STRICT;

CREATE TABLE nodes (
    level INTEGER NOT NULL,
    place INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;
";

/// Every table with the order of its rows.
pub(super) const ORDER: [(&str, &str); 11] = [
    ("meta", "name"),
    ("keys", "id"),
    ("guards", "repository, role, epoch"),
    ("roots", "repository"),
    ("root_files", "digest"),
    ("switches", "one"),
    ("pending", "id"),
    ("intents", "id"),
    ("leaves", "sequence"),
    ("nodes", "level, place"),
    ("checkpoints", "size"),
];

/// Makes the tables in an empty database.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_compared_by_a_recovery_in_an_order_that_exists() {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection).unwrap();
        let mut statement =
            connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let mut compared = ORDER.map(|(table, _)| table);
        compared.sort_unstable();
        assert_eq!(tables, compared);
        for (table, order) in ORDER {
            connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")).unwrap();
        }
    }
}
