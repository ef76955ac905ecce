//! The embedded ledger: SQLite in WAL mode with `synchronous=FULL`, one writer thread, one process.

mod check;
mod connect;
mod create;
mod place;
mod recover;
mod rows;
mod schema;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

pub use create::create;
pub use place::refuse_existing;
pub use recover::{Recovery, recover};

use self::place::Place;
use self::writer::{Message, Writer};
use crate::audit::merkle;
use crate::domain::approval::{Pending, PendingId};
use crate::domain::guard::{Guard, GuardName};
use crate::domain::key::KeyRecord;
use crate::domain::name::{RepositoryName, Sha256Digest};
use crate::domain::public_key::KeyId;
use crate::domain::switches::Switches;
use crate::ledger::{
    CommitError, Condition, Identity, Intent, Kept, Ledger, LedgerError, Metrics, OnCommitted, Unit, View,
};

/// How many repositories are held in memory at most.
const CACHED_VIEWS: usize = 4096;

/// An open embedded ledger. Dropping it waits for what was submitted.
pub struct SqliteLedger {
    identity: Identity,
    shared: Arc<Shared>,
    reader: Mutex<Connection>,
    outbox: Mutex<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer's thread and the readers share.
struct Shared {
    place: Place,
    tree_size: AtomicU64,
    switches: RwLock<Arc<Switches>>,
    condition: RwLock<Condition>,
    cache: Mutex<Cache>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Cache {
    /// Counts commits, so that a view that was read before one is not kept after it.
    generation: u64,
    views: HashMap<RepositoryName, Arc<View>>,
}

impl SqliteLedger {
    /// Opens the ledger in a directory, checks it, and holds it until dropped. Never makes one.
    pub fn open(directory: &Path, dev: bool) -> Result<Self, LedgerError> {
        let place = Place::take(directory)?;
        let path = place.database();
        let failed = |error| connect::explain(&path, error);
        let connection = connect::writer(&place)?;
        let verdict: String =
            connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if verdict != "ok" {
            return Err(LedgerError::Corrupt { path, what: verdict });
        }
        let identity = check::newest(&connection, &path)?;
        if identity.dev != dev {
            return Err(LedgerError::DevMismatch { ledger_is_dev: identity.dev });
        }
        let tree_size = rows::tree_size(&connection).map_err(failed)?;
        let switches = rows::switches(&connection).map_err(failed)?;
        let reader = connect::reader(&place)?;
        let shared = Arc::new(Shared {
            place,
            tree_size: AtomicU64::new(tree_size),
            switches: RwLock::new(Arc::new(switches)),
            condition: RwLock::new(Condition::Serving),
            cache: Mutex::default(),
            metrics: Arc::default(),
        });
        let (outbox, inbox) = mpsc::channel();
        let writer = Writer { connection, shared: Arc::clone(&shared), inbox };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| LedgerError::Database(error.to_string()))?;
        Ok(Self { identity, shared, reader: Mutex::new(reader), outbox: Mutex::new(outbox), thread: Some(thread) })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        query(&reader).map_err(|error| {
            // What cannot be read back cannot be trusted to be written either.
            let broken = [ErrorCode::SystemIoFailure, ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
            if connect::is_misread(&error) || error.sqlite_error_code().is_some_and(|code| broken.contains(&code)) {
                self.shared.latch(&error.to_string());
            }
            connect::explain(self.shared.place.directory(), error)
        })
    }

    /// Bytes leave only as those that went in.
    fn genuine(&self, bytes: Vec<u8>, digest: Option<Sha256Digest>, what: &str) -> Result<Vec<u8>, LedgerError> {
        if digest == Some(Sha256Digest::of(&bytes)) {
            return Ok(bytes);
        }
        Err(LedgerError::Corrupt { path: self.shared.place.database(), what: format!("{what} has another digest") })
    }

    fn send(&self, message: Message) -> Result<(), Message> {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.send(message).map_err(|error| error.0)
    }
}

impl Ledger for SqliteLedger {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn view(&self, repository: &RepositoryName) -> Result<Arc<View>, LedgerError> {
        let generation = {
            let cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(view) = cache.views.get(repository) {
                return Ok(Arc::clone(view));
            }
            cache.generation
        };
        let view = Arc::new(self.read(|connection| {
            // One moment for all three queries.
            let moment = connection.unchecked_transaction()?;
            rows::view(&moment, repository)
        })?);
        let mut cache = self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.generation == generation {
            if cache.views.len() >= CACHED_VIEWS {
                cache.views.clear();
            }
            cache.views.insert(repository.clone(), Arc::clone(&view));
        }
        Ok(view)
    }

