//! Latches: named states in which everything, a keystore or a repository fails until a named act resolves the cause.
//!
//! `clock` and `clone` are kept in the ledger, because a restart resolves neither. `fault` and `disk-full` are the
//! ledger's own, `root-fork` stands with a repository's roots, `offline-key` is found again at each listing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::audited::Scope;
use super::freeze::Switching;
use super::generate::optional;
use super::start::offline_key;
use super::{Call, Engine, parse};
use crate::audit::leaf;
use crate::domain::audit_event::{Event, EventKind};
use crate::domain::caller::Caller;
use crate::domain::grant::Verb;
use crate::domain::law::clock::{self, Bounds, Reading};
use crate::domain::name::{KeystoreName, RepositoryName, Role, Sha256Digest};
use crate::domain::outcome::{Denial, Reason};
use crate::domain::root::Roots;
use crate::domain::switches::{KeptLatch, KeptLatchName};
use crate::domain::time::Instant;
use crate::ledger::{Change, CommitError, Condition, Expect, LedgerError, Unit};

/// A named state in which requests fail until its cause is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// `fault`, `disk-full`, `clock`, `clone`, `root-fork` or `offline-key`.
    pub name: &'static str,
    /// `everything`, a keystore or a repository.
    pub scope: String,
    /// Why.
    pub cause: String,
    /// What resolves it, in words or as a command.
    pub resolve: String,
}

/// A latch that somebody wants resolved, as it came through a door. Empty texts mean "not said".
#[derive(Clone, Debug, Default)]
pub struct LatchOrder {
    /// Which.
    pub name: String,
    /// For `root-fork`: the repository.
    pub repository: String,
    /// For `root-fork`: SHA-256 of the file of the root that stays trusted.
    pub keep: String,
    /// For `offline-key`: the keystore.
    pub keystore: String,
}

/// What this process knows of latches beside the ledger.
pub(super) struct Latches {
    bounds: Bounds,
    /// The reading to which jumps are measured.
    first: Mutex<Reading>,
    machine: Option<Sha256Digest>,
    /// Begun here, over everything. In force at once, written down as soon as the ledger takes it.
    begun: Mutex<Vec<KeptLatch>>,
    /// Keystores that showed an offline key after the start, and why they are latched.
    keystores: Mutex<BTreeMap<KeystoreName, String>>,
    /// Who changes the switches takes turns. No request that signs waits for it.
    pub(super) turns: tokio::sync::Mutex<()>,
}

impl Latches {
    pub(super) fn new(bounds: Bounds, first: Reading, machine: Option<Sha256Digest>) -> Self {
        Self {
            bounds,
            first: Mutex::new(first),
            machine,
            begun: Mutex::default(),
            keystores: Mutex::default(),
            turns: tokio::sync::Mutex::default(),
        }
    }

    /// Whether this machine has a mark that the ledger is compared with.
    pub(super) fn knows_machine(&self) -> bool {
        self.machine.is_some()
    }

    pub(super) fn check_keystore(&self, name: &KeystoreName) -> Result<(), Denial> {
        match lock(&self.keystores).get(name) {
            Some(cause) => Err(Denial::new(Reason::Latched, format!("offline-key: keystore {name}: {cause}"))),
            None => Ok(()),
        }
    }

    /// Forgets keystores that are no longer what they were.
    pub(super) fn keep_keystores(&self, goes_on: impl Fn(&KeystoreName) -> bool) {
        lock(&self.keystores).retain(|name, _| goes_on(name));
    }

