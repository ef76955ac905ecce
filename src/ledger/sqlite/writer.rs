//! The one thread that writes. Everyone who waits shares one transaction and one fsync.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::Shared;
use super::rows;
use crate::audit::{leaf, merkle};
use crate::domain::name::RepositoryName;
use crate::ledger::mutation::{Mutation, active};
use crate::ledger::{Change, CommitError, Committed, Condition, Expect, OnCommitted, Unit};

/// How many submissions share a transaction at most.
const LARGEST_GROUP: usize = 1024;
/// After how many commits, or how many bytes in them, the write-ahead log is moved into the database.
const COMMITS_PER_CHECKPOINT: u64 = 256;
const BYTES_PER_CHECKPOINT: usize = 64 << 20;
/// What a unit writes besides its payload and files, roughly: pages of guards, leaves, nodes and indexes.
const BYTES_PER_UNIT: usize = 16 << 10;
/// How often a full disk is tried again while nobody asks.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Message {
    Submit(Vec<Unit>, OnCommitted),
    Checkpoint { size: u64, note: String, done: std::sync::mpsc::SyncSender<Result<(), CommitError>> },
    Stop,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Receiver<Message>,
}

type Results = Vec<Result<Committed, CommitError>>;

impl Writer {
    pub(super) fn run(mut self) {
        let _ending = Ending(Arc::clone(&self.shared));
        let (mut commits, mut bytes) = (0_u64, 0_usize);
        while let Some(first) = self.wait() {
            let mut group = Vec::new();
            let mut stop = false;
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Submit(units, on_committed) => group.push((units, on_committed)),
                    Message::Checkpoint { size, note, done } => {
                        let kept = self.keep_checkpoint(size, &note);
                        // The asker may have given up.
                        drop(done.send(kept));
                    }
                    Message::Stop => stop = true,
                }
                if group.len() < LARGEST_GROUP && !stop {
                    next = self.inbox.try_recv().ok();
                }
            }
            if !group.is_empty() {
                commits += 1;
                bytes += group.iter().flat_map(|(units, _)| units).map(bytes_of).sum::<usize>();
                self.commit(group);
            }
            if stop || commits >= COMMITS_PER_CHECKPOINT || bytes >= BYTES_PER_CHECKPOINT {
                (commits, bytes) = (0, 0);
                self.checkpoint_log(stop);
            }
            if stop {
                return;
            }
        }
    }

    /// The next message. While the disk is full it is tried again: whoever looks at the daemon's health sends nothing
    /// until it serves.
    fn wait(&mut self) -> Option<Message> {
        loop {
            if self.shared.condition() != Condition::DiskFull {
                return self.inbox.recv().ok();
            }
            match self.inbox.recv_timeout(TRY_AGAIN_EVERY) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.try_again(),
            }
        }
    }

    /// Writes something durably that means nothing.
    fn try_again(&mut self) {
        let text =
            "INSERT INTO meta (name, value) VALUES ('probe', '1') ON CONFLICT (name) DO UPDATE SET value = value + 1";
        match self.connection.execute(text, []) {
            Ok(_) => self.serve_again(),
            Err(error) => drop(self.fail(&error)),
        }
    }

    fn serve_again(&self) {
        if self.shared.condition() == Condition::DiskFull {
            tracing::info!("the disk under the ledger has space again");
            self.shared.set_condition(Condition::Serving);
        }
    }

    fn commit(&mut self, group: Vec<(Vec<Unit>, OnCommitted)>) {
        let begun = Instant::now();
        if let Condition::Fault(cause) = self.shared.condition() {
            return refuse(group, &CommitError::Fault(cause));
        }
        if active() == Some(Mutation::ReleaseBeforeCommit) {
            return self.commit_after_answer(group);
        }
        match self.transact(&group) {
            Ok((results, touched)) => {
                self.shared.forget(touched);
                self.serve_again();
                self.count(&results, begun);
                for ((_, on_committed), results) in group.into_iter().zip(results) {
                    on_committed(results);
                }
            }
            Err(error) => {
                let error = self.fail(&error);
                refuse(group, &error);
            }
        }
    }

    /// One transaction over the whole group. On an error nothing of it is left.
    fn transact(
        &mut self,
        group: &[(Vec<Unit>, OnCommitted)],
    ) -> rusqlite::Result<(Vec<Results>, Vec<RepositoryName>)> {
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut size = self.shared.tree_size();
        let mut touched = Vec::new();
        let mut all = Vec::with_capacity(group.len());
        for (units, _) in group {
            let mut results: Results = Vec::with_capacity(units.len());
            for unit in units {
                results.push(match admit(&transaction, unit, &results)? {
                    Err(error) => Err(error),
                    Ok(()) => {
                        let first_leaf = size;
                        apply(&transaction, unit, &mut size, &mut touched)?;
                        Ok(Committed { first_leaf, tree_size: 0 })
                    }
                });
            }
            all.push(results);
        }
        transaction.commit()?;
        self.shared.set_tree_size(size);
        self.shared.keep_switches(group, &all);
        for committed in all.iter_mut().flatten().flatten() {
            committed.tree_size = size;
        }
        Ok((all, touched))
    }

    fn keep_checkpoint(&mut self, size: u64, note: &str) -> Result<(), CommitError> {
        if let Condition::Fault(cause) = self.shared.condition() {
            return Err(CommitError::Fault(cause));
        }
        let kept = self.connection.transaction().and_then(|transaction| {
            transaction
                .execute("INSERT OR REPLACE INTO checkpoints (size, note) VALUES (?1, ?2)", params![size, note])?;
            // Older ones prove nothing that the newest does not.
            transaction.execute("DELETE FROM checkpoints WHERE size < ?1", [size])?;
            transaction.commit()
        });
        match kept {
            Ok(()) => {
                self.serve_again();
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Moves the write-ahead log into the database. Its errors are as fatal as a commit's.
    fn checkpoint_log(&mut self, at_end: bool) {
        if self.shared.condition() != Condition::Serving {
            return;
        }
        let pragma = if at_end { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
        if let Err(error) = self.connection.query_row(pragma, [], |_| Ok(())) {
            self.fail(&error);
        }
    }

    /// Sorts an error into "heals by itself" and "latched".
    fn fail(&self, error: &rusqlite::Error) -> CommitError {
        let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull)
            || error.sqlite_error().is_some_and(|code| code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
        if full && self.connection.is_autocommit() {
            if self.shared.condition() != Condition::DiskFull {
                tracing::warn!("the disk under the ledger is full");
                self.shared.set_condition(Condition::DiskFull);
            }
            return CommitError::DiskFull;
        }
        let code = error.sqlite_error().map_or(0, |failure| failure.extended_code);
        let cause = format!("{error} (SQLite code {code})");
        let waits = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::OutOfMemory];
        if error.sqlite_error_code().is_some_and(|code| waits.contains(&code)) && self.connection.is_autocommit() {
            // Nothing was written. An operator's sqlite3 on the database must not stop the daemon for good.
            tracing::warn!(%cause, "the ledger's database was not free");
            return CommitError::Busy(cause);
        }
        self.shared.latch(&cause);
        CommitError::Fault(cause)
    }

    fn count(&self, results: &[Results], begun: Instant) {
        let metrics = &self.shared.metrics;
        let conflicts = results.iter().flatten().filter(|result| result.is_err()).count();
        let units = results.iter().map(Vec::len).sum::<usize>() - conflicts;
        let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        metrics.commits.fetch_add(1, Ordering::Relaxed);
        metrics.units.fetch_add(u64::try_from(units).unwrap_or(0), Ordering::Relaxed);
        metrics.conflicts.fetch_add(u64::try_from(conflicts).unwrap_or(0), Ordering::Relaxed);
        metrics.busy_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The defect "release before commit": answers first, then waits a moment, then commits.
    fn commit_after_answer(&mut self, group: Vec<(Vec<Unit>, OnCommitted)>) {
        let (units, callbacks): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let first_leaf = self.shared.tree_size();
        for (units, on_committed) in units.iter().zip(callbacks) {
            on_committed(units.iter().map(|_| Ok(Committed { first_leaf, tree_size: first_leaf })).collect());
        }
        std::thread::sleep(Duration::from_millis(5));
        let group: Vec<(Vec<Unit>, OnCommitted)> =
            units.into_iter().map(|units| (units, Box::new(drop) as OnCommitted)).collect();
        if let Ok((_, touched)) = self.transact(&group) {
            self.shared.forget(touched);
        }
    }
}

/// Tells how the writer's thread ended: one that panicked serves nobody, and must not look as if it did.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_condition(Condition::Fault("the ledger's thread panicked".to_owned()));
        }
    }
}

