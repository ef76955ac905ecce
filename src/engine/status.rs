//! Status: health, latches, keystores, guards.

use std::sync::Arc;
use std::time::Duration;

use super::{Call, ConfigurationStatus, Engine, KeyUse, Latch};
use crate::domain::algorithm::Algorithm;
use crate::domain::freeze::Freeze;
use crate::domain::grant::Verb;
use crate::domain::name::{KeystoreName, RepositoryName, Role};
use crate::domain::outcome::Denial;
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::keystore::{Condition as KeystoreCondition, Keystore};

/// The daemon at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether this is a throw-away daemon.
    pub dev: bool,
    /// The ledger's id.
    pub ledger_id: String,
    /// Latches in force.
    pub latches: Vec<Latch>,
    /// Freezes, the oldest first.
    pub freezes: Vec<Freeze>,
    /// Keystores.
    pub keystores: Vec<KeystoreStatus>,
    /// Guards.
    pub guards: Vec<GuardStatus>,
    /// Keys that sign, with their limits.
    pub key_uses: Vec<KeyUse>,
    /// Size of the audit tree.
    pub tree_size: u64,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// Since when it runs.
    pub started: Instant,
    /// The configuration in force.
    pub configuration: Option<ConfigurationStatus>,
}

/// One keystore.
#[derive(Clone, Debug)]
pub struct KeystoreStatus {
    /// Its name.
    pub name: KeystoreName,
    /// Its kind.
    pub kind: &'static str,
    /// `ready`, or why not.
    pub state: String,
    /// Since when it is not.
    pub since: Option<Instant>,
    /// What it can make.
    pub algorithms: Vec<Algorithm>,
    /// How many keys it holds; `None` when it does not answer.
    pub keys: Option<usize>,
    /// Keys without a record.
    pub orphans: Vec<KeyId>,
}

/// One guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardStatus {
    /// The repository.
    pub repository: RepositoryName,
    /// The role.
    pub role: Role,
    /// The epoch.
    pub epoch: u32,
    /// The released version and its expiry.
    pub head: Option<(u64, Instant)>,
    /// Releases per hour that policy allows; `None` when policy no longer names the role.
    pub rate_per_hour: Option<u32>,
}

/// How long a keystore may take to list its keys for a status.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after its time a destruction may take before status warns of it.
const OVERDUE_SECONDS: i64 = 10 * 60;

impl Engine {
    /// All of it, for callers with the daemon-wide grant.
    pub async fn status(&self, call: &Call) -> Result<Status, Denial> {
        self.audited(call, "status", async |scope| {
            self.rules().admit_daemon(call, Verb::Status)?;
            scope.admit();
            let mut keystores = Vec::new();
            for (name, desk) in &*self.desks() {
                keystores.push(self.keystore_status(name, Arc::clone(desk.keystore())).await);
            }
            let identity = self.ledger.identity();
            Ok(Status {
                dev: identity.dev,
                ledger_id: identity.id.clone(),
                latches: self.latches()?,
                freezes: self.freezes(),
                keystores,
                guards: self.guards()?,
                key_uses: self.key_uses()?,
                tree_size: self.ledger.tree_size().map_err(|error| error.denial())?,
                warnings: self.warnings()?,
                started: self.started,
                configuration: self.configuration(),
            })
        })
        .await
    }

    /// Every guard in its newest epoch. The metrics page shows their expiry.
    pub fn guards(&self) -> Result<Vec<GuardStatus>, Denial> {
        let rules = self.rules();
        let mut guards = Vec::new();
        for repository in self.ledger.repositories().map_err(|error| error.denial())? {
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            let policy = rules.policies.find(&repository);
            let guarded = view.guards.values().filter(|guard| !guard.name.role.is_unguarded());
            guards.extend(guarded.map(|guard| GuardStatus {
                repository: repository.clone(),
                role: guard.name.role.clone(),
                epoch: guard.name.epoch,
                head: guard.head.as_ref().map(|head| (head.version.get(), head.expires)),
                rate_per_hour: policy.and_then(|p| p.role(&guard.name.role)).map(|role| role.release_rate.per_hour),
            }));
        }
        Ok(guards)
    }

