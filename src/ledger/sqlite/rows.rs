//! Rows to values and back.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use crate::audit::merkle::Hash;
use crate::domain::approval::{Pending, PendingId};
use crate::domain::guard::{Guard, GuardName};
use crate::domain::key::KeyRecord;
use crate::domain::name::{RepositoryName, Sha256Digest};
use crate::domain::public_key::KeyId;
use crate::domain::root::Roots;
use crate::domain::switches::Switches;
use crate::domain::time::Instant;
use crate::ledger::{Identity, Intent, View, newest_epochs};

type Result<T> = rusqlite::Result<T>;

/// A record, with its digest in the next column. What does not read back is a damaged ledger, and said so by SQLite's own
/// error type.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    if row.get::<_, [u8; 32]>(column + 1)? != *Sha256Digest::of(text.as_bytes()).as_bytes() {
        return Err(misread("a record does not have its digest"));
    }
    serde_json::from_str(text).map_err(|error| misread(&error.to_string()))
}

/// A record's text and its digest.
pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<(String, [u8; 32])> {
    let text =
        serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let digest = *Sha256Digest::of(text.as_bytes()).as_bytes();
    Ok((text, digest))
}

pub(super) fn identity(connection: &Connection) -> Result<Identity> {
    let get = |name: &str| -> Result<String> {
        connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
    };
    let (dev, created) = (get("dev")?, get("created")?);
    Ok(Identity {
        id: get("id")?,
        dev: match dev.as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err(misread("dev is neither yes nor no")),
        },
        origin: get("origin")?,
        verifier_key: get("verifier_key")?,
        created: Instant::from_unix(created.parse().map_err(|_| misread("created is no number"))?),
    })
}

fn misread(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, what.into())
}

pub(super) fn put_identity(connection: &Connection, identity: &Identity) -> Result<()> {
    let dev = if identity.dev { "yes" } else { "no" };
    let created = identity.created.as_unix().to_string();
    for (name, value) in [
        ("id", identity.id.as_str()),
        ("dev", dev),
        ("origin", &identity.origin),
        ("verifier_key", &identity.verifier_key),
        ("created", &created),
    ] {
        connection.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", [name, value])?;
    }
    Ok(())
}

pub(super) fn view(connection: &Connection, repository: &RepositoryName) -> Result<View> {
    let name = repository.as_str();
    let keys = connection
        .prepare_cached("SELECT record, digest FROM keys WHERE repository = ?1 ORDER BY sequence")?
        .query_map([name], |row| json::<KeyRecord>(row, 0))?
        .collect::<Result<_>>()?;
    let guards: Vec<Guard> = connection
        .prepare_cached("SELECT record, digest FROM guards WHERE repository = ?1")?
        .query_map([name], |row| json(row, 0))?
        .collect::<Result<_>>()?;
    let roots = connection
        .prepare_cached("SELECT record, digest FROM roots WHERE repository = ?1")?
        .query_row([name], |row| json::<Roots>(row, 0))
        .optional()?
        .unwrap_or_else(|| Roots::unrooted(repository.clone()));
    let pending = connection
        .prepare_cached("SELECT record, digest FROM pending WHERE repository = ?1 ORDER BY asked, id")?
        .query_map([name], |row| json(row, 0))?
        .collect::<Result<_>>()?;
    Ok(View { keys, guards: newest_epochs(guards), roots, pending })
}

pub(super) fn repositories(connection: &Connection) -> Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT repository FROM keys UNION SELECT repository FROM guards UNION SELECT repository FROM roots ORDER BY 1",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn key(connection: &Connection, id: &KeyId) -> Result<Option<KeyRecord>> {
    connection
        .prepare_cached("SELECT record, digest FROM keys WHERE id = ?1")?
        .query_row([id.to_string()], |row| json(row, 0))
        .optional()
}

pub(super) fn pending(connection: &Connection) -> Result<Vec<Pending>> {
    connection
        .prepare_cached("SELECT record, digest FROM pending ORDER BY asked, id")?
        .query_map([], |row| json(row, 0))?
        .collect()
}

pub(super) fn pending_revision(connection: &Connection, id: &PendingId) -> Result<u64> {
    connection
        .prepare_cached("SELECT revision FROM pending WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn intents(connection: &Connection) -> Result<Vec<Intent>> {
    connection
        .prepare_cached("SELECT record, digest FROM intents ORDER BY id")?
        .query_map([], |row| json(row, 0))?
        .collect()
}

pub(super) fn guard_revision(connection: &Connection, name: &GuardName) -> Result<u64> {
    connection
        .prepare_cached("SELECT revision FROM guards WHERE repository = ?1 AND role = ?2 AND epoch = ?3")?
        .query_row(params![name.repository.as_str(), name.role.as_str(), name.epoch], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn key_revision(connection: &Connection, id: &KeyId) -> Result<u64> {
    connection
        .prepare_cached("SELECT revision FROM keys WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn roots_revision(connection: &Connection, repository: &RepositoryName) -> Result<u64> {
    connection
        .prepare_cached("SELECT revision FROM roots WHERE repository = ?1")?
        .query_row([repository.as_str()], |row| row.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

pub(super) fn switches(connection: &Connection) -> Result<Switches> {
    connection
        .prepare_cached("SELECT record, digest FROM switches")?
        .query_row([], |row| json(row, 0))
        .optional()?
        .ok_or_else(|| misread("freezes and latches are missing"))
}

pub(super) fn put_switches(connection: &Connection, switches: &Switches) -> Result<()> {
    let (text, digest) = encode(switches)?;
    connection
        .prepare_cached(
            "INSERT INTO switches (one, revision, record, digest) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, record = excluded.record,
                 digest = excluded.digest",
        )?
        .execute(params![switches.revision, text, digest])
        .map(drop)
}

pub(super) fn switches_revision(connection: &Connection) -> Result<u64> {
    connection.prepare_cached("SELECT revision FROM switches")?.query_row([], |row| row.get(0))
}

pub(super) fn tree_size(connection: &Connection) -> Result<u64> {
    connection.query_row("SELECT coalesce(max(sequence) + 1, 0) FROM leaves", [], |row| row.get(0))
}

pub(super) fn node(connection: &Connection, level: u8, index: u64) -> Result<Option<Hash>> {
    let Ok(index) = i64::try_from(index) else { return Ok(None) }; // no tree is that large
    connection
        .prepare_cached("SELECT hash FROM nodes WHERE level = ?1 AND place = ?2")?
        .query_row(params![level, index], |row| row.get::<_, [u8; 32]>(0))
        .optional()
}

pub(super) fn leaves(connection: &Connection, start: u64, limit: usize) -> Result<Vec<Vec<u8>>> {
    let start = i64::try_from(start).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT entry FROM leaves WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2")?
        .query_map(params![start, limit], |row| row.get(0))?
        .collect()
}

pub(super) fn newest_checkpoint(connection: &Connection) -> Result<Option<(u64, String)>> {
    connection
        .query_row("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
}