/// What a unit adds to the write-ahead log, roughly.
fn bytes_of(unit: &Unit) -> usize {
    let of_change = |change: &Change| match change {
        Change::Guard { payload, .. } => payload.as_ref().map_or(0, Vec::len),
        Change::RootFile { file, .. } => file.len(),
        Change::Pending { payload, .. } => payload.as_ref().map_or(0, Vec::len),
        _ => 0,
    };
    BYTES_PER_UNIT + unit.changes.iter().map(of_change).sum::<usize>()
}

impl Shared {
    /// Takes over the newest switches of a commit.
    fn keep_switches(&self, group: &[(Vec<Unit>, OnCommitted)], results: &[Results]) {
        let units =
            group.iter().map(|(units, _)| units).zip(results).flat_map(|(units, results)| units.iter().zip(results));
        let changes = units.filter(|(_, result)| result.is_ok()).flat_map(|(unit, _)| &unit.changes);
        let mut newest = changes.filter_map(|change| match change {
            Change::Switches(switches) => Some(switches),
            _ => None,
        });
        if let Some(switches) = newest.next_back() {
            self.set_switches(switches.clone());
        }
    }

    /// Drops cached views that a commit made stale.
    fn forget(&self, repositories: Vec<RepositoryName>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.generation += 1;
        for repository in repositories {
            cache.views.remove(&repository);
        }
    }
}

