//! Does the ledger hold together? Before it serves, and before a recovered copy takes its place.
//!
//! SQLite's own check sees damaged pages. A flipped bit inside a value it does not see: these checks hold the tree against
//! the newest checkpoint, leaves against the tree, columns against the records beside them, and guards against the leaves
//! of what they released.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use rusqlite::Connection;

use super::{connect, rows};
use crate::audit::merkle::{self, Hash};
use crate::audit::{checkpoint, leaf, note};
use crate::domain::approval::Pending;
use crate::domain::audit_event::Event;
use crate::domain::guard::{Guard, GuardName};
use crate::domain::key::KeyRecord;
use crate::domain::name::{Sha256Digest, Version};
use crate::domain::outcome::Outcome;
use crate::domain::root::Roots;
use crate::domain::switches::Switches;
use crate::ledger::mutation::{Mutation, active};
use crate::ledger::{Identity, LedgerError};

/// How many of the newest leaves are read at a start. All of them are read by a recovery, and by `sealward audit verify`.
const LEAVES_AT_START: u64 = 1 << 16;

/// What a start can afford. Returns what the ledger is.
pub(super) fn newest(connection: &Connection, path: &Path) -> Result<Identity, LedgerError> {
    Check { connection, path }.run(LEAVES_AT_START)
}

/// Everything.
pub(super) fn whole(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    Check { connection, path }.run(u64::MAX).map(drop)
}

/// What the leaves tell of guards.
#[derive(Default)]
struct Told {
    /// Every guard that one of them names.
    named: BTreeSet<GuardName>,
    /// What each released last, or was seeded with.
    released: HashMap<GuardName, (Version, Sha256Digest)>,
}

struct Check<'a> {
    connection: &'a Connection,
    path: &'a Path,
}

