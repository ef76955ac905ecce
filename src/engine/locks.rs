//! At most one payload in flight per guard: later ones wait, and are then decided against what was released.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::domain::name::{RepositoryName, Role};

pub(super) type Name = (RepositoryName, Role);
/// Locks, held until dropped.
pub(super) type Held = Vec<OwnedMutexGuard<()>>;

/// A lock per guard, and one per repository for what changes its keys and roots (under the name of role root, which has
/// no guard).
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<Name, Arc<AsyncMutex<()>>>>);

/// How many idle locks are kept before they are swept.
const IDLE: usize = 1024;

impl Locks {
    /// Waits for all of them, in one order, so that two requests never wait for each other.
    pub(super) async fn guards(&self, names: BTreeSet<Name>) -> Held {
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            held.push(self.get(name).lock_owned().await);
        }
        held
    }

    /// Waits for a repository's keys and roots.
    pub(super) async fn repository(&self, repository: &RepositoryName) -> Held {
        vec![self.get((repository.clone(), Role::Root)).lock_owned().await]
    }

    fn get(&self, name: Name) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > IDLE {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(name).or_default())
    }
}