fn refuse(group: Vec<(Vec<Unit>, OnCommitted)>, error: &CommitError) {
    for (units, on_committed) in group {
        on_committed(units.iter().map(|_| Err(error.clone())).collect());
    }
}

/// Whether a unit may be applied: its predecessors were, and what it read still stands.
fn admit(connection: &Connection, unit: &Unit, earlier: &Results) -> rusqlite::Result<Result<(), CommitError>> {
    if unit.after.iter().any(|index| !matches!(earlier.get(*index), Some(Ok(_)))) {
        return Ok(Err(CommitError::PredecessorFailed));
    }
    for expect in &unit.expects {
        let (found, wanted) = match expect {
            Expect::Guard(name, revision) => (rows::guard_revision(connection, name)?, *revision),
            Expect::Key(id, revision) => (rows::key_revision(connection, id)?, *revision),
            Expect::Roots(repository, revision) => (rows::roots_revision(connection, repository)?, *revision),
            Expect::Switches(revision) => (rows::switches_revision(connection)?, *revision),
            Expect::Pending(id, revision) => (rows::pending_revision(connection, id)?, *revision),
        };
        if found != wanted {
            return Ok(Err(CommitError::Conflict));
        }
    }
    Ok(Ok(()))
}

fn apply(
    connection: &Connection,
    unit: &Unit,
    size: &mut u64,
    touched: &mut Vec<RepositoryName>,
) -> rusqlite::Result<()> {
    for change in &unit.changes {
        apply_change(connection, change, touched)?;
    }
    for event in &unit.events {
        let entry = leaf::encode(*size, event);
        let hash = merkle::leaf_hash(&entry);
        connection
            .prepare_cached("INSERT INTO leaves (sequence, entry) VALUES (?1, ?2)")?
            .execute(params![*size, entry])?;
        let nodes = merkle::append(&Nodes(connection), *size, hash).map_err(tree_error)?;
        for (level, place, hash) in nodes {
            connection
                .prepare_cached("INSERT INTO nodes (level, place, hash) VALUES (?1, ?2, ?3)")?
                .execute(params![level, place, hash])?;
        }
        *size += 1;
    }
    Ok(())
}