impl Check<'_> {
    fn run(&self, leaves: u64) -> Result<Identity, LedgerError> {
        let identity = self.sql(rows::identity(self.connection))?;
        let size = self.sql(rows::tree_size(self.connection))?;
        self.tree(size)?;
        self.checkpoint(&identity, size)?;
        let told = self.leaves(size.saturating_sub(leaves), size)?;
        self.keys()?;
        self.guards(&told)?;
        self.roots()?;
        self.switches()?;
        self.pending()?;
        Ok(identity)
    }

    /// Leaves without a gap, and exactly the nodes of a tree over them.
    fn tree(&self, size: u64) -> Result<(), LedgerError> {
        let count = |table: &str| -> Result<u64, LedgerError> {
            self.sql(self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)))
        };
        let (leaves, nodes) = (count("leaves")?, count("nodes")?);
        let complete: u64 = (0..u64::BITS).map(|level| size >> level).sum();
        if leaves != size || nodes != complete {
            let what = format!("{leaves} leaves up to number {size}, and {nodes} nodes where a tree has {complete}");
            return Err(self.corrupt(what));
        }
        Ok(())
    }

    /// I4: the tree is at least as large as every checkpoint that was shown, and has its root there.
    fn checkpoint(&self, identity: &Identity, tree_size: u64) -> Result<(), LedgerError> {
        let key = note::VerifierKey::parse(&identity.verifier_key)
            .map_err(|_| self.corrupt("the log's verifier key does not read".into()))?;
        if key.name() != identity.origin {
            return Err(self.corrupt("the log's origin is not the name of its key".into()));
        }
        let Some((size, text)) = self.sql(rows::newest_checkpoint(self.connection))? else {
            return Ok(());
        };
        let shown =
            checkpoint::open(&text, &key).map_err(|error| self.corrupt(format!("newest checkpoint: {error}")))?;
        if shown.size != size || tree_size < size {
            let what = format!("a checkpoint of size {} was shown, the tree has {tree_size} leaves", shown.size);
            return Err(self.corrupt(what));
        }
        let root = merkle::root(&Nodes(self.connection), size).map_err(|error| self.corrupt(error.to_string()))?;
        if root != shown.root {
            return Err(self.corrupt(format!("the tree of size {size} does not have the root that was shown")));
        }
        Ok(())
    }

    /// Every leaf reads, has its own number, and is in the tree.
    fn leaves(&self, from: u64, size: u64) -> Result<Told, LedgerError> {
        let mut told = Told::default();
        let mut expected = from;
        let text = "SELECT sequence, entry FROM leaves WHERE sequence >= ?1 ORDER BY sequence";
        let mut statement = self.sql(self.connection.prepare(text))?;
        let mut found = self.sql(statement.query([from]))?;
        while let Some(row) = self.sql(found.next())? {
            let sequence: u64 = self.sql(row.get(0))?;
            let entry: Vec<u8> = self.sql(row.get(1))?;
            let (inside, event) =
                leaf::decode(&entry).map_err(|error| self.corrupt(format!("leaf {sequence}: {error}")))?;
            if sequence != expected || inside != sequence {
                return Err(self.corrupt(format!("leaf {sequence} is out of place")));
            }
            self.nodes_completed_by(sequence, merkle::leaf_hash(&entry))?;
            told.take(event);
            expected += 1;
        }
        if expected == size { Ok(told) } else { Err(self.corrupt(format!("leaf {expected} is missing"))) }
    }

    /// Each node that became complete with a leaf is the one that follows from it.
    fn nodes_completed_by(&self, sequence: u64, leaf: Hash) -> Result<(), LedgerError> {
        let nodes = merkle::append(&Nodes(self.connection), sequence, leaf);
        for (level, index, hash) in nodes.map_err(|error| self.corrupt(error.to_string()))? {
            if self.sql(rows::node(self.connection, level, index))? != Some(hash) {
                return Err(self.corrupt(format!("leaf {sequence} is not the one that the tree holds")));
            }
        }
        Ok(())
    }

    fn keys(&self) -> Result<(), LedgerError> {
        let text = "SELECT record, digest, id, repository, revision FROM keys";
        self.each(text, |row, record: KeyRecord| {
            let columns: (String, String, u64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let inside = (record.id().to_string(), record.repository.to_string(), record.revision);
            Ok((columns != inside).then(|| format!("the record of key {} is not the one of its row", record.id())))
        })
    }

    fn guards(&self, told: &Told) -> Result<(), LedgerError> {
        let mut missing = told.named.clone();
        let text = "SELECT record, digest, repository, role, epoch, revision FROM guards";
        self.each(text, |row, guard: Guard| {
            let name = &guard.name;
            missing.remove(name);
            let columns: (String, String, u32, u64) = (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
            if columns != (name.repository.to_string(), name.role.to_string(), name.epoch, guard.revision) {
                return Ok(Some(format!("the record of the guard of {name} is not the one of its row")));
            }
            let head = guard.head.as_ref().map(|head| (head.version, head.digest));
            let differs = told.released.get(name).is_some_and(|newest| head != Some(*newest));
            let forgotten = active() == Some(Mutation::SkipGuardUpdate); // the defect that the crash harness must see
            Ok((differs && !forgotten)
                .then(|| format!("the guard of {name} does not hold what its newest leaf released")))
        })?;
        match missing.first() {
            Some(name) => Err(self.corrupt(format!("the guard of {name}, which leaves tell of, is missing"))),
            None => Ok(()),
        }
    }

    fn roots(&self) -> Result<(), LedgerError> {
        self.each("SELECT record, digest, repository, revision FROM roots", |row, roots: Roots| {
            let columns: (String, u64) = (row.get(2)?, row.get(3)?);
            let name = &roots.repository;
            Ok((columns != (name.to_string(), roots.revision))
                .then(|| format!("the roots of {name} are not those of their row")))
        })
    }

    /// They are there from the beginning: without them nobody knows what was stopped.
    fn switches(&self) -> Result<(), LedgerError> {
        let found: u64 = self.sql(self.connection.query_row("SELECT count(*) FROM switches", [], |row| row.get(0)))?;
        if found != 1 {
            return Err(self.corrupt(format!("{found} records of freezes and latches, where there is one")));
        }
        self.each("SELECT record, digest, revision FROM switches", |row, switches: Switches| {
            let column: u64 = row.get(2)?;
            Ok((column != switches.revision).then(|| "freezes and latches are not those of their row".to_owned()))
        })
    }

    fn pending(&self) -> Result<(), LedgerError> {
        self.each("SELECT record, digest, id, repository, revision FROM pending", |row, pending: Pending| {
            let columns: (String, String, u64) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let repository = pending.subject.repository().map(ToString::to_string).unwrap_or_default();
            let differs = columns != (pending.id().to_string(), repository, pending.revision);
            Ok(differs.then(|| format!("what waits as {} is not what its row says", pending.id())))
        })
    }

    /// Reads every row's record and asks what is wrong with it.
    fn each<T: serde::de::DeserializeOwned>(
        &self,
        text: &str,
        mut wrong: impl FnMut(&rusqlite::Row<'_>, T) -> rusqlite::Result<Option<String>>,
    ) -> Result<(), LedgerError> {
        let mut statement = self.sql(self.connection.prepare(text))?;
        let mut found = self.sql(statement.query([]))?;
        while let Some(row) = self.sql(found.next())? {
            let record = self.sql(rows::json(row, 0))?;
            if let Some(what) = self.sql(wrong(row, record))? {
                return Err(self.corrupt(what));
            }
        }
        Ok(())
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, LedgerError> {
        result.map_err(|error| connect::explain(self.path, error))
    }

    fn corrupt(&self, what: String) -> LedgerError {
        LedgerError::Corrupt { path: self.path.to_owned(), what }
    }
}

impl Told {
    /// A release and a seeding say the guard's new head; the begin of an epoch names the guard alone.
    fn take(&mut self, event: Event) {
        let Event {
            outcome: Outcome::Succeeded,
            repository: Some(repository),
            role: Some(role),
            epoch: Some(epoch),
            ..
        } = event
        else {
            return;
        };
        let guard = GuardName { repository, role, epoch };
        if let (Some(version), Some(digest)) = (event.version, event.digest) {
            self.released.insert(guard.clone(), (version, digest));
        }
        self.named.insert(guard);
    }
}

struct Nodes<'a>(&'a Connection);

impl merkle::NodeStore for Nodes<'_> {
    type Error = rusqlite::Error;

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, rusqlite::Error> {
        rows::node(self.0, level, index)
    }
}
