//! What must hold before the first request.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};

use super::{Engine, Parts};
use crate::domain::key::KeyState;
use crate::domain::name::{KeystoreName, Role};
use crate::domain::outcome::Denial;
use crate::domain::policy::Custody;
use crate::domain::public_key::KeyId;

/// The daemon must not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A keystore does not list its keys. Retry when the device is there.
    #[error("keystore {name}: {denial}")]
    Keystore {
        /// Which.
        name: KeystoreName,
        /// Why.
        denial: Denial,
    },
    /// I8: a key that a root lists for an offline role is within reach. Take it away, then start again.
    #[error("key {key} is in keystore {keystore}, and a root of {repository} lists it for {role}: offline keys must not be within reach of a daemon. Take the key away first")]
    OfflineKeyHere {
        /// The key.
        key: KeyId,
        /// Where it is.
        keystore: KeystoreName,
        /// Whose root.
        repository: String,
        /// For which role.
        role: Role,
    },
    /// The ledger does not read.
    #[error("ledger: {0}")]
    Ledger(#[from] crate::ledger::LedgerError),
}

impl Engine {
    /// Puts the parts together, lists every keystore's public keys and refuses to start over an offline key.
    pub fn start(parts: Parts) -> Result<Arc<Self>, StartError> {
        let Parts { ledger, desks, rules, clock, note_signer } = parts;
        let mut held = BTreeSet::new();
        for (name, desk) in &desks {
            let keys = desk
                .keystore()
                .public_keys()
                .map_err(|error| StartError::Keystore { name: name.clone(), denial: error.denial() })?;
            let ids: BTreeSet<KeyId> = keys.iter().map(|key| key.id()).collect();
            for repository in ledger.repositories()? {
                let view = ledger.view(&repository)?;
                let policy = rules.policies.find(&repository);
                for (role, listed) in view.roots.iter().flat_map(|root| root.roles.iter()) {
                    let custody = policy.and_then(|policy| policy.roles.get(role)).map(|limits| limits.custody);
                    let offline = *role == Role::Root || custody == Some(Custody::Offline);
                    if let Some(key) = listed.keys.keys().find(|key| offline && ids.contains(key)) {
                        return Err(StartError::OfflineKeyHere {
                            key: *key,
                            keystore: name.clone(),
                            repository: repository.to_string(),
                            role: role.clone(),
                        });
                    }
                }
                let missing = view.keys.iter().filter(|key| {
                    key.keystore == *name && matches!(key.state, KeyState::Active | KeyState::Retiring) && !ids.contains(&key.id())
                });
                for key in missing {
                    tracing::error!(key = %key.id(), keystore = %name, %repository, "the keystore does not hold this key");
                }
            }
            held.extend(ids);
        }
        let started = clock.now();
        Ok(Arc::new(Self {
            ledger,
            desks,
            rules: RwLock::new(Arc::new(rules)),
            clock,
            note_signer,
            locks: super::locks::Locks::default(),
            aggregates: super::audited::Aggregates::default(),
            metrics: Arc::default(),
            explained: super::explain::Limiter::default(),
            checkpointing: tokio::sync::Mutex::new(()),
            held: Mutex::new(held),
            started,
        }))
    }
}