fn apply_change(connection: &Connection, change: &Change, touched: &mut Vec<RepositoryName>) -> rusqlite::Result<()> {
    match change {
        Change::Guard { guard, payload } => {
            let name = &guard.name;
            if active() == Some(Mutation::SkipGuardUpdate) && guard.revision > 1 {
                return Ok(());
            }
            let (text, digest) = rows::encode(guard)?;
            connection
                .prepare_cached(
                    "INSERT INTO guards (repository, role, epoch, revision, record, digest, payload)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (repository, role, epoch) DO UPDATE SET payload = CASE
                         WHEN excluded.payload IS NOT NULL THEN excluded.payload
                         WHEN json_extract(guards.record, '$.head.digest') = json_extract(excluded.record, '$.head.digest')
                             THEN guards.payload END,
                         revision = excluded.revision, record = excluded.record, digest = excluded.digest",
                )?
                .execute(params![
                    name.repository.as_str(),
                    name.role.as_str(),
                    name.epoch,
                    guard.revision,
                    text,
                    digest,
                    payload
                ])?;
            touched.push(name.repository.clone());
        }
        Change::Key(record) => {
            let (text, digest) = rows::encode(record)?;
            connection
                .prepare_cached(
                    "INSERT INTO keys (id, repository, revision, sequence, record, digest)
                     VALUES (?1, ?2, ?3, (SELECT coalesce(max(sequence) + 1, 0) FROM keys), ?4, ?5)
                     ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, record = excluded.record,
                         digest = excluded.digest",
                )?
                .execute(params![record.id().to_string(), record.repository.as_str(), record.revision, text, digest])?;
            touched.push(record.repository.clone());
        }
        Change::Roots(roots) => {
            let (text, digest) = rows::encode(roots)?;
            connection
                .prepare_cached(
                    "INSERT INTO roots (repository, revision, record, digest) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (repository) DO UPDATE SET revision = excluded.revision, record = excluded.record,
                         digest = excluded.digest",
                )?
                .execute(params![roots.repository.as_str(), roots.revision, text, digest])?;
            touched.push(roots.repository.clone());
        }
        Change::RootFile { repository, version, digest, file } => {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO root_files (digest, repository, version, file) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![digest.to_string(), repository.as_str(), version.get(), file])?;
        }
        Change::Switches(switches) => rows::put_switches(connection, switches)?,
        Change::Pending { pending, payload } => {
            let (text, digest) = rows::encode(pending)?;
            let repository = pending.subject.repository();
            connection
                .prepare_cached(
                    "INSERT INTO pending (id, repository, asked, revision, record, digest, payload)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, coalesce(?7, x''))
                     ON CONFLICT (id) DO UPDATE SET asked = excluded.asked, revision = excluded.revision,
                         record = excluded.record, digest = excluded.digest, payload = coalesce(?7, pending.payload)",
                )?
                .execute(params![
                    pending.id().to_string(),
                    // What concerns the whole daemon has no repository, and no repository has an empty name.
                    repository.map_or("", RepositoryName::as_str),
                    pending.asked.as_unix(),
                    pending.revision,
                    text,
                    digest,
                    payload
                ])?;
            touched.extend(repository.cloned());
        }
        Change::PendingEnds(id) => {
            let repository: Option<String> = connection
                .prepare_cached("DELETE FROM pending WHERE id = ?1 RETURNING repository")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?;
            touched.extend(repository.and_then(|name| name.parse().ok()));
        }
        Change::IntentBegins(intent) => {
            let (text, digest) = rows::encode(intent)?;
            connection
                .prepare_cached("INSERT INTO intents (id, record, digest) VALUES (?1, ?2, ?3)")?
                .execute(params![intent.id, text, digest])?;
        }
        Change::IntentEnds(id) => {
            connection.prepare_cached("DELETE FROM intents WHERE id = ?1")?.execute([id])?;
        }
    }
    Ok(())
}

/// The tree as the open transaction sees it.
struct Nodes<'a>(&'a Connection);

impl merkle::NodeStore for Nodes<'_> {
    type Error = rusqlite::Error;

    fn node(&self, level: u8, index: u64) -> Result<Option<merkle::Hash>, rusqlite::Error> {
        rows::node(self.0, level, index)
    }
}

fn tree_error(error: merkle::MerkleError<rusqlite::Error>) -> rusqlite::Error {
    match error {
        merkle::MerkleError::Store(error) => error,
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
