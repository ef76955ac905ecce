//! Reload: rules and keystores change while the daemon serves, all of them at once or none.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::start::offline_key;
use super::{Call, Engine, Rules};
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::grant::Verb;
use crate::domain::name::{KeystoreName, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::public_key::KeyId;
use crate::domain::time::Instant;
use crate::keystore::desk::Desk;
use crate::ledger::Unit;

/// What a configuration means, read and checked, and not yet in force.
pub struct Prepared {
    /// Policies, grants and persons.
    pub rules: Rules,
    /// Every keystore. One that goes on as it is stands behind the desk that it had.
    pub desks: BTreeMap<KeystoreName, Arc<Desk>>,
    /// SHA-256 of the file.
    pub digest: Sha256Digest,
    /// What is legal and probably not meant, with its place in the file.
    pub warnings: Vec<String>,
    /// Puts in force what the engine knows nothing about, certificates and door limits. It cannot fail.
    pub apply: Box<dyn FnOnce() + Send + Sync>,
}

/// Reads the configuration anew: everything that it means, or everything that is wrong with it. Handed in by the daemon,
/// which knows where the file is.
pub type Prepare = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Prepared, Vec<String>>> + Send>> + Send + Sync>;

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// SHA-256 of the file that is in force now.
    pub digest: Sha256Digest,
    /// Everything that is wrong with the new file; when there is something, nothing has changed.
    pub problems: Vec<String>,
    /// What is legal and probably not meant.
    pub warnings: Vec<String>,
}

/// The configuration in force, for status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationStatus {
    /// SHA-256 of its file.
    pub digest: Sha256Digest,
    /// Since when it is in force.
    pub since: Instant,
    /// The last reload, when it was refused: when, and everything that was wrong.
    pub refused: Option<(Instant, Vec<String>)>,
}

/// How long a reload may take when a signal asked for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long all keystores together may take to list their keys.
const LISTING: Duration = Duration::from_secs(10);
/// How long work that waits for a removed keystore may take.
const DRAIN: Duration = Duration::from_secs(120);

impl Engine {
    /// How a reload reads the configuration, and the file's SHA-256 at the start. Without it there is nothing to reload.
    pub async fn hand_in_reload(&self, digest: Sha256Digest, prepare: Prepare) {
        let status = ConfigurationStatus { digest, since: self.started, refused: None };
        *self.configuration.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        *self.reloading.lock().await = Some(prepare);
    }

    /// The configuration in force; `None` when there is nothing to reload.
    pub fn configuration(&self) -> Option<ConfigurationStatus> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration anew and puts it in force, whole, or changes nothing and says why. One at a time; a request
    /// that is under way keeps the rules that it began with.
    pub async fn reload(&self, call: &Call) -> Result<Reloaded, Denial> {
        let mut problems = Vec::new();
        let reloaded = self
            .audited(call, "reload", async |scope| {
                self.rules().admit_daemon(call, Verb::Operate)?;
                scope.admit();
                self.reload_admitted(call, &mut problems).await
            })
            .await;
        self.or_problems(reloaded, problems)
    }

    /// As [`Engine::reload`], for a signal: whoever may send one to this process needs no grant.
    pub async fn reload_by_signal(&self, request: String) -> Result<Reloaded, Denial> {
        let deadline = std::time::Instant::now() + PATIENCE;
        let call = Call { caller: Caller::Daemon, request, deadline };
        let mut problems = Vec::new();
        let reloaded = self
            .audited(&call, "reload", async |scope| {
                scope.admit();
                self.reload_admitted(&call, &mut problems).await
            })
            .await;
        self.or_problems(reloaded, problems)
    }

    /// A refused configuration is an answer with everything that is wrong with it; a status has no room for that.
    fn or_problems(&self, reloaded: Result<Reloaded, Denial>, problems: Vec<String>) -> Result<Reloaded, Denial> {
        let refused = |denial: &Denial| denial.reason == Reason::ConfigurationRefused && !problems.is_empty();
        match (&reloaded, self.configuration()) {
            (Err(denial), Some(in_force)) if refused(denial) => {
                for problem in &problems {
                    tracing::error!(problem = %problem.escape_debug(), "the new configuration is refused; the old one stays");
                }
                let mut configuration = self.configuration.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(status) = configuration.as_mut() {
                    status.refused = Some((self.now(), problems.clone()));
                }
                Ok(Reloaded { digest: in_force.digest, problems, warnings: Vec::new() })
            }
            _ => reloaded,
        }
    }