    pub(super) fn latch_keystore(&self, name: &KeystoreName, cause: String) {
        lock(&self.keystores).insert(name.clone(), cause);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Whether a latch over everything is in force. The clock is looked at each time.
    pub fn check_latches(&self) -> Result<(), Denial> {
        let latched = |name: &str, cause: &str| Err(Denial::new(Reason::Latched, format!("{name}: {cause}")));
        if let Condition::Fault(cause) = self.ledger.condition() {
            return latched("fault", &format!("the ledger failed: {cause}"));
        } // A full disk is tried again with each request; that is how it heals.
        self.check_clock(None);
        match self.kept_latches().first() {
            Some(latch) => latched(latch.name.name(), &latch.cause),
            None => Ok(()),
        }
    }

    /// Latches in force.
    pub fn latches(&self) -> Result<Vec<Latch>, Denial> {
        let mut latches = Vec::new();
        let everything = |name, cause: String, resolve: &str| {
            let (scope, resolve) = ("everything".to_owned(), resolve.to_owned());
            Latch { name, scope, cause, resolve }
        };
        match self.ledger.condition() {
            Condition::Serving => {}
            Condition::DiskFull => {
                let cause = "the disk under the ledger is full".to_owned();
                latches.push(everything("disk-full", cause, "free space; the daemon goes on by itself"));
            }
            Condition::Fault(cause) => {
                latches.push(everything("fault", cause, "stop the daemon and run `sealwardd recover`"));
            }
        }
        for latch in self.kept_latches() {
            let resolve = match latch.name {
                KeptLatchName::Clock => "set the clock right, then `sealward latch resolve clock`",
                KeptLatchName::Clone => {
                    "if no other machine runs with this ledger or its keys: `sealward latch resolve clone`"
                }
            };
            let cause = format!("{}, since {}", latch.cause, latch.since);
            latches.push(everything(latch.name.name(), cause, resolve));
        }
        for (name, cause) in &*lock(&self.latches.keystores) {
            latches.push(Latch {
                name: "offline-key",
                scope: format!("keystore {name}"),
                cause: cause.clone(),
                resolve: format!("take the key away, then `sealward latch resolve offline-key --keystore {name}`"),
            });
        }
        for repository in self.ledger.repositories().map_err(|error| error.denial())? {
            let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
            if let Some(other) = view.roots.fork {
                let trusted = view.roots.trusted.as_ref().map(|root| root.file_digest.to_string()).unwrap_or_default();
                latches.push(Latch {
                    name: "root-fork",
                    scope: repository.to_string(),
                    cause: format!(
                        "a second verified root of the trusted version was shown, with digest {other}; trusted is {trusted}"
                    ),
                    resolve: format!(
                        "find out who signed two; to go on with the trusted one: \
                         `sealward latch resolve root-fork --repository {repository} --keep {trusted}`"
                    ),
                });
            }
        }
        Ok(latches)
    }

    /// Looks at the clock, and writes down what latched. The daemon calls it every few seconds.
    pub async fn watch_latches(&self) {
        match self.newest_leaf() {
            Ok(newest) => self.check_clock(Some(newest)),
            Err(error) => tracing::error!(%error, "the newest leaf does not read"),
        }
        if let Err(error) = self.record_machine().await {
            tracing::warn!(%error, "this machine is not yet recorded as the ledger's home; it is tried again");
        }
        let (begun, switches) = (lock(&self.latches.begun).clone(), self.ledger.switches());
        let unkept = |latch: &KeptLatch| !switches.latches.iter().any(|kept| kept.name == latch.name);
        if begun.iter().any(unkept)
            && let Err(error) = self.commit_one(self.keeping(&begun)).await
        {
            tracing::warn!(%error, "a latch is in force and not yet written down; it is tried again");
        }
    }

    /// Resolves a latch that an operator's word can resolve. The latches that stay come back.
    pub async fn resolve_latch(&self, call: &Call, order: LatchOrder) -> Result<Vec<Latch>, Denial> {
        self.audited(call, "resolve-latch", async |scope| {
            self.rules().admit_daemon(call, Verb::Operate)?;
            scope.admit();
            self.check_not_frozen(call)?;
            match order.name.as_str() {
                "clock" => self.resolve_clock(call).await?,
                "clone" => self.resolve_clone(call).await?,
                "root-fork" => self.resolve_fork(call, &order, scope).await?,
                "offline-key" => self.resolve_offline_key(call, &order).await?,
                "fault" => {
                    let detail = "fault: no word resolves it; stop the daemon and run `sealwardd recover`";
                    return Err(Denial::new(Reason::Latched, detail));
                }
                "disk-full" => return Err(Denial::new(Reason::DiskFull, "no word resolves it; free space")),
                _ => {
                    let detail = "name: clock, clone, root-fork or offline-key";
                    return Err(Denial::new(Reason::Malformed, detail));
                }
            }
            self.latches()
        })
        .await
    }

    /// What a start finds: a clock before the newest leaf, a ledger that was at home elsewhere.
    pub(super) fn judge_start(&self) -> Result<(), LedgerError> {
        self.check_clock(Some(self.newest_leaf()?));
        let switches = self.ledger.switches();
        match (switches.machine, self.latches.machine) {
            (Some(home), Some(here)) if home != here => {
                let cause = "this ledger was at home on another machine".to_owned();
                self.begin_latch(KeptLatchName::Clone, cause);
            }
            (_, Some(_)) => {} // without a home yet: it gets one with the first look
            (_, None) => tracing::warn!("[machine] check is off: a copied ledger will not be noticed"),
        }
        Ok(())
    }

    /// A ledger that was made, or last used, with the check switched off is at home where it is switched on.
    async fn record_machine(&self) -> Result<(), CommitError> {
        let switches = self.ledger.switches();
        if switches.machine.is_some() || self.latches.machine.is_none() {
            return Ok(());
        }
        tracing::warn!("[machine] check is on from now on: the ledger is at home on this machine");
        let unit = Unit {
            expects: vec![Expect::Switches(switches.revision)],
            changes: vec![Change::Switches(switches.at_home(self.latches.machine))],
            events: vec![self.own_event("record-machine", EventKind::Administration)],
            after: Vec::new(),
        };
        self.commit_one(unit).await.map(drop)
    }

    /// When the newest leaf was written; of an empty log, when it was made.
    fn newest_leaf(&self) -> Result<Instant, LedgerError> {
        let Some(last) = self.ledger.tree_size()?.checked_sub(1) else {
            return Ok(self.ledger.identity().created);
        };
        match self.ledger.leaves(last, 1)?.first().map(|entry| leaf::decode(entry)) {
            Some(Ok((_, event))) => Ok(event.time),
            Some(Err(error)) => Err(LedgerError::Database(format!("leaf {last}: {error}"))),
            None => Err(LedgerError::Database(format!("leaf {last} is missing"))),
        }
    }

    fn check_clock(&self, newest_leaf: Option<Instant>) {
        let first = *lock(&self.latches.first);
        if let Some(cause) = clock::doubt(newest_leaf, first, self.clock.reading(), self.latches.bounds) {
            self.begin_latch(KeptLatchName::Clock, cause);
        }
    }

    /// In force at once, and submitted to the ledger. A commit that is in flight finds the switches changed.
    fn begin_latch(&self, name: KeptLatchName, cause: String) {
        let begun = {
            let mut begun = lock(&self.latches.begun);
            let known = begun.iter().chain(&self.ledger.switches().latches).any(|latch| latch.name == name);
            if known {
                return;
            }
            tracing::error!(latch = name.name(), %cause, "LATCHED: nothing is signed until an operator resolves it");
            begun.push(KeptLatch { name, cause, since: self.now() });
            begun.clone()
        };
        self.ledger.submit(vec![self.keeping(&begun)], Box::new(report));
    }

    fn keeping(&self, begun: &[KeptLatch]) -> Unit {
        let switches = self.ledger.switches();
        let new = begun.iter().filter(|latch| !switches.latches.iter().any(|kept| kept.name == latch.name));
        let events = new.map(|latch| {
            let mut event = self.own_event("latch", EventKind::Failure);
            event = event.refused(&Denial::new(Reason::Latched, ""));
            event.subject = Some(latch.name.name().to_owned());
            event
        });
        Unit {
            expects: vec![Expect::Switches(switches.revision)],
            changes: vec![Change::Switches(switches.latched(begun))],
            events: events.collect(),
            after: Vec::new(),
        }
    }

    /// Latches over everything, those that are not yet written down among them.
    fn kept_latches(&self) -> Vec<KeptLatch> {
        let mut latches = self.ledger.switches().latches.clone();
        for latch in &*lock(&self.latches.begun) {
            if !latches.iter().any(|other| other.name == latch.name) {
                latches.push(latch.clone());
            }
        }
        latches
    }

    async fn resolve_clock(&self, call: &Call) -> Result<(), Denial> {
        self.check_is_latched(KeptLatchName::Clock)?;
        // From now on jumps are measured to what the operator vouches for.
        *lock(&self.latches.first) = self.clock.reading();
        self.resolve_kept(call, KeptLatchName::Clock).await
    }

    async fn resolve_clone(&self, call: &Call) -> Result<(), Denial> {
        self.check_is_latched(KeptLatchName::Clone)?;
        self.resolve_kept(call, KeptLatchName::Clone).await
    }

    fn check_is_latched(&self, name: KeptLatchName) -> Result<(), Denial> {
        if self.kept_latches().iter().any(|latch| latch.name == name) {
            return Ok(());
        }
        Err(Denial::new(Reason::NotLatched, format!("{} is not latched", name.name())))
    }

    async fn resolve_kept(&self, call: &Call, name: KeptLatchName) -> Result<(), Denial> {
        // Taken out of the memory first: a latch that begins anew meanwhile stays.
        let taken: Vec<KeptLatch> = {
            let mut begun = lock(&self.latches.begun);
            let taken = begun.iter().filter(|latch| latch.name == name).cloned().collect();
            begun.retain(|latch| latch.name != name);
            taken
        };
        let mut event = Event::new(self.now(), &call.caller, "resolve-latch", &call.request, EventKind::Administration);
        event.subject = Some(name.name().to_owned());
        let machine = self.latches.machine;
        let resolved = self
            .switch(&event, |switches| {
                let next = switches.resolved(name);
                Ok(Switching::To(if name == KeptLatchName::Clone { next.at_home(machine) } else { next }))
            })
            .await;
        if resolved.is_err() {
            lock(&self.latches.begun).extend(taken);
        }
        resolved.map(drop)
    }

    async fn resolve_fork(&self, call: &Call, order: &LatchOrder, scope: &mut Scope) -> Result<(), Denial> {
        let repository: RepositoryName = parse("repository", &order.repository)?;
        scope.repository = Some(repository.clone());
        scope.role = Some(Role::Root);
        let keep: Sha256Digest = parse("keep", &order.keep)?;
        let _held = self.hold_repository(call, &repository).await?;
        let view = self.ledger.view(&repository).map_err(|error| error.denial())?;
        let (Some(_), Some(trusted)) = (view.roots.fork, &view.roots.trusted) else {
            return Err(Denial::new(Reason::NotLatched, format!("{repository} was shown no second root")));
        };
        if trusted.file_digest != keep {
            let detail = format!("trusted is the root with digest {}; no other can be kept", trusted.file_digest);
            return Err(Denial::new(Reason::RootPin, detail));
        }
        let mut event = Event::new(self.now(), &call.caller, "resolve-latch", &call.request, EventKind::Administration);
        event.subject = Some("root-fork".to_owned());
        event.repository = Some(repository.clone());
        event.role = Some(Role::Root);
        event.version = Some(trusted.version);
        event.digest = Some(keep);
        let before = view.roots.revision;
        let roots = Roots { fork: None, revision: before.saturating_add(1), ..view.roots.clone() };
        let unit = Unit {
            expects: vec![Expect::Roots(repository, before)],
            changes: vec![Change::Roots(roots)],
            events: vec![event],
            after: Vec::new(),
        };
        self.commit_one(unit).await.map(drop).map_err(|error| error.denial())
    }

    /// Lists the keystore anew. The latch ends only when the key is gone.
    async fn resolve_offline_key(&self, call: &Call, order: &LatchOrder) -> Result<(), Denial> {
        let named: Option<KeystoreName> = optional("keystore", &order.keystore)?;
        let name = named.ok_or_else(|| Denial::new(Reason::Malformed, "keystore: name the keystore"))?;
        if self.latches.check_keystore(&name).is_ok() {
            return Err(Denial::new(Reason::NotLatched, format!("keystore {name} is not latched")));
        }
        let Some(desk) = self.desks().get(&name).cloned() else {
            return Err(Denial::new(Reason::UnknownKeystore, format!("there is no keystore {name}")));
        };
        let keystore = Arc::clone(desk.keystore());
        let listed = tokio::task::spawn_blocking(move || keystore.public_keys());
        let keys = match tokio::time::timeout_at(call.deadline.into(), listed).await {
            Ok(Ok(keys)) => keys.map_err(|error| error.denial())?,
            _ => return Err(Denial::new(Reason::Deadline, format!("keystore {name} did not list its keys"))),
        };
        let ids = keys.iter().map(|key| key.id()).collect();
        let found = offline_key(self.ledger.as_ref(), &self.rules(), &name, &ids).map_err(|error| error.denial())?;
        if let Some(offline) = found {
            return Err(Denial::new(Reason::Latched, format!("offline-key: {offline}")));
        }
        let mut event = Event::new(self.now(), &call.caller, "resolve-latch", &call.request, EventKind::Administration);
        event.subject = Some(format!("offline-key of keystore {name}"));
        self.commit_one(Unit { events: vec![event], ..Unit::default() }).await.map_err(|error| error.denial())?;
        lock(&self.latches.keystores).remove(&name);
        Ok(())
    }

    fn own_event(&self, verb: &str, kind: EventKind) -> Event {
        Event::new(self.now(), &Caller::Daemon, verb, "daemon", kind)
    }
}

/// The answer to what nobody waits for: housekeeping tries again.
fn report(results: Vec<Result<crate::ledger::Committed, CommitError>>) {
    for error in results.into_iter().filter_map(Result::err) {
        tracing::warn!(%error, "not yet written down; it is tried again");
    }
}
