//! What must hold before the first request, and for a keystore that comes later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::{Engine, Parts, Rules};
use crate::domain::key::KeyState;
use crate::domain::name::{KeystoreName, Role};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::policy::Custody;
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::keystore::Condition;
use crate::ledger::{Ledger, LedgerError};

/// The daemon must not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A keystore does not list its keys, for a reason that waiting does not mend.
    #[error("keystore {name}: {denial}")]
    Keystore {
        /// Which.
        name: KeystoreName,
        /// Why.
        denial: Denial,
    },
    /// I8: a key that a root lists for an offline role is within reach. Take it away, then start again.
    #[error("{0}")]
    OfflineKeyHere(OfflineKeyHere),
    /// The ledger does not read.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
}

/// A key of an offline role within reach of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "key {key} is in keystore {keystore}, and {repository} has it for {role}, which is offline: offline keys must not be within reach of a daemon. Take the key away first"
)]
pub struct OfflineKeyHere {
    /// The key.
    pub key: KeyId,
    /// Where it is.
    pub keystore: KeystoreName,
    /// Whose root.
    pub repository: String,
    /// For which role.
    pub role: Role,
}

impl Engine {
    /// Puts the parts together, lists every keystore's public keys and refuses to start over an offline key. A token
    /// that is not there is listed when it comes.
    pub fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts { ledger, desks, rules, clock, clock_bounds, machine, note_signer } = parts;
        let mut held = BTreeSet::new();
        let mut unlisted = BTreeSet::new();
        for (name, desk) in &desks {
            let keys = match desk.keystore().public_keys() {
                Ok(keys) => keys,
                Err(error) => {
                    let denial = error.denial();
                    if !matches!(denial.reason, Reason::KeystoreUnavailable | Reason::PinRefused) {
                        return Err(StartError::Keystore { name: name.clone(), denial });
                    }
                    tracing::error!(keystore = %name, cause = %denial, "the keystore is not ready");
                    unlisted.insert(name.clone());
                    continue;
                }
            };
            let ids: BTreeSet<KeyId> = keys.iter().map(|key| key.id()).collect();
            if let Some(offline) = offline_key(ledger.as_ref(), &rules, name, &ids)? {
                return Err(StartError::OfflineKeyHere(offline));
            }
            report_missing(ledger.as_ref(), name, &ids)?;
            held.extend(ids);
        }
        let started = clock.now();
        let destructions = Mutex::new(destructions(ledger.as_ref())?);
        let latches = super::latches::Latches::new(clock_bounds, clock.reading(), machine);
        let engine = Arc::new(Self {
            ledger,
            desks: RwLock::new(Arc::new(desks)),
            rules: RwLock::new(Arc::new(rules)),
            clock,
            note_signer,
            locks: super::locks::Locks::default(),
            aggregates: super::audited::Aggregates::default(),
            metrics: Arc::default(),
            explained: super::explain::Limiter::default(),
            taken: super::quota::Taken::default(),
            checkpointing: tokio::sync::Mutex::new(()),
            recording: tokio::sync::Mutex::new(()),
            held: Mutex::new(held),
            unlisted: Mutex::new(unlisted),
            latches,
            destructions,
            started,
            keystores: tokio::sync::RwLock::default(),
            reloading: tokio::sync::Mutex::default(),
            configuration: Mutex::default(),
            besides: OnceLock::new(),
        });
        engine.judge_start()?;
        Ok(engine)
    }

    /// Lists the keys of keystores that became ready after the start. One that shows an offline key is latched.
    pub async fn list_late_keystores(&self) {
        let late = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for name in late {
            let Some(desk) = self.desks().get(&name).cloned() else { continue };
            let keystore = Arc::clone(desk.keystore());
            let listed = tokio::task::spawn_blocking(move || match keystore.probe() {
                Condition::Ready => keystore.public_keys().ok(),
                Condition::NotReady { .. } => None,
            });
            let Ok(Some(keys)) = listed.await else { continue };
            let ids: BTreeSet<KeyId> = keys.iter().map(|key| key.id()).collect();
            match offline_key(self.ledger.as_ref(), &self.rules(), &name, &ids) {
                Ok(None) => tracing::debug!(keystore = %name, keys = ids.len(), "the keystore was listed"),
                Ok(Some(offline)) => {
                    tracing::error!(%offline, "the keystore is latched");
                    self.latches.latch_keystore(&name, offline.to_string());
                }
                Err(error) => {
                    tracing::error!(%error, "the ledger does not read");
                    continue;
                }
            }
            self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
            self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        }
    }
}

pub(super) fn offline_key(
    ledger: &dyn Ledger,
    rules: &Rules,
    keystore: &KeystoreName,
    ids: &BTreeSet<KeyId>,
) -> Result<Option<OfflineKeyHere>, LedgerError> {
    for repository in ledger.repositories()? {
        let view = ledger.view(&repository)?;
        let policy = rules.policies.find(&repository);
        for (role, listed) in view.roots.iter().flat_map(|root| root.roles.iter()) {
            let custody = policy.and_then(|policy| policy.role(role)).map(|limits| limits.custody);
            let offline = *role == Role::Root || custody == Some(Custody::Offline);
            if let Some(key) = listed.keys.keys().find(|key| offline && ids.contains(key)) {
                let (key, keystore, role) = (*key, keystore.clone(), role.clone());
                return Ok(Some(OfflineKeyHere { key, keystore, repository: repository.to_string(), role }));
            }
        }
        // A role that was online when its key was made, and is offline by policy now.
        for key in view.keys.iter().filter(|key| !matches!(key.state, KeyState::Retired | KeyState::Destroyed)) {
            let custody = |role: &&Role| policy.and_then(|policy| policy.role(role)).map(|limits| limits.custody);
            let offline = key.roles.iter().find(|role| custody(role) == Some(Custody::Offline));
            if let (Some(role), true) = (offline, ids.contains(&key.id())) {
                let (key, keystore, role) = (key.id(), keystore.clone(), role.clone());
                return Ok(Some(OfflineKeyHere { key, keystore, repository: repository.to_string(), role }));
            }
        }
    }
    Ok(None)
}

/// Destructions that were asked for and have not ended, with the time when they are due.
fn destructions(ledger: &dyn Ledger) -> Result<BTreeMap<KeyId, Instant>, LedgerError> {
    let mut waiting = BTreeMap::new();
    for repository in ledger.repositories()? {
        let view = ledger.view(&repository)?;
        waiting.extend(view.keys.iter().filter_map(|key| Some((key.id(), key.history.destruction?.due))));
    }
    Ok(waiting)
}

/// Says which keys of the records are not where the records say. They fail when they are asked for.
fn report_missing(ledger: &dyn Ledger, keystore: &KeystoreName, ids: &BTreeSet<KeyId>) -> Result<(), LedgerError> {
    for repository in ledger.repositories()? {
        let view = ledger.view(&repository)?;
        let signs = |state| matches!(state, KeyState::Active | KeyState::Retiring);
        for key in
            view.keys.iter().filter(|key| key.keystore == *keystore && signs(key.state) && !ids.contains(&key.id()))
        {
            tracing::error!(key = %key.id(), %keystore, %repository, "the keystore does not hold this key");
        }
    }
    Ok(())
}