    async fn reload_admitted(&self, call: &Call, problems: &mut Vec<String>) -> Result<Reloaded, Denial> {
        self.check_serving(call)?;
        let late = || Denial::new(Reason::Deadline, "an earlier reload is under way");
        let reloading =
            tokio::time::timeout_at(call.deadline.into(), self.reloading.lock()).await.map_err(|_| late())?;
        let late = || Denial::new(Reason::Deadline, "a key is being made or destroyed");
        let _alone = tokio::time::timeout_at(call.deadline.into(), self.keystores.write()).await.map_err(|_| late())?;
        let Some(prepare) = &*reloading else {
            return Err(Denial::new(Reason::ConfigurationRefused, "this daemon was started without a file"));
        };
        let refused = |found: Vec<String>, problems: &mut Vec<String>| {
            let first = found.first().map_or("", |first| first.as_str()).to_owned();
            *problems = found;
            Err(Denial::new(Reason::ConfigurationRefused, first))
        };
        // A file system that does not answer holds up this reload, and neither the next one nor the making of keys.
        let late = || Denial::new(Reason::Deadline, "reading what the configuration names takes too long");
        let prepared = match tokio::time::timeout_at(call.deadline.into(), prepare()).await.map_err(|_| late())? {
            Ok(prepared) => prepared,
            Err(found) => return refused(found, problems),
        };
        let listed = match self.list_for(&prepared).await {
            Ok(listed) => listed,
            Err(found) => return refused(found, problems),
        };
        let mut event = Event::new(self.now(), &call.caller, "reload", &call.request, EventKind::Administration);
        event.digest = Some(prepared.digest);
        self.commit_one(Unit { events: vec![event], ..Unit::default() }).await.map_err(|error| error.denial())?;
        let reloaded = Reloaded { digest: prepared.digest, problems: Vec::new(), warnings: prepared.warnings.clone() };
        self.put_in_force(prepared, listed);
        tracing::info!(request = %call.request, caller = %call.caller, sha256 = %reloaded.digest, "the configuration was reloaded");
        for warning in &reloaded.warnings {
            tracing::warn!(%warning, "of the configuration");
        }
        Ok(reloaded)
    }

    /// I8: lists what every keystore holds and refuses an offline key, under the rules that are to come. A new keystore
    /// must answer; one that was there and does not answer now is listed when it comes back.
    async fn list_for(&self, prepared: &Prepared) -> Result<Listed, Vec<String>> {
        let (now, deadline) = (self.desks(), tokio::time::Instant::now() + LISTING);
        let mut listed = Listed::default();
        let mut problems = Vec::new();
        for (name, desk) in &prepared.desks {
            let goes_on = now.get(name).is_some_and(|known| Arc::ptr_eq(known, desk));
            let keystore = Arc::clone(desk.keystore());
            let listing = tokio::task::spawn_blocking(move || keystore.public_keys());
            let found = match tokio::time::timeout_at(deadline, listing).await {
                Ok(Ok(Ok(keys))) => Ok(keys.iter().map(|key| key.id()).collect::<BTreeSet<KeyId>>()),
                Ok(Ok(Err(error))) => Err(error.to_string()),
                Ok(Err(_)) => Err("it panicked while it listed its keys".to_owned()),
                Err(_) => Err("it did not list its keys in time".to_owned()),
            };
            // Listed again soon, in case a root was published meanwhile that has one of these keys.
            listed.again.insert(name.clone());
            match found {
                Ok(ids) => {
                    match offline_key(self.ledger.as_ref(), &prepared.rules, name, &ids) {
                        Ok(None) => {}
                        Ok(Some(offline)) => problems.push(offline.to_string()),
                        Err(error) => problems.push(format!("ledger: {error}")),
                    }
                    listed.held.extend(ids);
                }
                Err(cause) if goes_on => tracing::warn!(keystore = %name, %cause, "the keystore is looked at later"),
                Err(cause) => problems.push(format!("keystore {name}: {cause}")),
            }
        }
        if problems.is_empty() { Ok(listed) } else { Err(problems) }
    }

    fn put_in_force(&self, prepared: Prepared, listed: Listed) {
        let Prepared { rules, desks, digest, warnings: _, apply } = prepared;
        let desks = Arc::new(desks);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(listed.held);
        let before = {
            // Rules that name a keystore and the keystore come together.
            let mut known = self.desks.write().unwrap_or_else(PoisonError::into_inner);
            let mut in_force = self.rules.write().unwrap_or_else(PoisonError::into_inner);
            *in_force = Arc::new(rules);
            apply();
            std::mem::replace(&mut *known, Arc::clone(&desks))
        };
        let goes_on = |name: &KeystoreName| match (before.get(name), desks.get(name)) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        self.latches.keep_keystores(goes_on);
        *self.unlisted.lock().unwrap_or_else(PoisonError::into_inner) = listed.again;
        let gone: Vec<_> = before.iter().filter(|(name, _)| !goes_on(name)).map(|(_, desk)| Arc::clone(desk)).collect();
        let status = ConfigurationStatus { digest, since: self.now(), refused: None };
        *self.configuration.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
        drop(before);
        gone.into_iter().for_each(drain);
    }
}

/// What the keystores of a new configuration showed.
#[derive(Default)]
struct Listed {
    held: BTreeSet<KeyId>,
    again: BTreeSet<KeystoreName>,
}

/// Lets a removed keystore finish what waits for it. Dropping a desk waits for the work in hand, which a thread must do.
fn drain(desk: Arc<Desk>) {
    tokio::spawn(async move {
        let begun = tokio::time::Instant::now();
        while desk.metrics().queue_depth() > 0 && begun.elapsed() < DRAIN {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(tokio::task::spawn_blocking(move || drop(desk)).await);
    });
}
