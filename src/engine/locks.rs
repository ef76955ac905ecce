//! At most one payload in flight per guard: later ones wait, and are then decided against what was released.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::domain::name::{RepositoryName, Role};

pub(super) type Name = (RepositoryName, Role);
/// Locks, held until dropped.
pub(super) type Held = Vec<OwnedMutexGuard<()>>;

/// A lock per guard, and one per repository for what changes its keys and roots (under the name of role root, which has
/// no guard).
///
/// A lock serves in the order of arrival. Before it stands one per caller, so that of each caller one request waits for a
/// guard, and a thousand requests of one do not stand before the first of another.
#[derive(Default)]
pub(super) struct Locks {
    guards: Shared<Name>,
    callers: Shared<(Name, String)>,
}

#[derive(Debug)]
struct Shared<K>(Mutex<Known<K>>);

#[derive(Debug)]
struct Known<K> {
    locks: HashMap<K, Arc<AsyncMutex<()>>>,
    /// At so many, those that nobody holds or waits for are forgotten.
    sweep_at: usize,
}

/// How many locks are kept at least before the idle ones are swept.
const IDLE: usize = 1024;

impl Locks {
    /// Waits for all of them, in one order, so that two requests never wait for each other.
    pub(super) async fn guards(&self, names: BTreeSet<Name>, caller: &str) -> Held {
        let mut held = Vec::with_capacity(2 * names.len());
        for name in names {
            // Dropped in this order, too: the caller's next request comes behind those that wait for the guard by then.
            held.push(self.callers.get((name.clone(), caller.to_owned())).lock_owned().await);
            held.push(self.guards.get(name).lock_owned().await);
        }
        held
    }

    /// Waits for a repository's keys and roots.
    pub(super) async fn repository(&self, repository: &RepositoryName) -> Held {
        vec![self.guards.get((repository.clone(), Role::Root)).lock_owned().await]
    }
}

impl<K> Default for Shared<K> {
    fn default() -> Self {
        Self(Mutex::new(Known { locks: HashMap::new(), sweep_at: IDLE }))
    }
}

impl<K: Hash + Eq> Shared<K> {
    fn get(&self, name: K) -> Arc<AsyncMutex<()>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { locks, sweep_at } = &mut *known;
        if locks.len() >= *sweep_at {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            // Where all are in use, such as by one request for thousands of roles, not again at the next one.
            *sweep_at = locks.len().saturating_mul(2).max(IDLE);
        }
        Arc::clone(locks.entry(name).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn idle_locks_are_forgotten_and_those_in_use_are_not() {
        let locks = Locks::default();
        let names = |from: usize, to: usize| -> BTreeSet<Name> {
            (from..to).map(|number| (format!("r{number}").parse().unwrap(), Role::Timestamp)).collect()
        };
        let known = || locks.guards.0.lock().unwrap().locks.len();
        let held = locks.guards(names(0, 3 * IDLE), "greedy").await;
        assert_eq!(known(), 3 * IDLE);
        drop(held);
        drop(locks.guards(names(9000, 9000 + 2 * IDLE), "greedy").await);
        assert!(known() <= 2 * IDLE + 1, "{}", known());
    }

    /// Twenty requests of one caller wait for a guard when another caller's first one comes.
    #[tokio::test]
    async fn a_callers_long_queue_at_a_guard_does_not_stand_before_another_caller() {
        let locks = Arc::new(Locks::default());
        let names: BTreeSet<Name> = [("demo".parse().unwrap(), Role::Timestamp)].into();
        let order: Arc<Mutex<Vec<&str>>> = Arc::default();
        let first = locks.guards(names.clone(), "greedy").await;
        let mut tasks = tokio::task::JoinSet::new();
        for caller in std::iter::repeat_n("greedy", 20).chain(["modest"]) {
            let (locks, names, order) = (Arc::clone(&locks), names.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                let held = locks.guards(names, caller).await;
                order.lock().unwrap().push(caller);
                tokio::task::yield_now().await;
                drop(held);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        while tasks.join_next().await.is_some() {}
        let place = order.lock().unwrap().iter().position(|caller| *caller == "modest").unwrap();
        assert!(place <= 1, "{place}");
    }
}