    async fn keystore_status(&self, name: &KeystoreName, keystore: Arc<dyn Keystore>) -> KeystoreStatus {
        let description = keystore.describe();
        let (state, since) = match keystore.probe() {
            KeystoreCondition::Ready => ("ready".to_owned(), None),
            KeystoreCondition::NotReady { cause, since } => (cause, Some(since)),
        };
        let listed = tokio::task::spawn_blocking(move || keystore.public_keys());
        let keys: Option<Vec<KeyId>> = match tokio::time::timeout(PATIENCE, listed).await {
            Ok(Ok(Ok(keys))) => Some(keys.iter().map(|key| key.id()).collect()),
            _ => None,
        };
        let orphan = |id: &&KeyId| matches!(self.ledger.key(id), Ok(None));
        KeystoreStatus {
            name: name.clone(),
            kind: description.kind.name(),
            state,
            since,
            algorithms: description.algorithms,
            orphans: keys.iter().flatten().filter(orphan).copied().collect(),
            keys: keys.map(|keys| keys.len()),
        }
    }

    fn warnings(&self) -> Result<Vec<String>, Denial> {
        let rules = self.rules();
        let mut warnings = Vec::new();
        if self.ledger.identity().dev {
            warnings.push("this is a throw-away daemon (--dev): its keys and its ledger are for trying out".to_owned());
        }
        for intent in self.ledger.intents().map_err(|error| error.denial())? {
            warnings.push(format!(
                "a {} key for {} was begun in keystore {} at {} and not recorded; an orphan may be left there",
                intent.algorithm, intent.repository, intent.keystore, intent.begun
            ));
        }
        if !self.latches.knows_machine() {
            let what = "[machine] check is off: that this ledger was copied to another machine cannot be noticed";
            warnings.push(what.to_owned());
        }
        for (name, desk) in &*self.desks() {
            if let KeystoreCondition::NotReady { cause, since } = desk.keystore().probe() {
                warnings.push(format!("keystore {name} does not sign since {since}: {cause}"));
            }
        }
        warnings.extend(self.besides.get().into_iter().flat_map(|besides| besides()));
        let now = self.now();
        for repository in self.ledger.repositories().map_err(|error| error.denial())? {
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            if view.guards.is_empty() && !view.keys.is_empty() {
                warnings.push(format!(
                    "{repository} has keys and no guards: nothing signs until it is begun with \
                     `key generate --new-repository` or its guards are seeded"
                ));
            }
            for key in view.keys.iter().filter(|key| key.roles.iter().count() > 1) {
                let roles: Vec<_> = key.roles.iter().map(Role::as_str).collect();
                let (id, roles) = (key.id(), roles.join(", "));
                warnings.push(format!("one key of {repository} signs for several roles ({roles}): {id}"));
            }
            if rules.policies.find(&repository).is_some_and(|policy| policy.unguarded().is_some()) {
                warnings.push(format!(
                    "{} of {repository} has no guard, nor has targets under its keys: type, expiry, size and rate are \
                     checked, rollback and equivocation are not",
                    Role::UNGUARDED
                ));
            }
            if view.roots.is_unrooted() {
                warnings.push(format!("{repository} is unrooted: no root decides which of its keys sign"));
            }
            for key in &view.keys {
                let Some(destruction) = key.history.destruction else { continue };
                let (id, keystore, due) = (key.id(), &key.keystore, destruction.due);
                if let Some(failed) = destruction.failed {
                    warnings.push(format!(
                        "key {id} of {repository} was not destroyed at {failed}; keystore {keystore} is asked again"
                    ));
                } else if now > due.plus_seconds(OVERDUE_SECONDS) {
                    warnings.push(format!(
                        "key {id} of {repository} was to be destroyed at {due}; keystore {keystore} has not done it"
                    ));
                }
            }
            for root in view.roots.iter().filter(|root| root.expires <= now) {
                warnings.push(format!("root {} of {repository} expired at {}", root.version, root.expires));
            }
        }
        warnings.extend(self.key_uses()?.iter().flat_map(KeyUse::warnings));
        // So in every daemon: nothing to set is kept from anybody, and whoever relies on the log should know.
        let unanchored = "no anchor: this version has none to set, so a restored older copy of this machine's disk cannot be \
                          noticed here; compare `sealward audit checkpoint` with one that you keep elsewhere";
        warnings.push(unanchored.to_owned());
        Ok(warnings)
    }
}
