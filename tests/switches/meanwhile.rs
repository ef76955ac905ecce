//! A ledger under which something else happens between a decision and its commit.

use std::sync::{Arc, Mutex, mpsc};

use sealward::audit::merkle;
use sealward::domain::approval::{Pending, PendingId};
use sealward::domain::guard::GuardName;
use sealward::domain::key::KeyRecord;
use sealward::domain::name::{RepositoryName, Sha256Digest};
use sealward::domain::public_key::KeyId;
use sealward::domain::switches::Switches;
use sealward::ledger::sqlite::SqliteLedger;
use sealward::ledger::{Condition, Identity, Intent, Kept, Ledger, LedgerError, Metrics, OnCommitted, Unit, View};

type Act = Box<dyn FnOnce(&dyn Ledger) + Send>;

/// The real ledger, and what is to happen before the next unit that expects something.
pub(crate) struct Meanwhile {
    ledger: SqliteLedger,
    act: Mutex<Option<Act>>,
}

impl Meanwhile {
    pub(crate) fn over(ledger: SqliteLedger) -> Self {
        Self { ledger, act: Mutex::new(None) }
    }

    pub(crate) fn arrange(&self, act: Act) {
        assert!(self.act.lock().unwrap().replace(act).is_none(), "something else was to happen, and did not");
    }
}

/// Commits a unit, which must succeed, and waits for it.
pub(crate) fn commit(ledger: &dyn Ledger, unit: Unit) {
    let (done, committed) = mpsc::channel();
    ledger.submit(vec![unit], Box::new(move |results| done.send(results).unwrap()));
    assert!(committed.recv().unwrap().iter().all(Result::is_ok));
}

impl Ledger for Meanwhile {
    fn submit(&self, units: Vec<Unit>, on_committed: OnCommitted) {
        if units.iter().any(|unit| !unit.expects.is_empty()) {
            let act = self.act.lock().unwrap().take();
            if let Some(act) = act {
                act(&self.ledger);
            }
        }
        self.ledger.submit(units, on_committed);
    }

    fn identity(&self) -> &Identity {
        self.ledger.identity()
    }

    fn view(&self, repository: &RepositoryName) -> Result<Arc<View>, LedgerError> {
        self.ledger.view(repository)
    }

    fn switches(&self) -> Arc<Switches> {
        self.ledger.switches()
    }

    fn repositories(&self) -> Result<Vec<RepositoryName>, LedgerError> {
        self.ledger.repositories()
    }

    fn key(&self, id: &KeyId) -> Result<Option<KeyRecord>, LedgerError> {
        self.ledger.key(id)
    }

    fn root_file(&self, digest: &Sha256Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        self.ledger.root_file(digest)
    }

    fn guard(&self, name: &GuardName) -> Result<Option<Kept>, LedgerError> {
        self.ledger.guard(name)
    }

    fn pending(&self) -> Result<Vec<Pending>, LedgerError> {
        self.ledger.pending()
    }

    fn pending_payload(&self, id: &PendingId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.ledger.pending_payload(id)
    }

    fn intents(&self) -> Result<Vec<Intent>, LedgerError> {
        self.ledger.intents()
    }

    fn tree_size(&self) -> Result<u64, LedgerError> {
        self.ledger.tree_size()
    }

    fn leaves(&self, start: u64, limit: usize) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.ledger.leaves(start, limit)
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<merkle::Hash>, LedgerError> {
        self.ledger.node(level, index)
    }

    fn newest_checkpoint(&self) -> Result<Option<(u64, String)>, LedgerError> {
        self.ledger.newest_checkpoint()
    }

    fn keep_checkpoint(&self, size: u64, note: &str) -> Result<(), LedgerError> {
        self.ledger.keep_checkpoint(size, note)
    }

    fn condition(&self) -> Condition {
        self.ledger.condition()
    }

    fn metrics(&self) -> Arc<Metrics> {
        self.ledger.metrics()
    }
}
