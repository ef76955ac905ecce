//! **What we remember**, durably: key records, guards, roots, audit leaves. One transaction covers what belongs together,
//! and many requests share one commit.
//!
//! The [`Ledger`] trait is all that the engine knows. The conformance suite in `tests/ledger_conformance.rs` runs over
//! every implementation; [`sqlite`] is the embedded one.

mod error;
pub mod mutation;
pub mod sqlite;
mod unit;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use error::{CommitError, LedgerError};
pub use unit::{Change, Committed, Expect, Intent, Unit};
pub use view::{Kept, View};

use crate::audit::merkle;
use crate::domain::approval::{Pending, PendingId};
use crate::domain::guard::{Guard, GuardName};
use crate::domain::key::KeyRecord;
use crate::domain::name::{RepositoryName, Sha256Digest};
use crate::domain::public_key::KeyId;
use crate::domain::switches::Switches;
use crate::domain::time::Instant;

/// What one ledger is, from its making to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 32 hexadecimal digits, random.
    pub id: String,
    /// Whether it is a throw-away ledger, for ever.
    pub dev: bool,
    /// The origin of its audit log's checkpoints.
    pub origin: String,
    /// The log's verifier key (C2SP signed-note), fixed when the ledger is made.
    pub verifier_key: String,
    /// When it was made.
    pub created: Instant,
}

/// Called once with one result per unit, in order, after the commit is durable.
pub type OnCommitted = Box<dyn FnOnce(Vec<Result<Committed, CommitError>>) + Send>;

/// The durable memory. Reads see committed state only.
pub trait Ledger: Send + Sync {
    /// What this ledger is.
    fn identity(&self) -> &Identity;

    /// All that a decision about one repository needs, of one moment.
    fn view(&self, repository: &RepositoryName) -> Result<Arc<View>, LedgerError>;

    /// Freezes, latches and the machine's mark. Whoever reads after a commit was answered sees it.
    fn switches(&self) -> Arc<Switches>;

    /// Every repository that has a key, a guard or a root, in order.
    fn repositories(&self) -> Result<Vec<RepositoryName>, LedgerError>;

    /// The record of a key, whatever its repository.
    fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, LedgerError>;

    /// The file of a root that was shown here.
    fn root_file(&self, digest: &Sha256Digest) -> Result<Option<Vec<u8>>, LedgerError>;

    /// A guard, closed epochs included, with what is kept of its head.
    fn guard(&self, name: &GuardName) -> Result<Option<Kept>, LedgerError>;

    /// Everything that waits for people, in every repository and in none, the oldest first.
    fn pending(&self) -> Result<Vec<Pending>, LedgerError>;

    /// What people are to read before they approve. Never other bytes than those of the digest.
    fn pending_payload(&self, id: &PendingId) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Key generations that began and did not end: a crash may have left a key on a token.
    fn intents(&self) -> Result<Vec<Intent>, LedgerError>;

    /// Hands units over for one durable transaction, shared with whoever else submits at the time. A unit whose
    /// expectations fail is left out with its dependents; the others are committed.
    fn submit(&self, units: Vec<Unit>, on_committed: OnCommitted);

    /// Size of the committed audit tree.
    fn tree_size(&self) -> Result<u64, LedgerError>;

    /// Committed leaves from an index on, at most `limit`.
    fn leaves(&self, start: u64, limit: usize) -> Result<Vec<Vec<u8>>, LedgerError>;

    /// A node of the committed tree.
    fn node(&self, level: u8, index: u64) -> Result<Option<merkle::Hash>, LedgerError>;

    /// The newest checkpoint that was made durable, with its size.
    fn newest_checkpoint(&self) -> Result<Option<(u64, String)>, LedgerError>;

    /// Makes a checkpoint durable. Only then may it be shown.
    fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError>;

    /// Whether it serves, and if not, why.
    fn condition(&self) -> Condition;

    /// Counters for the metrics page.
    fn metrics(&self) -> Arc<Metrics>;
}

/// Whether a ledger serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Serving,
    /// The disk was full at the last commit. Heals by itself.
    DiskFull,
    /// A write or sync failed. Latched: the page cache lies after it, and only `sealwardd recover` lifts it.
    Fault(String),
}

/// What a ledger counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Durable transactions, each one fsync of the log.
    pub commits: AtomicU64,
    /// Units in them.
    pub units: AtomicU64,
    /// Units refused because something changed meanwhile.
    pub conflicts: AtomicU64,
    /// Nanoseconds spent in transactions.
    pub busy_nanoseconds: AtomicU64,
}

/// A ledger's tree, as the audit room reads it.
pub struct Tree<'a>(pub &'a dyn Ledger);

impl merkle::NodeStore for Tree<'_> {
    type Error = LedgerError;

    fn node(&self, level: u8, index: u64) -> Result<Option<merkle::Hash>, LedgerError> {
        self.0.node(level, index)
    }
}

/// The guards of the newest epoch of each role.
fn newest_epochs(guards: Vec<Guard>) -> BTreeMap<crate::domain::name::Role, Guard> {
    let mut newest: BTreeMap<_, Guard> = BTreeMap::new();
    for guard in guards {
        let role = guard.name.role.clone();
        match newest.get(&role) {
            Some(other) if other.name.epoch > guard.name.epoch => {}
            _ => {
                newest.insert(role, guard);
            }
        }
    }
    newest
}