    fn switches(&self) -> Arc<Switches> {
        Arc::clone(&self.shared.switches.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn repositories(&self) -> Result<Vec<RepositoryName>, LedgerError> {
        let names = self.read(rows::repositories)?;
        names
            .into_iter()
            .map(|name| {
                name.parse().map_err(|error: crate::domain::name::InvalidName| LedgerError::Corrupt {
                    path: self.shared.place.database(),
                    what: error.to_string(),
                })
            })
            .collect()
    }

    fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, LedgerError> {
        self.read(|connection| rows::key(connection, id))
    }

    fn root_file(&self, digest: &Sha256Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        let file: Option<Vec<u8>> = self.read(|connection| {
            connection
                .query_row("SELECT file FROM root_files WHERE digest = ?1", [digest.to_string()], |row| row.get(0))
                .optional()
        })?;
        file.map(|file| self.genuine(file, Some(*digest), &format!("the file of root {digest}"))).transpose()
    }

    fn guard(&self, name: &GuardName) -> Result<Option<Kept>, LedgerError> {
        let found = self.read(|connection| {
            connection
                .query_row(
                    "SELECT record, digest, payload FROM guards WHERE repository = ?1 AND role = ?2 AND epoch = ?3",
                    params![name.repository.as_str(), name.role.as_str(), name.epoch],
                    |row| Ok((rows::json::<Guard>(row, 0)?, row.get::<_, Option<Vec<u8>>>(2)?)),
                )
                .optional()
        })?;
        let Some((guard, payload)) = found else { return Ok(None) };
        let digest = guard.head.as_ref().map(|head| head.digest);
        let genuine = |payload| self.genuine(payload, digest, &format!("the payload of {name}"));
        Ok(Some(Kept { payload: payload.map(genuine).transpose()?, guard }))
    }

    fn pending(&self) -> Result<Vec<Pending>, LedgerError> {
        self.read(rows::pending)
    }

    fn pending_payload(&self, id: &PendingId) -> Result<Option<Vec<u8>>, LedgerError> {
        let found = self.read(|connection| {
            connection
                .query_row("SELECT record, digest, payload FROM pending WHERE id = ?1", [id.to_string()], |row| {
                    Ok((rows::json::<Pending>(row, 0)?, row.get::<_, Vec<u8>>(2)?))
                })
                .optional()
        })?;
        let Some((record, payload)) = found else { return Ok(None) };
        self.genuine(payload, Some(record.subject.digest()), &format!("what waits as {id}")).map(Some)
    }

    fn intents(&self) -> Result<Vec<Intent>, LedgerError> {
        self.read(rows::intents)
    }

    fn submit(&self, units: Vec<Unit>, on_committed: OnCommitted) {
        if let Err(Message::Submit(units, on_committed)) = self.send(Message::Submit(units, on_committed)) {
            let stopped = CommitError::Fault("the ledger's thread has stopped".to_owned());
            on_committed(units.iter().map(|_| Err(stopped.clone())).collect());
        }
    }

    fn tree_size(&self) -> Result<u64, LedgerError> {
        Ok(self.shared.tree_size())
    }

    fn leaves(&self, start: u64, limit: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.read(|connection| rows::leaves(connection, start, limit))
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<merkle::Hash>, LedgerError> {
        self.read(|connection| rows::node(connection, level, index))
    }

    fn newest_checkpoint(&self) -> Result<Option<(u64, String)>, LedgerError> {
        self.read(rows::newest_checkpoint)
    }

    fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError> {
        let (done, kept) = mpsc::sync_channel(1);
        let stopped = || LedgerError::Faulted("the ledger's thread has stopped".to_owned());
        self.send(Message::Checkpoint { size, note: note.to_owned(), done }).map_err(|_| stopped())?;
        match kept.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(CommitError::DiskFull)) => Err(LedgerError::DiskFull),
            Ok(Err(error)) => Err(LedgerError::Faulted(error.to_string())),
            Err(_) => Err(stopped()),
        }
    }

    fn condition(&self) -> Condition {
        self.shared.condition()
    }

    fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.metrics)
    }
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        // A thread that has stopped needs no message.
        drop(self.send(Message::Stop));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's thread ended in a panic");
        }
    }
}

impl Shared {
    fn tree_size(&self) -> u64 {
        self.tree_size.load(Ordering::Acquire)
    }

    fn set_tree_size(&self, size: u64) {
        self.tree_size.store(size, Ordering::Release);
    }

    fn set_switches(&self, switches: Switches) {
        *self.switches.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(switches);
    }

    fn condition(&self) -> Condition {
        self.condition.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops serving until `sealwardd recover`.
    fn latch(&self, cause: &str) {
        tracing::error!(%cause, "the ledger failed and is latched");
        self.place.mark_faulted(cause);
        self.set_condition(Condition::Fault(cause.to_owned()));
    }

    fn set_condition(&self, condition: Condition) {
        *self.condition.write().unwrap_or_else(PoisonError::into_inner) = condition;
    }
}
